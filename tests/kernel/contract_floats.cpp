// SPDX-License-Identifier: Apache-2.0
/// The floating-point functions of every kernel's table, one by one: against scalar.hpp bit for
/// bit, with every array between pages that can't be touched.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include "support/operands.hpp"
#include "support/oracle.hpp"
#include "support/shapes.hpp"
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/product/kernels.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("kernel/contract");

namespace {

using sizes = std::initializer_list<std::size_t>;

constexpr std::size_t lengths[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  15,  16,  17,  23,  24,
                                   31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 127, 128, 129, 576};

guarded::edge edge_of(std::size_t i) {
  return i % 3 == 0 ? guarded::edge::begin : guarded::edge::end;
}

std::vector<std::int32_t> draw_sums(std::size_t size, std::mt19937& random) {
  std::vector<std::int32_t> sums(size);
  for (std::int32_t& sum : sums) {
    sum = std::bit_cast<std::int32_t>(
        static_cast<std::uint32_t>(random()));  // over 2^24 a float rounds
    if (random() % 2 == 0) sum >>= 12;
    if (random() % 16 == 0) sum = random() % 2 == 0 ? INT32_MIN : INT32_MAX;
  }
  return sums;
}

/// Sums of a group's activations: up to 2^23 in magnitude.
std::vector<std::int32_t> draw_x_sums(std::size_t size, std::mt19937& random) {
  std::vector<std::int32_t> sums(size);
  for (std::int32_t& sum : sums) {
    sum = static_cast<std::int32_t>(random() % 0x1000001) - 0x800000;
    if (random() % 2 == 0) sum >>= 10;
  }
  return sums;
}

/// The scales and zeros of groups, as a tile holds them.
std::vector<std::byte> draw_groups(const er::format& fmt, std::size_t groups,
                                   std::mt19937& random) {
  const std::size_t size = er::scale_size(fmt.scale),
                    group_bytes = er::tile_layout(fmt, 16, 64).group_bytes();
  std::vector<std::byte> bytes(groups * group_bytes);
  for (std::size_t g = 0; g < groups && fmt.two_level; ++g)
    operands::draw_two_levels(bytes.data() + g * group_bytes, random);
  for (std::size_t i = 0; i < bytes.size() && !fmt.two_level; i += size)
    er::detail::matrix::write_scale(bytes.data() + i, fmt.scale,
                                    operands::draw_scale(fmt.scale, random));
  return bytes;
}

/// The 16 scales of a group, and its 16 zeros where it has them.
std::vector<float> numbers_of(const er::format& fmt, const std::byte* at) {
  std::vector<float> scales, zeros;
  for (std::size_t r = 0; r < 16; ++r) {
    if (fmt.two_level) {
      int byte = std::to_integer<int>(at[r]);
      const int low = byte % 8;
      if (byte > 127) byte -= 256;
      scales.push_back(tile_places::two_level_of(at + 16, 0, low));
      zeros.push_back(tile_places::two_level_of(at + 16, 1, (byte - low) / 8));
      continue;
    }
    const std::size_t size = er::scale_size(fmt.scale);
    scales.push_back(tile_places::scale_of(fmt.scale, at + r * size));
    if (fmt.zero != er::zero_kind::none)
      zeros.push_back(tile_places::scale_of(fmt.scale, at + (16 + r) * size));
  }
  scales.insert(scales.end(), zeros.begin(), zeros.end());
  return scales;
}

/// Runs `call(kernel, output)` on a guarded copy of `before`, and compares with the reference
/// implementation.
template <class Call>
void check_output(const std::vector<float>& before, guarded::edge edge, const char* function,
                  const Call& call) {
  const guarded::array<float> expected(before, edge);
  call(*er::find_kernel("scalar"), expected.data());
  for (const er::kernel& k : operands::all_but_scalar()) {
    const guarded::array<float> y(before, edge);
    call(k, y.data());
    const std::size_t wrong = samples::count_differences(y.span(), expected.span());
    if (wrong == 0) continue;
    CAPTURE(k.name);
    CAPTURE(function);
    CHECK(wrong == 0);
  }
}

template <class T>
er::detail::kernel::dense_dot_function<T> dense_of(const er::kernel& k) {
  if constexpr (std::is_same_v<T, float>) return k.functions->dense_float;
  if constexpr (std::is_same_v<T, er::float16>) return k.functions->dense_float16;
  if constexpr (std::is_same_v<T, er::bfloat16>) return k.functions->dense_bfloat16;
}

template <class T>
void check_dense(std::mt19937& random) {
  std::size_t i = 0;
  for (const std::size_t cols : lengths) {
    for (const std::size_t rows : sizes{1, 2, 3, 4, 5, 8, 33}) {
      for (const std::size_t tokens : sizes{1, 2, 3, 4, 5, 9}) {
        CAPTURE(cols);
        CAPTURE(rows);
        CAPTURE(tokens);
        const guarded::edge edge = edge_of(i);
        const std::size_t w_stride = cols + random() % 3, x_stride = cols + random() % 3,
                          y_stride = rows + random() % 3;
        const std::vector<float> weights =
            operands::draw_reals((rows - 1) * w_stride + cols, i, random);
        const std::vector<float> x =
            operands::draw_reals((tokens - 1) * x_stride + cols, i / 2, random);
        ++i;
        std::vector<T> w;
        for (const float value : weights) w.push_back(T(value));
        const guarded::array<T> w_at(w, edge);
        const guarded::array<float> x_at(x, edge);
        check_output(std::vector<float>((tokens - 1) * y_stride + rows, 5.0f), edge, "dense",
                     [&](const er::kernel& k, float* y) {
                       dense_of<T>(k)(w_at.data(), w_stride, rows, cols, x_at.data(), x_stride,
                                      tokens, y, y_stride);
                     });
      }
    }
  }
}

}  // namespace

