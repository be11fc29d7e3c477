// SPDX-License-Identifier: Apache-2.0
/// gemv, gemm and look_up_row for every codec, group, scale type and shape: the reference
/// implementation against a formulation of its own, and every kernel against the reference
/// implementation bit for bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "support/operands.hpp"
#include "support/oracle.hpp"
#include "support/samples.hpp"
#include "support/shapes.hpp"
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

using sizes = std::initializer_list<std::size_t>;

std::size_t group_cols(const er::format& fmt, std::size_t cols) {
  return fmt.group == 0 ? cols : fmt.group;
}

/// Products of one matrix by all kernels; counts the elements that differ from the oracle, or from
/// the reference implementation.
struct comparison {
  er::packed_view w;
  oracle::weights expected;

  comparison(const er::packed_view& view)
      : w(view),
        expected(tile_places::matrix(view.layout().fmt(), view.rows(), view.cols(), view.bytes())) {
  }

  [[nodiscard]] std::size_t count_wrong(const er::activation_view& x) const {
    std::size_t wrong = 0;
    std::vector<float> all;
    for (std::size_t t = 0; t < x.tokens; ++t) {
      const std::vector<float> one = oracle::product(expected, x, t);
      all.insert(all.end(), one.begin(), one.end());
    }
    for (const er::kernel& k : er::available_kernels()) {
      std::vector<float> y(x.tokens * w.rows(), -3.0f);
      er::gemm(w, x, er::matrix_view<float>{y.data(), x.tokens, w.rows()}, {.kernel = &k});
      wrong += samples::count_differences(y, all);
      // A gemm of one token is another path than a gemm of many.
      std::vector<float> first(w.rows(), -3.0f);
      er::gemv(w, x.tokens_between(0, 1), std::span{first}, {.kernel = &k});
      wrong += samples::count_differences(first, std::span{all}.first(w.rows()));
    }
    return wrong;
  }

  [[nodiscard]] std::size_t count_wrong(const er::matrix_view<const float>& x) const {
    std::size_t wrong = 0;
    std::vector<float> all;
    for (std::size_t t = 0; t < x.rows; ++t) {
      const std::vector<float> one = oracle::product(expected, x.row(t));
      all.insert(all.end(), one.begin(), one.end());
    }
    for (const er::kernel& k : er::available_kernels()) {
      std::vector<float> y(x.rows * w.rows(), -3.0f);
      er::gemm(w, er::unquantized{x}, er::matrix_view<float>{y.data(), x.rows, w.rows()},
               {.kernel = &k});
      wrong += samples::count_differences(y, all);
    }
    return wrong;
  }

  [[nodiscard]] std::size_t count_wrong_rows() const {
    std::vector<float> values(w.rows() * w.cols()), row(w.cols());
    er::dequantize(w, er::matrix_view<float>{values.data(), w.rows(), w.cols()});
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < w.rows(); ++r) {
      er::look_up_row(w, r, row);
      wrong += samples::count_differences(row, std::span{values}.subspan(r * w.cols(), w.cols()));
      for (std::size_t c = 0; c < w.cols(); ++c) {
        wrong += !samples::same(row[c], expected.value(r, c));
      }
    }
    return wrong;
  }
};

}  // namespace

