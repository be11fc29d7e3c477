// SPDX-License-Identifier: Apache-2.0
/// Matrices of two precisions: every map, any cut, and bytes from strangers.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/mixed_matrix");

namespace {

using sizes = std::initializer_list<std::size_t>;

using error = std::invalid_argument;

std::vector<float> dequantized(const er::mixed_matrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.cols(), -9.0f);
  er::dequantize(matrix, er::matrix_view<float>{values.data(), matrix.rows(), matrix.cols()});
  return values;
}

/// A mixed matrix of 20 rows and 5 groups whose mask has no structure.
struct example {
  static constexpr std::size_t rows = 20, cols = 75, groups = 5;
  er::format high{er::code_type::int4, 16}, low{er::code_type::ternary2, 16};
  std::vector<std::uint8_t> mask;
  std::vector<float> w;
  er::mixed_matrix matrix;

  explicit example(std::mt19937& random)
      : mask(rows * groups), w(samples::draw(samples::kind::normal, rows * cols, random)) {
    for (std::uint8_t& m : mask) m = random() % 2 == 0 ? 0 : 7;  // not zero means higher
    // No two neighbouring columns of the mask are alike, so there are five runs.
    for (std::size_t g = 0; g < groups; ++g) mask[g] = g % 2 == 0 ? 1 : 0;
    matrix = er::mixed_matrix(high, low, rows, cols, mask);
    matrix.pack_rows(0, weights(), er::int4<er::per_group<16>>{}, er::ternary<er::per_group<16>>{});
  }
  [[nodiscard]] er::matrix_view<const float> weights() const { return {w.data(), rows, cols}; }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    return {matrix.bytes().begin(), matrix.bytes().end()};
  }
  [[nodiscard]] er::mixed_matrix read(std::span<const std::byte> bytes) const {
    return er::mixed_matrix::from_bytes(high, low, rows, cols, bytes);
  }
};

void write_word(std::vector<std::byte>& bytes, std::size_t index, std::uint64_t value) {
  std::memcpy(bytes.data() + 8 * index, &value, 8);
}

}  // namespace

TEST_CASE("mixed matrix: a map of rows is two parts, one of columns two runs") {
  const std::vector<float> w(17 * 64, 0.5f);
  const er::matrix_view<const float> weights{w.data(), 17, 64};
  using high = er::int4<er::per_group<16>>;
  using low = er::ternary<er::per_group<16>>;
  const er::mixed_matrix rows = er::pack_mixed<high, low>(weights, er::every_nth_row{8});
  REQUIRE(rows.segments().size() == 2);
  CHECK(rows.segments()[0].high);
  CHECK(std::ranges::equal(rows.segments()[0].rows, std::vector<std::uint32_t>{0, 8, 16}));
  CHECK(rows.segments()[1].rows.size() == 14);
  CHECK(rows.segments()[1].layout.cols() == 64);
  const er::mixed_matrix columns = er::pack_mixed<high, low>(weights, er::leading_columns{0.25});
  REQUIRE(columns.segments().size() == 2);
  CHECK(columns.segments()[0].layout.cols() == 16);
  CHECK(columns.segments()[1].col_begin == 16);
  CHECK(columns.segments()[1].layout.cols() == 48);
  CHECK(er::pack_mixed<high, low>(weights, er::every_nth_row{0}).segments().size() == 1);
  for (const er::mixed_matrix::segment& part : rows.segments()) CHECK(part.offset % 64 == 0);
}

TEST_CASE("mixed matrix: rows filled piecewise make the same bytes; a move keeps them") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const example whole(random);
  er::mixed_matrix pieces(whole.high, whole.low, example::rows, example::cols, whole.mask);
  for (const er::row_range part :
       {er::row_range{13, 20}, er::row_range{0, 1}, er::row_range{1, 13}, er::row_range{5, 5}}) {
    pieces.pack_rows(part.begin, whole.weights().rows_between(part.begin, part.end),
                     er::int4<er::per_group<16>>{}, er::ternary<er::per_group<16>>{});
  }
  const er::mixed_matrix moved = std::move(pieces);
  CHECK(std::equal(moved.bytes().begin(), moved.bytes().end(), whole.matrix.bytes().begin(),
                   whole.matrix.bytes().end()));
  CHECK(dequantized(moved) == dequantized(whole.matrix));
  const er::mixed_matrix zeros(whole.high, whole.low, example::rows, example::cols, whole.mask);
  CHECK(dequantized(zeros) == std::vector<float>(example::rows * example::cols, 0.0f));
}