TEST_CASE("kernel: epilogues and scales") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  using er::detail::kernel::statistics_index;
  for (std::size_t index = 0; index < er::detail::kernel::statistics_kinds; ++index) {
    const bool two_level = index >= 9;
    const er::format fmt{er::code_type::int4, 64,
                         two_level ? er::scale_kind::float16 : shapes::kinds[index % 3],
                         shapes::zeros[two_level ? index - 8 : index / 3], two_level};
    const er::zero_kind zero = fmt.zero;
    CHECK(statistics_index(fmt) == index);
    const std::size_t numbers = zero == er::zero_kind::none ? 16 : 32,
                      group_bytes = er::tile_layout(fmt, 16, 64).group_bytes();
    for (const std::size_t count : sizes{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33}) {
      for (int repeat = 0; repeat < 4; ++repeat) {
        const guarded::edge edge = edge_of(i);
        const std::vector<float> y = operands::draw_reals(16, i++, random);
        {
          // `count` groups.
          const guarded::array<std::int32_t> isum(draw_sums(16 * count, random), edge);
          const guarded::array<std::byte> w_scales(draw_groups(fmt, count, random), edge);
          const guarded::array<float> x_scales(operands::draw_reals(count, i, random), edge);
          const guarded::array<std::int32_t> x_sums(draw_x_sums(count, random), edge);
          check_output(y, edge, "scale_sums", [&](const er::kernel& k, float* out) {
            k.functions->scale_sums[index](isum.data(), w_scales.data(), x_scales.data(),
                                           x_sums.data(), count, out);
          });
          // By the equations alone.
          std::vector<float> expected = y, number;
          for (std::size_t g = 0; g < count; ++g) {
            const std::vector<float> some = numbers_of(fmt, w_scales.data() + g * group_bytes);
            number.insert(number.end(), some.begin(), some.end());
          }
          for (std::size_t n = 0; n < 16 * count; ++n) {
            const std::size_t g = n / 16, at = g * numbers + n % 16;
            expected[n % 16] = oracle::add_group(
                zero, static_cast<float>(isum.data()[n]), number[at],
                zero == er::zero_kind::none ? 0 : number[at + 16], x_scales.data()[g],
                static_cast<float>(x_sums.data()[g]), expected[n % 16]);
          }
          std::vector<float> out = y;
          er::find_kernel("scalar")->functions->scale_sums[index](
              isum.data(), w_scales.data(), x_scales.data(), x_sums.data(), count, out.data());
          CHECK(samples::count_differences(out, expected) == 0);
        }
        const guarded::array<float> p(operands::draw_reals(64, i, random), edge);
        const guarded::array<std::byte> w_scales(draw_groups(fmt, 1, random), edge);
        const float x_sum = operands::draw_reals(1, i, random)[0];
        check_output(y, edge, "scale_floats", [&](const er::kernel& k, float* out) {
          k.functions->scale_floats[index](p.data(), w_scales.data(), x_sum, out);
        });
        check_output(std::vector<float>(numbers), edge, "read_scales",
                     [&](const er::kernel& k, float* out) {
                       float* const zeros = zero == er::zero_kind::none ? nullptr : out + 16;
                       k.functions->read_scales[index](w_scales.data(), out, zeros);
                     });
      }
    }
  }
}

