// SPDX-License-Identifier: Apache-2.0
/// Scales and zeros under two numbers of 16 rows: by hand, near what they were, and the same as
/// pack_levels stores.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/matrix/pack_levels.hpp>
#include <edgerazor/matrix/two_level.hpp>
#include <edgerazor/matrix/validate.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("matrix/two_level");

using error = std::invalid_argument;

namespace {
std::vector<float> rounded(std::vector<float> numbers) {
  er::round_to_two_levels({numbers.data(), numbers.size(), 1});
  return numbers;
}
}  // namespace

TEST_CASE("two_level: eight steps from the smallest to the largest") {
  // unit = 7 / 7, zero = -1: 3.4 / 1 - 1 = 2.4 is code 2.
  CHECK(rounded({1, 8, 3.4f, 3.5f, 4.5f}) == std::vector<float>{1, 8, 3, 3, 5});
  // unit = 3.5 / 7, zero = 4: -2 is code 0, 0 is code 4, 1.5 is code 7.
  CHECK(rounded({-2, 0, 1.5f, 0.3f}) == std::vector<float>{-2, 0, 1.5f, 0.5f});
  CHECK(rounded({0.75f}) == std::vector<float>{0.75f});
  CHECK(rounded({-0.75f, -0.75f}) == std::vector<float>{-0.75f, -0.75f});
  CHECK(rounded({0, 0, 0}) == std::vector<float>{0, 0, 0});
  // Rows of the next tile are on their own.
  std::vector<float> numbers(17, 1.0f);
  numbers[0] = 8, numbers[16] = 3.25f;
  CHECK(rounded(numbers)[16] == 3.25f);
}

TEST_CASE("two_level: no number moves by more than half a step and what float16 loses") {
  std::mt19937 random(9);
  for (const samples::kind kind : samples::all_kinds) {
    for (const float far : {0.0f, 0.05f, -3.0f}) {
      std::vector<float> numbers = samples::draw(kind, 16, random);
      for (float& v : numbers) v += far;
      const std::vector<float> after = rounded(numbers);
      const auto [low, high] = std::ranges::minmax(numbers);
      const float largest = std::max(std::fabs(low), std::fabs(high));
      // The unit's rounding moves the last code by 7 units' 2^-11, the zero's by half of its own
      // last place, at most a quarter of a unit; a unit is at least 2^-24.
      const float unit = std::max({(high - low) / 7, largest / 1024, 0x1p-24f});
      std::size_t wrong = 0;
      for (std::size_t r = 0; r < 16; ++r)
        wrong += !(std::fabs(after[r] - numbers[r]) <= unit * 0.77f + largest * 0x1p-10f);
      CAPTURE(static_cast<int>(kind));
      CAPTURE(far);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("two_level: quantizing by rows is pack_levels' alone") {
  const er::matrix_format fmt = *er::matrix_format::parse("int3z_g16_q3");
  const std::vector<float> w(16 * 16, 0.5f);
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::any_matrix::pack(fmt, er::matrix_view{w.data(), 16, 16})),
      "any_matrix: int3z_g16_q3 has statistics of 16 rows, which pack_levels makes", error);
  const er::matrix_format mixed = *er::matrix_format::parse("int8_g16+int3z_g16_q3:every_4_rows");
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::any_matrix::pack(mixed, er::matrix_view{w.data(), 16, 16})),
      "mixed matrix: int3z_g16_q3 has statistics of 16 rows, which pack_levels makes", error);
}

TEST_CASE("two_level: a file's numbers are finite and its codes have 3 bits") {
  const er::matrix_format fmt = *er::matrix_format::parse("int3z_g16_q3");
  const er::tile_layout layout(fmt.first, 20, 40);
  std::vector<std::byte> bytes(layout.bytes());
  const auto fault = [&] { return er::find_fault(er::any_matrix::from_bytes(fmt, 20, 40, bytes)); };
  CHECK_FALSE(fault());
  std::fill_n(bytes.begin(), 16, std::byte{63});
  CHECK_FALSE(fault());
  std::byte* const second = bytes.data() + layout.group_offset(16, 2);
  second[3] = std::byte{64};
  CHECK(fault() == "the scale's or zero's code of row 19, group 2 has more than 3 bits");
  second[3] = std::byte{0};
  for (std::size_t i = 0; i < 4; ++i) {
    er::detail::matrix::write_scale(second + 16 + 2 * i, er::scale_kind::float16,
                                    i % 2 == 0 ? NAN : INFINITY);
    CHECK(fault() == "a number of rows 16 to 31, group 2 is " +
                         std::string{i % 2 == 0 ? "NaN" : "infinite"} +
                         ": expected finite scales and zeros");
    er::detail::matrix::write_scale(second + 16 + 2 * i, er::scale_kind::float16, 0);
  }
  CHECK_FALSE(fault());
}

TEST_SUITE_END();
