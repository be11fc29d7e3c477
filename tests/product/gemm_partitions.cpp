// SPDX-License-Identifier: Apache-2.0
/// Results do not depend on how the work is cut: ranges of rows, threads, tokens, places in memory.
/// What is outside a range stays as it is.
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "support/guarded.hpp"
#include "support/operands.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/grains.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

using sizes = std::initializer_list<std::size_t>;

constexpr const char* all_names[] = {"f32",
                                     "f16",
                                     "bf16",
                                     "ternary2_g64",
                                     "ternary5_g64",
                                     "ternary5_row_f32",
                                     "int4_g32_bf16",
                                     "int8_row_f32",
                                     "int4_g64+ternary2_g64:every_8_rows",
                                     "int4_g32+ternary5_g32:rows_4_of_8",
                                     "int3_g32",
                                     "int6_row_f32",
                                     "int5_g64+binary_g64:every_4_rows",
                                     "int2z_g16",
                                     "int4z_g64",
                                     "int4m_g32_bf16",
                                     "int3m_row_f32",
                                     "int8z_row",
                                     "int6m_g64+int3z_g64:every_4_rows"};

er::any_matrix packed(std::string_view name, std::size_t rows, std::size_t cols,
                      std::mt19937& random) {
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  const auto fmt = er::matrix_format::parse(name);
  REQUIRE(fmt);
  return er::any_matrix::pack(*fmt, er::matrix_view<const float>{w.data(), rows, cols});
}

/// A mixed matrix that no name describes: every group has a precision of its own.
er::mixed_matrix patchwork(std::size_t rows, std::size_t cols, std::mt19937& random) {
  const er::format high{er::code_type::int4, 32}, low{er::code_type::ternary5, 32};
  std::vector<std::uint8_t> mask(rows * ((cols + 31) / 32));
  for (std::uint8_t& m : mask) m = random() % 2 == 0;
  er::mixed_matrix result(high, low, rows, cols, mask);
  const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
  result.pack_rows(0, er::matrix_view<const float>{w.data(), rows, cols},
                   er::int4<er::per_group<32>>{}, er::ternary<er::per_group<32>>{});
  return result;
}

constexpr float untouched = -12345.0f;

/// `multiply(y, range, kernel)` for many ranges: those rows are the whole product's, the others are
/// left alone.
template <class Multiply>
std::size_t count_wrong_ranges(std::size_t rows, std::size_t tokens, std::mt19937& random,
                               const Multiply& multiply) {
  const std::size_t stride = rows + 5;
  std::size_t wrong = 0;
  std::vector<float> whole(tokens * stride, untouched);
  multiply(er::matrix_view<float>{whole.data(), tokens, rows, stride}, er::row_range{0, rows},
           *er::find_kernel("scalar"));
  std::vector<er::row_range> ranges{{0, rows},        {0, 0},
                                    {rows, rows},     {0, 1},
                                    {rows - 1, rows}, {0, std::min(rows, std::size_t{16})}};
  for (int i = 0; i < 8; ++i) {
    const std::size_t begin = random() % (rows + 1);
    ranges.push_back({begin, begin + random() % (rows - begin + 1)});
  }
  for (const er::kernel& k : er::available_kernels()) {
    for (const er::row_range range : ranges) {
      std::vector<float> y(tokens * stride, untouched);
      multiply(er::matrix_view<float>{y.data(), tokens, rows, stride}, range, k);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t r = i % stride;
        const bool inside = r >= range.begin && r < range.end;
        wrong += !samples::same(y[i], inside ? whole[i] : untouched);
      }
    }
  }
  return wrong;
}

template <class W>
std::size_t count_wrong_products(const W& w, std::size_t group, bool quantized,
                                 std::mt19937& random) {
  std::size_t wrong = 0;
  for (const std::size_t tokens : sizes{1, 3, 5, 20}) {
    const std::vector<float> x = samples::draw(samples::kind::uniform, tokens * w.cols(), random);
    const er::matrix_view<const float> reals{x.data(), tokens, w.cols()};
    er::packed_activations memory(w.cols(), group, tokens);
    const er::activation_view x8 = er::quantize_activations(reals, memory);
    wrong += count_wrong_ranges(
        w.rows(), tokens, random,
        [&](const er::matrix_view<float>& y, er::row_range range, const er::kernel& k) {
          er::gemm(w, er::unquantized{reals}, y, {.rows = range, .kernel = &k});
        });
    if (!quantized) continue;
    wrong += count_wrong_ranges(
        w.rows(), tokens, random,
        [&](const er::matrix_view<float>& y, er::row_range range, const er::kernel& k) {
          er::gemm(w, x8, y, {.rows = range, .kernel = &k});
        });
  }
  return wrong;
}

}  // namespace