TEST_CASE("mixed matrix: bytes of strangers") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const example good(random);
  const std::vector<std::byte> bytes = good.bytes();
  REQUIRE(good.matrix.segments().size() == 10);
  CHECK(dequantized(good.read(bytes)) == dequantized(good.matrix));

  SUBCASE("cut or extended anywhere") {
    std::size_t accepted = 0;
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      // A copy of its own size, so that a sanitizer sees every byte read past the end.
      const std::vector<std::byte> cut(bytes.begin(),
                                       bytes.begin() + static_cast<std::ptrdiff_t>(size));
      try {
        (void)good.read(cut);
        ++accepted;
      } catch (const error&) {
      }
    }
    CHECK(accepted == 0);
    std::vector<std::byte> longer = bytes;
    longer.push_back(std::byte{0});
    CHECK_THROWS_AS((void)good.read(longer), error);
    CHECK_THROWS_AS((void)good.read({}), error);
  }
  SUBCASE("another number of runs") {
    for (const std::uint64_t runs :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4}, std::uint64_t{6},
          std::uint64_t{1} << 32, std::uint64_t{1} << 61, UINT64_MAX}) {
      std::vector<std::byte> changed = bytes;
      write_word(changed, 0, runs);
      CAPTURE(runs);
      CHECK_THROWS_AS((void)good.read(changed), error);
    }
  }
  SUBCASE("runs out of order") {
    struct change {
      std::size_t index;
      std::uint64_t value;
    };
    for (const change c : {change{1, 1}, change{2, 0}, change{2, 2}, change{3, 1}, change{5, 5},
                           change{5, UINT64_MAX}, change{3, UINT64_MAX / 16 + 2}}) {
      std::vector<std::byte> changed = bytes;
      write_word(changed, c.index, c.value);
      CAPTURE(c.index);
      CAPTURE(c.value);
      CHECK_THROWS_AS((void)good.read(changed), error);
    }
  }
  SUBCASE(
      "another mask is another matrix, of a size that does not fit or of other values, and never "
      "read past the end") {
    for (std::size_t bit = 0; bit < 5 * 24; ++bit) {
      std::vector<std::byte> changed = bytes;
      changed[8 * 6 + bit / 8] ^= std::byte{1} << bit % 8;
      try {
        (void)dequantized(good.read(changed));
      } catch (const error&) {
      }
    }
    CHECK(true);
  }
  SUBCASE("other formats and shapes") {
    const auto read = [&](er::format high, er::format low, std::size_t rows, std::size_t cols) {
      (void)er::mixed_matrix::from_bytes(high, low, rows, cols, bytes);
    };
    CHECK_THROWS_AS(read(good.high, {er::code_type::ternary2, 32}, 20, 75), error);
    CHECK_THROWS_AS(read({er::code_type::int4, 32}, {er::code_type::ternary2, 32}, 20, 75), error);
    CHECK_THROWS_AS(read({er::code_type::int8, 16}, good.low, 20, 75), error);
    CHECK_THROWS_AS(read(good.high, good.low, 200, 75), error);
    CHECK_THROWS_AS(read(good.high, good.low, 20, 200), error);
    CHECK_THROWS_AS(read(good.high, good.low, 0, 75), error);
    CHECK_THROWS_AS(read(good.high, good.low, 20, 0), error);
    CHECK_THROWS_AS(read(good.high, good.low, SIZE_MAX, 75), error);
    CHECK_THROWS_AS(read(good.high, good.low, 20, SIZE_MAX), error);
  }
}