TEST_CASE("product: every format and shape, one token") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const shapes::coding& coding : shapes::codings) {
    for (const std::uint32_t group : shapes::groups) {
      for (const std::size_t rows : shapes::rows) {
        std::size_t wrong = 0;
        for (const std::size_t cols : shapes::cols(24)) {
          const er::format fmt = coding.with(group, shapes::kinds[i % 3]);
          const er::tile_layout layout(fmt, rows, cols);
          const std::vector<std::byte> bytes = operands::draw_matrix(
              layout, operands::all_contents[i % operands::all_contents.size()], random);
          const comparison item(er::packed_view(layout, bytes));
          const er::packed_activations x8 = operands::draw_activations(
              cols, group_cols(fmt, cols), 1,
              operands::all_codes[i / 4 % operands::all_codes.size()], random);
          wrong += item.count_wrong(x8.view());
          const std::vector<float> x = operands::draw_reals(cols, i, random);
          wrong += item.count_wrong(er::matrix_view<const float>{x.data(), 1, cols});
          if (i % 4 == 0) wrong += item.count_wrong_rows();
          ++i;
        }
        CAPTURE(coding.with(group).name());
        CAPTURE(rows);
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("product: several tokens, past every block of them") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const shapes::coding& coding : shapes::codings) {
    for (const std::size_t tokens : sizes{2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 129}) {
      const er::format fmt =
          coding.with(shapes::groups[i % shapes::groups.size()], shapes::kinds[i / 2 % 3]);
      // One panel is 64 slots, 256 columns.
      const std::size_t rows = i % 2 == 0 ? 17 : 33, cols = tokens > 33  ? 70
                                                            : i % 3 == 0 ? 577
                                                                         : 131;
      CAPTURE(fmt.name());
      CAPTURE(tokens);
      CAPTURE(cols);
      const er::tile_layout layout(fmt, rows, cols);
      const std::vector<std::byte> bytes = operands::draw_matrix(
          layout, operands::all_contents[i % operands::all_contents.size()], random);
      const comparison item(er::packed_view(layout, bytes));
      const er::packed_activations x8 =
          operands::draw_activations(cols, group_cols(fmt, cols), tokens,
                                     operands::all_codes[i % operands::all_codes.size()], random);
      CHECK(item.count_wrong(x8.view()) == 0);
      const std::vector<float> x = operands::draw_reals(tokens * (cols + 3), i, random);
      CHECK(item.count_wrong(er::matrix_view<const float>{x.data(), tokens, cols, cols + 3}) == 0);
      ++i;
    }
  }
}

TEST_CASE("product: the largest group at its extremes stays exact") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const shapes::coding& coding : shapes::codings) {
    const er::tile_layout layout(coding.with(0), 1, er::format::largest_group);
    for (const operands::content what : {operands::content::maximal, operands::content::minimal}) {
      const std::vector<std::byte> bytes = operands::draw_matrix(layout, what, random);
      const comparison item(er::packed_view(layout, bytes));
      const er::packed_activations x8 = operands::draw_activations(
          layout.cols(), layout.cols(), 4, operands::codes::smallest, random);
      CAPTURE(layout.fmt().name());
      CHECK(item.count_wrong(x8.view()) == 0);
    }
  }
}

TEST_CASE("product: more groups than are held at once") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const shapes::coding& coding : shapes::codings) {
    for (const std::size_t cols :
         sizes{60, 64, 68, 127, 128, 129, 200}) {  // 15, 16, 17 ... groups of 4
      const er::tile_layout layout(coding.with(4), 20, cols);
      const std::vector<std::byte> bytes =
          operands::draw_matrix(layout, operands::content::any_bytes, random);
      const comparison item(er::packed_view(layout, bytes));
      const er::packed_activations x8 =
          operands::draw_activations(cols, 4, 5, operands::codes::random, random);
      CAPTURE(layout.fmt().name());
      CAPTURE(cols);
      CHECK(item.count_wrong(x8.view()) == 0);
    }
  }
}

