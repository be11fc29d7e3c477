// SPDX-License-Identifier: Apache-2.0
/// Precision maps: the masks of all six on small shapes, and quantization at two precisions.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

/// The mask as text, one line a row: "10|00".
template <er::precision_map Map>
std::string mask(const Map& map, std::size_t rows, std::size_t cols, std::size_t group,
                 const float* data = nullptr) {
  const std::size_t groups = group == 0 ? 1 : (cols + group - 1) / group;
  std::vector<std::uint8_t> high(rows * groups, 9);
  map(er::matrix_view<const float>{data, rows, cols}, group, high);
  std::string text;
  for (std::size_t i = 0; i < high.size(); ++i) {
    if (i != 0 && i % groups == 0) text += '|';
    text += static_cast<char>('0' + high[i]);
  }
  return text;
}

std::string ones(std::size_t count, char fill = '1') { return std::string(count, fill); }

template <class Function>
std::string sentence_of(Function&& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// Three rows of three groups of 4, the last of each row shorter; the group at (r, g) is spread by
/// spreads[3 * r + g].
std::vector<float> spread_groups(const std::vector<float>& spreads) {
  std::vector<float> w;
  for (std::size_t i = 0; i < 9; ++i) {
    const std::size_t columns = i % 3 == 2 ? 2 : 4;
    for (std::size_t c = 0; c < columns; ++c)
      w.push_back(5.0f + (c % 2 == 0 ? spreads[i] : -spreads[i]));
  }
  return w;
}

}  // namespace

static_assert(er::row_precision_map<er::every_nth_row> && er::row_precision_map<er::rows_modulo>);
static_assert(er::precision_map<er::leading_columns> &&
              !er::row_precision_map<er::leading_columns>);
static_assert(er::precision_map<er::largest_variance> && er::largest_variance::reads_values);

TEST_SUITE_BEGIN("policy/precision_map");

TEST_CASE("precision maps: rows") {
  CHECK(mask(er::every_nth_row{2}, 5, 128, 64) == "11|00|11|00|11");
  CHECK(mask(er::every_nth_row{8}, 9, 3, 64) == "1|0|0|0|0|0|0|0|1");
  CHECK(mask(er::every_nth_row{1}, 3, 65, 64) == "11|11|11");
  CHECK(mask(er::every_nth_row{0}, 3, 65, 64) == "00|00|00");
  CHECK(mask(er::every_nth_row{3}, 4, 500, 0) == "1|0|0|1");
  CHECK(mask(er::rows_modulo{}, 10, 64, 64) == "1|1|1|1|0|0|0|0|1|1");
  CHECK(mask(er::rows_modulo{3, 1}, 4, 64, 64) == mask(er::every_nth_row{3}, 4, 64, 64));
}

TEST_CASE("precision maps: numbers of every integral type, a negative one is named") {
  const int n = 3, least = 1;
  CHECK(mask(er::every_nth_row{n}, 4, 500, 0) == "1|0|0|1");
  CHECK(mask(er::rows_modulo{n, 1u}, 4, 64, 64) == "1|0|0|1");
  CHECK(er::largest_variance{0.5, least}.at_least == 1);
  static_assert(er::every_nth_row{}.n == 8 && er::every_nth_row{5}.row_is_high(10));
  CHECK(sentence_of([&] { (void)er::every_nth_row{-n}; }) ==
        "every_nth_row: n is -3, expected at least 0");
  CHECK(sentence_of([&] { (void)er::rows_modulo{n, -n}; }) ==
        "rows_modulo: below is -3, expected at least 0");
  CHECK(sentence_of([&] { (void)er::largest_variance{0.5, -least}; }) ==
        "largest_variance: at_least is -1, expected at least 0");
}

TEST_CASE("precision maps: leading groups") {
  CHECK(mask(er::leading_columns{0.5}, 3, 64, 16) == "1100|1100|1100");
  CHECK(mask(er::leading_columns{0.5}, 2, 65, 16) == "11000|11000");  // floor(5 / 2)
  CHECK(mask(er::leading_columns{0.1}, 2, 64, 16) == "0000|0000");
  CHECK(mask(er::leading_blocks{0.5}, 3, 40, 16) == "111|100|000");
  CHECK(mask(er::leading_blocks{1}, 2, 32, 16) == "11|11");
  CHECK(mask(er::leading_blocks{0}, 2, 32, 16) == "00|00");
  const std::string hundred = mask(er::leading_blocks_of_hundred{0.02}, 1, 250, 1);
  CHECK(hundred == "11" + ones(98, '0') + "11" + ones(98, '0') + "11" + ones(48, '0'));
  // 100 * 0.29 is 28.999999999999996 in double.
  CHECK(mask(er::leading_blocks_of_hundred{0.29}, 1, 100, 1) == ones(28) + ones(72, '0'));
}

