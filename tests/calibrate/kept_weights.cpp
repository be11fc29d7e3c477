// SPDX-License-Identifier: Apache-2.0
/// Rounding that keeps some weights. The published numbers are those of calibrate/tacq.
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/kept_weights.hpp>

namespace er = edgerazor;

namespace {
struct problem {
  std::size_t rows = 70, cols = 150;
  std::vector<float> weights = samples::heavy_tailed(rows, cols, 1);
  std::vector<std::uint8_t> mask = std::vector<std::uint8_t>(rows * cols);
  er::second_moments moments{cols};

  problem() {
    const std::vector<float> x = samples::correlated(600, cols, 2);
    moments.add({x.data(), 600, cols});
    for (std::size_t i = 5; i < mask.size(); i += 37) mask[i] = 1;
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
  [[nodiscard]] er::matrix_view<const std::uint8_t> kept() const {
    return {mask.data(), rows, cols};
  }
};
}  // namespace

TEST_SUITE_BEGIN("calibrate/kept_weights");

TEST_CASE("round_by_feedback_keeping: the masked ones, exactly; less error; its error is true") {
  const problem p;
  for (const er::group_zero zero :
       {er::group_zero::none, er::group_zero::real, er::group_zero::integer}) {
    const er::level_grid grid = zero == er::group_zero::none
                                    ? er::level_grid::symmetric(3, 32)
                                    : er::level_grid::with_zero(3, 32, zero);
    for (const er::column_order order : {er::column_order::natural, er::column_order::descending}) {
      const er::inverse_factor factor = er::damped_inverse_factor(p.moments, {.order = order});
      for (const er::groups_fitted_on on :
           {er::groups_fitted_on::fresh, er::groups_fitted_on::original}) {
        const er::kept_result result = er::round_by_feedback_keeping(
            p.view(), p.kept(), factor, grid, er::fit_extremes{}, {.fitted_on = on});
        std::size_t masked = 0;
        for (const std::uint8_t m : p.mask) masked += m;
        CHECK(result.kept.size() == masked);
        for (const er::sparse_entry& entry : result.kept) {
          const std::size_t column =
              result.permutation.empty() ? entry.col : result.permutation[entry.col];
          CHECK(p.mask[entry.row * p.cols + column] == 1);
          const er::group_fit fit = result.rounded.fit(entry.row, entry.col / 32);
          CHECK(result.rounded.levels[entry.row * p.cols + entry.col] == grid.level(0, fit));
        }
        const std::vector<float> values = result.values();
        CHECK(er::output_error(p.view(), {values.data(), p.rows, p.cols}, p.moments) ==
              doctest::Approx(result.squared_output_error).epsilon(1e-4));
        const er::feedback_result plain =
            er::round_by_feedback(p.view(), factor, grid, er::fit_extremes{}, {.fitted_on = on});
        CHECK(result.squared_output_error < plain.squared_output_error);
      }
    }
  }
}

TEST_CASE("round_by_feedback_keeping: nothing kept is plain feedback, all kept is no error") {
  problem p;
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
  const er::level_grid grid = er::level_grid::with_zero(3, 32);
  p.mask.assign(p.mask.size(), 0);
  const er::kept_result none =
      er::round_by_feedback_keeping(p.view(), p.kept(), factor, grid, er::fit_extremes{});
  const er::feedback_result plain =
      er::round_by_feedback(p.view(), factor, grid, er::fit_extremes{});
  CHECK(none.rounded.levels == plain.rounded.levels);
  CHECK(none.squared_output_error == plain.squared_output_error);
  p.mask.assign(p.mask.size(), 1);
  const er::kept_result all =
      er::round_by_feedback_keeping(p.view(), p.kept(), factor, grid, er::fit_extremes{});
  CHECK(all.squared_output_error == 0);
  const std::vector<float> values = all.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] == doctest::Approx(p.weights[i]).epsilon(1e-5));
  }
}

TEST_CASE("round_by_feedback_keeping: what does not fit is refused by name") {
  const problem p;
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::round_by_feedback_keeping(
          p.view(), {p.mask.data(), 7, p.cols}, er::damped_inverse_factor(p.moments),
          er::level_grid::symmetric(3, 32), er::fit_extremes{})),
      "round_by_feedback_keeping: weights 70 x 150, mask 7 x 150", std::invalid_argument);
}

TEST_SUITE_END();