TEST_CASE("partition: any range of rows of any matrix") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t rows : sizes{1, 16, 33, 70}) {
    CAPTURE(rows);
    for (const char* name : all_names) {
      CAPTURE(name);
      const er::any_matrix w = packed(name, rows, 100, random);
      CHECK(count_wrong_products(w, w.group_cols(), !w.is_dense(), random) == 0);
    }
    const er::mixed_matrix w = patchwork(rows, 100, random);
    CHECK(count_wrong_products(w, w.group_cols(), true, random) == 0);
  }
}

TEST_CASE("partition: any number of threads, any number of parts") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 150, cols = 200, tokens = 3;
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::any_matrix w = packed(name, rows, cols, random);
    const std::vector<float> x = samples::draw(samples::kind::normal, tokens * cols, random);
    const er::matrix_view<const float> reals{x.data(), tokens, cols};
    er::packed_activations memory(cols, w.group_cols(), tokens);
    const er::activation_view x8 = er::quantize_activations(reals, memory);
    const auto multiply = [&](std::vector<float>& y, er::row_range range) {
      const er::matrix_view<float> out{y.data(), tokens, rows};
      if (w.is_dense()) {
        er::gemm(w, er::unquantized{reals}, out, {.rows = range});
      } else {
        er::gemm(w, x8, out, {.rows = range});
      }
    };
    std::vector<float> whole(tokens * rows);
    multiply(whole, {0, rows});
    for (const std::size_t parts : sizes{2, 3, 7, 16}) {
      std::vector<float> shared(tokens * rows, untouched);
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < parts; ++i)
        threads.emplace_back([&, i] { multiply(shared, er::split_rows(rows, parts, i)); });
      for (std::thread& thread : threads) thread.join();
      CHECK(samples::count_differences(shared, whole) == 0);
      // Cut anywhere, in another order: rows of one tile computed twice, by two threads.
      std::vector<float> uneven(tokens * rows, untouched);
      threads.clear();
      for (std::size_t i = parts; i-- > 0;) {
        threads.emplace_back(
            [&, i] { multiply(uneven, {rows * i / parts, rows * (i + 1) / parts}); });
      }
      for (std::thread& thread : threads) thread.join();
      CHECK(samples::count_differences(uneven, whole) == 0);
    }
  }
}

TEST_CASE("partition: a token's result does not depend on the tokens beside it") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 37, cols = 130, tokens = 70;
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::any_matrix w = packed(name, rows, cols, random);
    // One token is broken: NaN in it is its own.
    std::vector<float> x = samples::draw(samples::kind::normal, tokens * cols, random);
    x[11 * cols + 3] = NAN;
    const er::matrix_view<const float> reals{x.data(), tokens, cols};
    er::packed_activations memory(cols, w.group_cols(), tokens);
    const er::activation_view x8 = er::quantize_activations(reals, memory);
    for (const er::kernel& k : er::available_kernels()) {
      std::vector<float> y(tokens * rows), y8(tokens * rows), one(rows);
      er::gemm(w, er::unquantized{reals}, er::matrix_view<float>{y.data(), tokens, rows},
               {.kernel = &k});
      if (!w.is_dense())
        er::gemm(w, x8, er::matrix_view<float>{y8.data(), tokens, rows}, {.kernel = &k});
      std::size_t wrong = 0;
      for (std::size_t t = 0; t < tokens; ++t) {
        er::gemv(w, er::unquantized{std::span<const float>{x}.subspan(t * cols, cols)},
                 std::span{one}, {.kernel = &k});
        wrong += samples::count_differences(one, std::span{y}.subspan(t * rows, rows));
        if (w.is_dense()) continue;
        er::gemv(w, x8.tokens_between(t, t + 1), std::span{one}, {.kernel = &k});
        wrong += samples::count_differences(one, std::span{y8}.subspan(t * rows, rows));
        er::gemv(w, std::span<const float>{x}.subspan(t * cols, cols), std::span{one},
                 {.kernel = &k});
        wrong += samples::count_differences(one, std::span{y8}.subspan(t * rows, rows));
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("partition: buffers that end or begin at a page that can't be touched") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t rows : sizes{1, 17, 32}) {
    for (const std::size_t cols : sizes{1, 5, 16, 19, 63, 64, 65, 130}) {
      for (const char* name : all_names) {
        CAPTURE(name);
        CAPTURE(rows);
        CAPTURE(cols);
        const er::any_matrix owned = packed(name, rows, cols, random);
        for (const guarded::edge edge : {guarded::edge::end, guarded::edge::begin}) {
          const guarded::array<std::byte> bytes(owned.bytes(), edge);
          const er::any_matrix w =
              er::any_matrix::from_bytes(owned.fmt(), rows, cols, bytes.span());
          for (const std::size_t tokens : sizes{1, 5}) {
            const guarded::array<float> x(
                samples::draw(samples::kind::uniform, tokens * cols, random), edge);
            const er::matrix_view<const float> reals{x.data(), tokens, cols};
            // Codes by hand: a row ends at the next multiple of 4 columns, scales and sums at their
            // last group.
            er::packed_activations memory(cols, w.group_cols(), tokens);
            const er::activation_view loose = er::quantize_activations(reals, memory);
            const std::size_t stride = (cols + 3) / 4 * 4, groups = loose.groups();
            std::vector<std::int8_t> codes;
            std::vector<float> scales;
            std::vector<std::int32_t> sums;
            for (std::size_t t = 0; t < tokens; ++t) {
              codes.insert(codes.end(), memory.codes(t), memory.codes(t) + stride);
              scales.insert(scales.end(), memory.scales(t), memory.scales(t) + groups);
              sums.insert(sums.end(), memory.sums(t), memory.sums(t) + groups);
            }
            const guarded::array<std::int8_t> codes_at(codes, edge);
            const guarded::array<float> scales_at(scales, edge);
            const guarded::array<std::int32_t> sums_at(sums, edge);
            const er::activation_view tight{
                codes_at.data(),  scales_at.data(), sums_at.data(), tokens, cols,
                loose.group_cols, stride,           groups};
            std::vector<float> expected(tokens * rows);
            const er::matrix_view<float> out{expected.data(), tokens, rows};
            for (const er::kernel& k : er::available_kernels()) {
              const guarded::array<float> y(std::vector<float>(tokens * rows), edge);
              const er::matrix_view<float> to{y.data(), tokens, rows};
              er::gemm(owned, er::unquantized{reals}, out, {.kernel = er::find_kernel("scalar")});
              er::gemm(w, er::unquantized{reals}, to, {.kernel = &k});
              CHECK(samples::count_differences(y.span(), expected) == 0);
              if (w.is_dense()) continue;
              er::gemm(owned, loose, out, {.kernel = er::find_kernel("scalar")});
              er::gemm(w, tight, to, {.kernel = &k});
              CHECK(samples::count_differences(y.span(), expected) == 0);
            }
          }
          const guarded::array<float> row(std::vector<float>(cols), edge);
          for (std::size_t r = 0; r < rows; ++r) er::look_up_row(w, r, row.span());
        }
      }
    }
  }
}