TEST_CASE("product: dense matrices") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t i = 0;
  for (const er::scale_kind element : shapes::kinds) {
    er::matrix_format fmt;
    fmt.element = element;
    for (const std::size_t rows : sizes{1, 4, 31, 32, 33, 70}) {  // 32 rows share the tokens
      for (const std::size_t cols : sizes{1, 15, 16, 17, 100, 576}) {
        const std::vector<float> w = samples::draw(samples::nth_kind(i++), rows * cols, random);
        const std::size_t tokens = 1 + i % 6;
        const er::any_matrix matrix =
            er::any_matrix::pack(fmt, er::matrix_view<const float>{w.data(), rows, cols});
        const std::vector<float> x = operands::draw_reals(tokens * cols, i, random);
        std::vector<float> row(cols), expected(tokens * rows);
        std::size_t wrong = 0;
        for (std::size_t r = 0; r < rows; ++r) {
          er::look_up_row(matrix, r, row);
          for (std::size_t c = 0; c < cols; ++c) {
            const float value = w[r * cols + c];
            wrong += !samples::same(row[c], element == er::scale_kind::float32 ? value
                                            : element == er::scale_kind::float16
                                                ? float{er::float16{value}}
                                                : float{er::bfloat16{value}});
          }
          for (std::size_t t = 0; t < tokens; ++t) {
            expected[t * rows + r] =
                oracle::dense_product(row, std::span{x}.subspan(t * cols, cols));
          }
        }
        for (const er::kernel& k : er::available_kernels()) {
          std::vector<float> y(tokens * rows, -3.0f);
          er::gemm(matrix, er::unquantized{er::matrix_view<const float>{x.data(), tokens, cols}},
                   er::matrix_view<float>{y.data(), tokens, rows}, {.kernel = &k});
          wrong += samples::count_differences(y, expected);
          std::vector<float> first(rows, -3.0f);
          er::gemv(matrix, std::span{x}.first(cols), std::span{first},
                   {.kernel = &k});  // a dense matrix takes x as it is
          wrong += samples::count_differences(first, std::span{expected}.first(rows));
        }
        CAPTURE(fmt.name());
        CAPTURE(rows);
        CAPTURE(cols);
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("product: float activations are the real product to within rounding") {
  // Against a sum in double of s (code - z) x, or s code x + m x, of the numbers as stored. A
  // column passes at most 64 / 4 fmas of its chain (or additions of the group's sum), two
  // additions, one fma with z, and one fma or two for each of 10 groups, each of which rounds a
  // partial sum of at most the sum of magnitudes s (|code| + |z|) |x| + |m x|.
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const shapes::coding& coding : shapes::codings) {
    const std::size_t rows = 33, cols = 577;
    const er::zero_kind zero = coding.zero;
    er::format fmt = coding.with(64);
    fmt.two_level = false;
    const std::vector<float> w = samples::draw(samples::kind::normal, rows * cols, random);
    const std::vector<float> x = samples::draw(samples::kind::uniform, cols, random);
    er::any_matrix matrix =
        er::any_matrix::pack(fmt, er::matrix_view<const float>{w.data(), rows, cols});
    std::vector<std::uint8_t> codes(rows * cols);
    er::unpack(*matrix.packed(), er::matrix_view<std::uint8_t>{codes.data(), rows, cols});
    if (coding.two_level) {
      std::vector<float> scales(rows * 10), zeros(rows * 10);
      er::unpack_scales(*matrix.packed(), {scales.data(), rows, 10});
      er::unpack_zeros(*matrix.packed(), {zeros.data(), rows, 10});
      matrix = er::pack_levels(coding.with(64), er::matrix_view{codes.data(), rows, cols},
                               {scales.data(), rows, 10}, {zeros.data(), rows, 10});
    }
    const er::packed_view& packed = *matrix.packed();
    for (const er::kernel& k : er::available_kernels()) {
      std::vector<float> y(rows);
      er::gemv(matrix, er::unquantized{std::span<const float>{x}}, std::span{y}, {.kernel = &k});
      for (std::size_t r = 0; r < rows; ++r) {
        double sum = 0, magnitudes = 0;
        for (std::size_t c = 0; c < cols; ++c) {
          const double s = double{er::scale_at(packed, r, c / 64)} * double{x[c]},
                       number = double{er::zero_at(packed, r, c / 64)}, level = codes[r * cols + c];
          if (zero == er::zero_kind::minimum) {
            sum += s * level + number * double{x[c]};
            magnitudes += std::fabs(s * level) + std::fabs(number * double{x[c]});
          } else {
            sum += s * (level - number);
            magnitudes += zero == er::zero_kind::none ? std::fabs(s * (level - number))
                                                      : std::fabs(s) * (level + std::fabs(number));
          }
        }
        const double bound = 0x1p-24 * (64.0 / 4 + 2 + (zero == er::zero_kind::none ? 10 : 21)) *
                             magnitudes * (1 + 0x1p-10);  // and second order
        CHECK(std::fabs(static_cast<double>(y[r]) - sum) <= bound);
      }
    }
  }
}

TEST_SUITE_END();