TEST_CASE(
    "mixed matrix: what is refused names the matrix's own row and group, and nothing is written") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  example item(random);
  const std::vector<std::byte> before = item.bytes();
  const er::int4<er::per_group<16>> high;
  const er::ternary<er::per_group<16>> low;

  std::vector<float> w(item.w.size(), 0.25f);
  w[13 * example::cols + 50] = NAN;
  const er::matrix_view<const float> weights{w.data(), example::rows, example::cols};
  CHECK_THROWS_WITH_AS(item.matrix.pack_rows(0, weights, high, low),
                       "weight at row 13, column 50 is NaN: expected finite values", error);
  // A scale past float16, whichever precision the group has: 1e7 / 7 or 2e7 / 16.
  w[13 * example::cols + 50] = 1e7f;
  for (const std::size_t first : sizes{0, 10}) {
    try {
      item.matrix.pack_rows(first, weights.rows_between(first, example::rows), high, low);
      FAIL("accepted");
    } catch (const error& refusal) {
      CHECK(std::string{refusal.what()}.find("of row 13, group 3 is out of the range") !=
            std::string::npos);
    }
  }
  const er::matrix_view<const float> rows = item.weights();
  CHECK_THROWS_AS(item.matrix.pack_rows(1, rows, high, low), error);
  CHECK_THROWS_AS(item.matrix.pack_rows(SIZE_MAX, rows.rows_between(0, 1), high, low), error);
  CHECK_THROWS_AS(
      item.matrix.pack_rows(0, er::matrix_view<const float>{w.data(), 20, 74}, high, low), error);
  CHECK_THROWS_WITH_AS(item.matrix.pack_rows(0, rows, er::int8<er::per_group<16>>{}, low),
                       "mixed matrix: levels -127 to 127 do not fit int4_g16", error);
  CHECK_THROWS_AS(item.matrix.pack_rows(0, rows, high, er::int4<er::per_group<16>>{}), error);
  er::mixed_matrix borrowed = item.read(before);
  CHECK_THROWS_AS(borrowed.pack_rows(0, rows, high, low), error);
  CHECK(item.bytes() == before);

  CHECK_THROWS_AS(er::mixed_matrix(item.high, item.low, 20, 75, std::vector<std::uint8_t>(99)),
                  error);
  CHECK_THROWS_AS(er::mixed_matrix(item.high, {er::code_type::ternary2, 32}, 20, 75, item.mask),
                  error);
  CHECK_THROWS_AS(er::mixed_matrix(item.high, item.low, 0, 75, {}), error);
  std::vector<float> values(20 * 75);
  CHECK_THROWS_WITH_AS(er::dequantize(item.matrix, er::matrix_view<float>{values.data(), 20, 74}),
                       "dequantize: a matrix of 20 x 75 does not fit an output of 20 x 74", error);
}

TEST_CASE("mixed matrix: moved from, it has no rows") {
  const er::format high{er::code_type::int4, 4}, low{er::code_type::ternary2, 4};
  const std::vector<std::uint8_t> mask{1, 0};
  er::mixed_matrix matrix(high, low, 2, 4, mask);
  const er::mixed_matrix taken{std::move(matrix)};
  CHECK(taken.segments().size() == 2);
  CHECK(matrix.rows() == 0);  // NOLINT(bugprone-use-after-move): what is left is defined
  CHECK(matrix.cols() == 0);
  CHECK(matrix.segments().empty());
  CHECK(matrix.bytes().empty());
}

TEST_CASE("runs of a file that are one are refused: whoever reorders rows merges them") {
  // Two runs of a group, in both of which row 0 is the higher one.
  const er::format int8{er::code_type::int8, 4};
  const er::tile_layout part(int8, 1, 4);
  std::vector<std::byte> bytes(64 + 4 * part.bytes());
  const std::uint64_t head[] = {2, 0, 1};
  std::memcpy(bytes.data(), head, sizeof head);
  bytes[24] = bytes[25] = std::byte{1};
  const auto accepted = [&] {
    return er::mixed_matrix::from_bytes(int8, int8, 2, 8, bytes).segments().size();
  };
  CHECK_THROWS_WITH_AS((void)accepted(), doctest::Contains("that follow each other are one"),
                       error);
  bytes[25] = std::byte{2};
  CHECK(accepted() == 4);
}

TEST_CASE("a mixed matrix moved onto itself stays as it was") {
  const std::vector<float> w(16 * 8, 1.0f);
  auto matrix = er::pack_mixed<er::int4<er::per_group<8>>, er::ternary<er::per_group<8>>>(
      er::matrix_view<const float>{w.data(), 16, 8}, er::every_nth_row{2});
  auto& again = matrix;
  matrix = std::move(again);
  CHECK(matrix.rows() == 16);
  CHECK(matrix.segments().size() == 2);
}

TEST_SUITE_END();