TEST_CASE("partition: buffers at any address") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::size_t rows = 35, cols = 150, tokens = 5;
  for (const char* name : all_names) {
    CAPTURE(name);
    const er::any_matrix owned = packed(name, rows, cols, random);
    const std::vector<float> x = samples::draw(samples::kind::uniform, tokens * cols, random);
    for (std::size_t shift = 0; shift < 8; ++shift) {
      // Packed bytes at any byte, dense elements at any element, activations at any code, floats at
      // any float.
      const std::size_t bytes_off = owned.is_dense() ? 4 * shift : shift + 8 * (shift % 3);
      er::byte_storage storage(owned.bytes().size() + 64);
      std::copy(owned.bytes().begin(), owned.bytes().end(), storage.data() + bytes_off);
      const er::any_matrix w = er::any_matrix::from_bytes(
          owned.fmt(), rows, cols, {storage.data() + bytes_off, owned.bytes().size()});
      std::vector<float> moved_x(tokens * cols + 16), y(tokens * rows + 16),
          expected(tokens * rows);
      std::copy(x.begin(), x.end(), moved_x.begin() + static_cast<std::ptrdiff_t>(shift));
      const er::matrix_view<const float> from{x.data(), tokens, cols},
          moved{moved_x.data() + shift, tokens, cols};
      const er::matrix_view<float> out{expected.data(), tokens, rows},
          to{y.data() + shift, tokens, rows};
      er::packed_activations memory(cols, w.group_cols(), tokens);
      const er::activation_view x8 = er::quantize_activations(from, memory);
      std::vector<std::int8_t> codes(tokens * 157 + 16);
      for (std::size_t t = 0; t < tokens; ++t)
        std::copy_n(memory.codes(t), 152, codes.data() + shift + t * 157);
      er::activation_view moved8 = x8;
      moved8.codes = codes.data() + shift;
      moved8.code_stride = 157;
      for (const er::kernel& k : er::available_kernels()) {
        er::gemm(owned, er::unquantized{from}, out, {.kernel = er::find_kernel("scalar")});
        er::gemm(w, er::unquantized{moved}, to, {.kernel = &k});
        CHECK(samples::count_differences({to.data, tokens * rows}, expected) == 0);
        if (w.is_dense()) continue;
        er::gemm(owned, x8, out, {.kernel = er::find_kernel("scalar")});
        er::gemm(w, moved8, to, {.kernel = &k});
        CHECK(samples::count_differences({to.data, tokens * rows}, expected) == 0);
      }
    }
  }
}

TEST_SUITE_END();