TEST_CASE("kernel: panel_float") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::codec_info& codec : er::codec_list) {
    for (const std::size_t slots : sizes{0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 63, 64}) {
      for (std::size_t tokens = 1; tokens <= 16; ++tokens, ++i) {
        std::vector<std::uint8_t> panel(64 * slots);
        for (std::uint8_t& code : panel)
          code = static_cast<std::uint8_t>(random() % (codec.largest_code() + 1));
        const std::size_t stride = 4 * slots + random() % 3;
        const guarded::array<std::uint8_t> codes(panel, edge_of(i));
        const guarded::array<float> x(
            operands::draw_reals((tokens - 1) * stride + 4 * slots, i, random), edge_of(i));
        check_output(operands::draw_reals(64 * tokens, i / 7, random), edge_of(i), "panel_float",
                     [&](const er::kernel& k, float* p) {
                       k.functions->panel_float(codes.data(), slots, codec.zero_code, x.data(),
                                                stride, tokens, p);
                     });
      }
    }
  }
}

TEST_CASE("kernel: dense products of float32") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_dense<float>(random);
}
TEST_CASE("kernel: dense products of float16") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_dense<er::float16>(random);
}
TEST_CASE("kernel: dense products of bfloat16") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  check_dense<er::bfloat16>(random);
}

TEST_CASE("kernel: every float16 is read as the float it is") {
  // w * 1 in one column: subnormals, infinities and NaNs included.
  std::vector<er::float16> all;
  for (unsigned bits = 0; bits < 0x10000; ++bits)
    all.push_back(er::float16::from_bits(static_cast<std::uint16_t>(bits)));
  const float one = 1.0f;
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    std::vector<float> y(all.size());
    k.functions->dense_float16(all.data(), 1, all.size(), 1, &one, 1, 1, y.data(), all.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float value = all[i];
      wrong += !(y[i] == value || (std::isnan(y[i]) && std::isnan(value)));  // -0 * 1 + 0 is 0
    }
    CHECK(wrong == 0);
    // The same through the scales of the epilogue: y = fma(1, scale * 1, -0) keeps the sign of
    // zero.
    const std::vector<std::int32_t> ones(16, 1);
    wrong = 0;
    for (std::size_t i = 0; i < all.size(); i += 16) {
      float out[16];
      std::fill_n(out, 16, -0.0f);
      k.functions->scale_sums[0](ones.data(), reinterpret_cast<const std::byte*>(all.data() + i),
                                 &one, nullptr, 1, out);
      for (std::size_t r = 0; r < 16; ++r) wrong += !samples::same(out[r], float{all[i + r]});
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("kernel: max_magnitude and quantize") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const std::size_t cols : lengths) {
    for (std::size_t kind = 0; kind < 33; ++kind) {
      const guarded::edge edge = edge_of(i++);
      const guarded::array<float> x(operands::draw_reals(cols, kind, random), edge);
      const float largest = er::find_kernel("scalar")->functions->max_magnitude(x.data(), cols);
      // The group's own scale, a coarse one whose ties show, and those of a broken group.
      for (const float scale :
           {std::max(largest, 1e-5f) / 127, 0.125f, INFINITY, 0.0f, 0x1p-140f}) {
        CAPTURE(cols);
        CAPTURE(kind);
        CAPTURE(scale);
        const guarded::array<std::int8_t> expected(std::vector<std::int8_t>(cols, 55), edge);
        const std::int32_t sum =
            er::find_kernel("scalar")->functions->quantize(x.data(), cols, scale, expected.data());
        std::int64_t added = 0;
        for (const std::int8_t code : expected.span()) added += code;
        CHECK(sum == added);
        for (const er::kernel& k : operands::all_but_scalar()) {
          CAPTURE(k.name);
          const guarded::array<std::int8_t> codes(std::vector<std::int8_t>(cols, 55), edge);
          CHECK(k.functions->quantize(x.data(), cols, scale, codes.data()) == sum);
          CHECK(codes.copy() == expected.copy());
          CHECK(samples::same(k.functions->max_magnitude(x.data(), cols), largest));
        }
      }
    }
  }
}