TEST_CASE(
    "precision maps: variance takes the widest groups, the earlier of equal ones, and a last "
    "shorter group too") {
  const std::vector<float> w = spread_groups({1, 2, 3, 9, 5, 4, 2, 7, 8});
  const auto map = [&](er::largest_variance m) { return mask(m, 3, 10, 4, w.data()); };
  // A spread s gives four elements the sample variance 4 s^2 / 3, two elements 2 s^2: largest are
  // 8, 9, 7 in this order.
  CHECK(map({0}) == "000|000|000");
  CHECK(map({0, 1}) == "000|000|001");
  CHECK(map({0.25}) == "000|100|001");
  CHECK(map({0.4, 1}) == "000|100|011");
  CHECK(map({1}) == "111|111|111");
  CHECK(map({0.5, 100}) == "111|111|111");
  const std::vector<float> equal = spread_groups(std::vector<float>(9, 2.0f));
  CHECK(mask(er::largest_variance{0.5}, 3, 10, 4, equal.data()) == "101|001|001");
  // A single element has no spread.
  const std::vector<float> single{1, 2, 100};
  CHECK(mask(er::largest_variance{0.5}, 1, 3, 2, single.data()) == "10");
}

TEST_CASE("precision maps: wrong masks, proportions and missing data are named") {
  std::vector<std::uint8_t> high(7);
  const er::matrix_view<const float> shape{nullptr, 4, 128};
  CHECK(sentence_of([&] { er::every_nth_row{2}(shape, 64, high); }) ==
        "precision map: a mask of 7 entries for 4 x 2 groups");
  high.resize(8);
  CHECK(sentence_of([&] { er::largest_variance{0.5}(shape, 64, high); }).find("without data") !=
        std::string::npos);
  for (const double p : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK(sentence_of([&] { er::leading_blocks{p}(shape, 64, high); }).find("expected 0 to 1") !=
          std::string::npos);
}

TEST_CASE("precision_mask: a number of groups that wraps is refused") {
  const er::matrix_view<const float> rows{nullptr, std::size_t{1} << 62, 64};
  CHECK_THROWS_WITH_AS((void)er::precision_mask(rows, er::every_nth_row{8}, er::column_group{4}),
                       "precision map: 4611686018427387904 x 16 is too large",
                       std::invalid_argument);
  // One that agrees with a mask only where it wraps.
  std::vector<std::uint8_t> none;
  CHECK_THROWS_AS(er::every_nth_row{8}(rows, 4, none), std::invalid_argument);
}

TEST_CASE("largest_variance: a group with a NaN or an infinity is refused, not chosen at random") {
  std::vector<float> w(3 * 20, 0.5f);
  w[33] = std::numeric_limits<float>::quiet_NaN();
  const er::matrix_view<const float> view{w.data(), 3, 20};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    w[33] = bad;
    CHECK_THROWS_WITH_AS(
        (void)er::precision_mask(view, er::largest_variance{0.5}, er::column_group{8}),
        "largest_variance: the group at row 1, column 8 holds a NaN or an infinity, expected "
        "finite values",
        std::invalid_argument);
  }
  w[33] = std::numeric_limits<float>::max();  // its variance is no infinity in double
  CHECK(er::precision_mask(view, er::largest_variance{0.2}, er::column_group{8}) ==
        std::vector<std::uint8_t>{0, 0, 0, 0, 1, 0, 0, 0, 0});
}

TEST_CASE("largest_variance: a NaN that is a group by itself is refused") {
  const std::vector<float> w{1, 2, 3, 4, std::numeric_limits<float>::quiet_NaN()};
  CHECK_THROWS_WITH_AS((void)er::precision_mask(er::matrix_view<const float>{w.data(), 1, 5},
                                                er::largest_variance{0.5}, 4),
                       "largest_variance: the group at row 0, column 4 holds a NaN or an infinity, "
                       "expected finite values",
                       std::invalid_argument);
}

TEST_CASE("precision_mask: a view without data is refused, of 16 bits as of floats") {
  CHECK_THROWS_AS((void)er::precision_mask(er::matrix_view<const float>{nullptr, 2, 4},
                                           er::largest_variance{}, 4),
                  std::invalid_argument);
  CHECK_THROWS_AS((void)er::precision_mask(er::matrix_view<const er::float16>{nullptr, 2, 4},
                                           er::largest_variance{}, 4),
                  std::invalid_argument);
}

TEST_SUITE_END();
