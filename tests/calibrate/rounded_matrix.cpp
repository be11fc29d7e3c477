// SPDX-License-Identifier: Apache-2.0
/// Rounding without feedback: each group fitted, each weight on the nearest level.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("calibrate/rounded_matrix");

TEST_CASE("round_to_nearest: every weight is on the nearest of its group's values") {
  constexpr std::size_t rows = 5, cols = 75;
  const std::vector<float> w = samples::heavy_tailed(rows, cols, 1);
  for (const er::group_zero zero :
       {er::group_zero::none, er::group_zero::real, er::group_zero::integer}) {
    for (const std::size_t group : {std::size_t{0}, std::size_t{32}, std::size_t{75}}) {
      er::level_grid grid = zero == er::group_zero::none
                                ? er::level_grid::symmetric(3, group, er::scale_kind::float16)
                                : er::level_grid::with_zero(3, group, zero);
      const er::rounded_matrix result =
          er::round_to_nearest({w.data(), rows, cols}, grid, er::fit_squared_error{});
      REQUIRE(result.scales.size() == rows * grid.groups(cols));
      REQUIRE(result.zeros.size() == (grid.has_zero() ? result.scales.size() : 0));
      const std::vector<float> values = result.values();
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < cols; ++c) {
          const er::group_fit fit = result.fit(r, group == 0 ? 0 : c / group);
          CHECK(values[r * cols + c] == result.value(r, c));
          const double own = std::fabs(static_cast<double>(w[r * cols + c]) -
                                       er::level_grid::value(result.levels[r * cols + c], fit));
          for (int level = grid.min_level; level <= grid.max_level; ++level) {
            // Positions of float scales are rounded: a tie may go either way.
            CHECK(own <= std::fabs(static_cast<double>(w[r * cols + c]) -
                                   er::level_grid::value(level, fit)) +
                             1e-6 * static_cast<double>(fit.scale));
          }
        }
      }
    }
  }
}

TEST_CASE("round_to_nearest: by a policy it is the policy's fake quantization, as stored") {
  constexpr std::size_t rows = 3, cols = 200;
  const std::vector<float> w = samples::heavy_tailed(rows, cols, 2);
  const auto agrees = [&](const auto& policy) {
    using policy_type = std::remove_cvref_t<decltype(policy)>;
    std::vector<float> expected(w.size());
    er::fake_quantize<er::as_stored<policy_type>>(er::matrix_view{w.data(), rows, cols},
                                                  er::matrix_view{expected.data(), rows, cols});
    // Levels follow from the stored scale here, from the rule's own there: a weight within half a
    // unit of float16, 2^-11, of a rounding boundary may go to the neighbour.
    const std::vector<float> values =
        er::round_to_nearest({w.data(), rows, cols}, er::level_grid::of<policy_type>(),
                             er::fit_by_policy<policy_type>{})
            .values();
    std::size_t others = 0;
    for (std::size_t i = 0; i < w.size(); ++i) others += values[i] != expected[i];
    CHECK(others <= w.size() / 100);
  };
  agrees(er::int4<er::per_group<64>>{});
  agrees(er::ternary<er::per_group<64>>{});
}

TEST_CASE("round_to_nearest: any executor gives the same") {
  constexpr std::size_t rows = 200, cols = 64;
  const std::vector<float> w = samples::heavy_tailed(rows, cols, 3);
  const er::level_grid grid = er::level_grid::with_zero(2, 16);
  const er::matrix_view<const float> view{w.data(), rows, cols};
  const er::rounded_matrix one = er::round_to_nearest(view, grid, er::fit_squared_error{});
  const auto backwards = [](std::size_t count, er::grain_work work) {
    while (count > 0) work(--count);
  };
  const er::rounded_matrix other =
      er::round_to_nearest(view, grid, er::fit_squared_error{}, {}, backwards);
  CHECK(one.levels == other.levels);
  CHECK(one.scales == other.scales);
  CHECK(one.zeros == other.zeros);
}

TEST_CASE("round_to_nearest: what is no weight or importance is refused by name") {
  std::vector<float> w(12, 1.0f);
  const er::level_grid grid = er::level_grid::symmetric(4, 4);
  const auto round = [&](std::span<const float> importance) {
    return er::round_to_nearest({w.data(), 3, 4}, grid, er::fit_extremes{}, importance);
  };
  CHECK_THROWS_WITH_AS(round(std::vector<float>(3, 1.0f)),
                       "round_to_nearest: 3 importances for 4 columns", std::invalid_argument);
  CHECK_THROWS_WITH(round(std::vector<float>{1, 1, -1, 1}),
                    doctest::Contains("the importance of column 2 is -1"));
  CHECK_THROWS_WITH(round(std::vector<float>{1, std::nanf(""), 1, 1}),
                    doctest::Contains("the importance of column 1 is"));
  w[6] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(round({}), "weight at row 1, column 2 is NaN: expected finite values");
  w[6] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(round({}), "weight at row 1, column 2 is infinite: expected finite values");
}

TEST_CASE("round_to_nearest: no rows, no columns") {
  const er::level_grid grid = er::level_grid::symmetric(4, 0);
  CHECK(er::round_to_nearest({nullptr, 0, 4}, grid, er::fit_extremes{}).levels.empty());
  CHECK(er::round_to_nearest({nullptr, 3, 0}, grid, er::fit_extremes{}).scales.empty());
}

TEST_SUITE_END();