TEST_CASE("kernel: max_magnitude finds the largest wherever it lies, and a NaN") {
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    std::size_t wrong = 0;
    for (const std::size_t cols : lengths) {
      for (std::size_t at = 0; at < cols; ++at) {
        std::vector<float> x(cols, 0.25f);
        x[at] = -3.0f;
        wrong += k.functions->max_magnitude(x.data(), cols) != 3.0f;
        x[at] = -INFINITY;
        wrong += k.functions->max_magnitude(x.data(), cols) != INFINITY;
        x[(at + 7) % cols] = at % 2 == 0 ? NAN : -NAN;  // before or behind the infinity
        wrong += !std::isnan(k.functions->max_magnitude(x.data(), cols));
      }
    }
    CHECK(wrong == 0);
    CHECK(k.functions->max_magnitude(nullptr, 0) == 0.0f);
  }
}

TEST_CASE("kernel: weighted_sum") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const std::size_t cols : lengths) {
    if (cols == 0) continue;
    for (const std::size_t positions : sizes{0, 1, 2, 3, 16, 17}) {
      for (const std::size_t sums : sizes{1, 2, 3, 4, 5, 9}) {
        const guarded::edge edge = edge_of(i++);
        const std::size_t stride = cols + random() % 5, out_stride = cols + random() % 5;
        const std::size_t weight_stride = positions + random() % 5;
        std::vector<std::int8_t> values(positions == 0 ? 0 : (positions - 1) * stride + cols);
        for (std::int8_t& value : values) value = static_cast<std::int8_t>(random());
        const guarded::array<std::int8_t> levels(values, edge);
        const guarded::array<float> weights(
            operands::draw_reals((sums - 1) * weight_stride + positions, i, random), edge);
        check_output(operands::draw_reals((sums - 1) * out_stride + cols, i / 3, random), edge,
                     "weighted_sum", [&](const er::kernel& k, float* out) {
                       k.functions->weighted_sum(levels.data(), stride, weights.data(),
                                                 weight_stride, positions, cols, sums, out,
                                                 out_stride);
                     });
      }
    }
  }
}

TEST_CASE("kernel: sparse_sums and sparse_panel") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const std::size_t cols : sizes{1, 2, 15, 64, 100, 65536}) {
    for (const std::size_t count : sizes{0, 1, 2, 3, 17, 100}) {
      CAPTURE(cols);
      CAPTURE(count);
      const guarded::edge edge = edge_of(i);
      // Columns and values of any kind, not only ascending and finite ones; a quarter is padding or
      // another zero.
      std::vector<er::sparse_step> steps(count);
      for (er::sparse_step& step : steps) {
        for (std::size_t r = 0; r < er::tile_rows; ++r) {
          step.columns[r] = static_cast<std::uint16_t>(random() % cols);
          step.values[r] = er::float16::from_bits(static_cast<std::uint16_t>(random()));
          if (random() % 4 != 0) continue;
          step.columns[r] = random() % 2 == 0 ? 0 : step.columns[r];
          step.values[r] = er::float16::from_bits(random() % 4 == 0 ? 0x8000 : 0);
        }
      }
      const std::vector<float> x = operands::draw_reals(cols, i, random);
      const guarded::array<er::sparse_step> steps_at(steps, edge);
      const guarded::array<float> x_at(x, edge);
      std::vector<float> before = operands::draw_reals(er::tile_rows, ++i, random);
      before[random() % er::tile_rows] = -0.0f;
      check_output(before, edge, "sparse_sums", [&](const er::kernel& k, float* y) {
        k.functions->sparse_sums(steps_at.data(), count, x_at.data(), y);
      });
      if (cols > 100) continue;
      const std::size_t tokens = er::detail::kernel::sparse_tokens;
      const guarded::array<float> columns_at(operands::draw_reals(tokens * cols, i, random), edge);
      before = operands::draw_reals(er::tile_rows * tokens, i, random);
      before[random() % before.size()] = -0.0f;
      check_output(before, edge, "sparse_panel", [&](const er::kernel& k, float* y) {
        k.functions->sparse_panel(steps_at.data(), count, columns_at.data(), y);
      });
    }
  }
}

TEST_CASE("kernel: exponentials") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const std::size_t count : lengths) {
    for (const float scale : {1.0f, -1.0f, 0.088f}) {
      for (const float shift : {0.0f, 3.5f, -40.0f}) {
        const guarded::edge edge = edge_of(i++);
        std::vector<float> x = operands::draw_reals(count, i, random);
        for (float& value : x) {
          if (random() % 3 == 0) value = static_cast<float>(random() % 40000) * 0.005f - 100.0f;
          if (random() % 64 == 0) value = random() % 2 == 0 ? INFINITY : -INFINITY;
        }
        float expected = 0;
        check_output(x, edge, "exponentials", [&](const er::kernel& k, float* out) {
          const float sum = k.functions->exponentials(out, count, scale, shift);
          if (&k == &*er::find_kernel("scalar")) expected = sum;
          if (!samples::same(sum, expected))
            out[count / 2] = -1;  // a sum that differs shows as an element that does
        });
      }
    }
  }
}

TEST_CASE("kernel: an exponential is within 2 units in the last place, from zero to infinity") {
  // Every 101st float between -110 and 95.
  std::size_t wrong = 0, seen = 0;
  const auto check = [&](float v) {
    const double exact = std::exp(static_cast<double>(v));
    const float got = er::detail::kernel::exponential::of(v);
    if (exact >= 0x1.ffffffp+127) {
      wrong += got != INFINITY;
    } else {
      const double unit = std::max(std::ldexp(1.0, std::ilogb(exact) - 23), 0x1p-149);
      wrong +=
          !(std::fabs(static_cast<double>(got) - exact) <= 2 * unit) && exact < 0x1.fffffcp+127;
    }
    ++seen;
  };
  for (std::uint32_t bits = 0; bits < std::bit_cast<std::uint32_t>(95.0f); bits += 101)
    check(std::bit_cast<float>(bits));
  for (std::uint32_t bits = 0x80000000u; bits < std::bit_cast<std::uint32_t>(-110.0f);
       bits += 101) {
    check(std::bit_cast<float>(bits));
  }
  CHECK(seen > 20'000'000);
  CHECK(wrong == 0);
  CHECK(er::detail::kernel::exponential::of(0.0f) == 1.0f);
  CHECK(er::detail::kernel::exponential::of(-INFINITY) == 0.0f);
  CHECK(er::detail::kernel::exponential::of(INFINITY) == INFINITY);
  CHECK(std::isnan(er::detail::kernel::exponential::of(std::numeric_limits<float>::quiet_NaN())));
}

TEST_SUITE_END();
