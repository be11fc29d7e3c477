// SPDX-License-Identifier: Apache-2.0
/// Rounding with error feedback: the published function's numbers, its definition, its errors.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include "support/golden.hpp"
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>

namespace er = edgerazor;

namespace {
struct problem {
  std::size_t rows, cols;
  std::vector<float> weights;
  er::second_moments moments;

  problem(std::size_t row_count, std::size_t col_count, std::size_t tokens = 1000)
      : rows(row_count),
        cols(col_count),
        weights(samples::heavy_tailed(rows, cols, 1)),
        moments(cols) {
    const std::vector<float> x = samples::correlated(tokens, cols, 2);
    moments.add({x.data(), tokens, cols});
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};

/// One row by the definition, without blocks, strips or Eigen: levels at places.
std::vector<int> plain_feedback(const problem& p, std::size_t r, const er::inverse_factor& factor,
                                const er::level_grid& grid) {
  std::vector<double> w(p.cols);
  for (std::size_t i = 0; i < p.cols; ++i) {
    w[i] = static_cast<double>(p.weights[r * p.cols + factor.column(i)]);
  }
  std::vector<int> levels(p.cols);
  er::group_fit fit;
  const std::size_t columns = grid.group_columns(p.cols);
  for (std::size_t i = 0; i < p.cols; ++i) {
    if (i % columns == 0) {
      std::vector<float> group;
      for (std::size_t j = i; j < std::min(i + columns, p.cols); ++j)
        group.push_back(static_cast<float>(w[j]));
      fit = grid.stored(er::fit_extremes{}(group, {}, grid));
    }
    const auto at = static_cast<Eigen::Index>(i);
    levels[i] = grid.level(w[i], fit);
    const double error = (w[i] - er::level_grid::value(levels[i], fit)) / factor.upper(at, at);
    for (std::size_t j = i + 1; j < p.cols; ++j) {
      w[j] -= error * factor.upper(at, static_cast<Eigen::Index>(j));
    }
  }
  return levels;
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/round_by_feedback");

TEST_CASE("golden: the published function's values and errors") {
  const nlohmann::json data = golden::load("calibration.json");
  const std::size_t rows = data["shape"][0], cols = data["shape"][1];
  const std::vector<float> weights = golden::floats(data["weights_f32"]);
  const std::vector<float> x = golden::floats(data["x_f32"]);
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  er::second_moments moments(cols);
  moments.add({x.data(), x.size() / cols, cols});
  moments = moments.scaled(2.0 / data["samples"].get<double>());
  for (const auto& c : data["gptq"]["cases"]) {
    const std::size_t group = c["group"];
    const er::level_grid grid =
        er::level_grid::with_zero(c["bits"], group == cols ? 0 : group, er::group_zero::integer);
    const bool given = c["order"] == "given";
    const er::inverse_factor factor = er::damped_inverse_factor(
        moments, {.order = given ? er::column_order::natural : er::column_order::descending});
    const er::feedback_result result = er::round_by_feedback(
        view, factor, grid, er::fit_extremes{}, {.fitted_on = er::groups_fitted_on::block_start});
    CAPTURE(c["bits"]);
    CHECK(result.permutation.empty());
    const std::vector<float> expected = golden::floats(c["value_f32"]);
    const std::vector<float> values = result.rounded.values();
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(std::fabs(values[i] - expected[i]) <= 1e-6f);
    }
    CHECK(result.squared_output_error == doctest::Approx(c["output_error"].get<double>()));
    CHECK(er::output_error(view, result.rounded, moments) ==
          doctest::Approx(c["output_error"].get<double>()));
    CHECK(er::output_error(view, er::round_to_nearest(view, grid, er::fit_extremes{}), moments) ==
          doctest::Approx(c["round_to_nearest_output_error"].get<double>()));
  }
}

TEST_CASE("round_by_feedback: blocks, strips and groups only order the arithmetic") {
  const problem p(67, 300);
  for (const er::column_order order : {er::column_order::natural, er::column_order::descending}) {
    const er::inverse_factor factor = er::damped_inverse_factor(p.moments, {.order = order});
    for (const std::size_t group : {0u, 4u, 32u, 48u, 128u, 132u, 256u}) {
      const er::level_grid grid = er::level_grid::with_zero(3, group);
      const er::feedback_result result = er::round_by_feedback(
          p.view(), factor, grid, er::fit_extremes{}, {.importance = er::fit_importance::none});
      CHECK(result.permutation.empty() == (group == 0 || order == er::column_order::natural));
      std::size_t others = 0;
      for (const std::size_t r : {std::size_t{0}, std::size_t{63}, std::size_t{64}, p.rows - 1}) {
        const std::vector<int> expected = plain_feedback(p, r, factor, grid);
        for (std::size_t i = 0; i < p.cols; ++i) {
          const std::size_t at = group == 0 ? factor.column(i) : i;
          others += result.rounded.levels[r * p.cols + at] != expected[i];
        }
      }
      CAPTURE(group);
      CHECK(others == 0);
    }
  }
}

TEST_CASE("round_by_feedback: its error is that of its values, and less than rounding alone") {
  const problem p(40, 200);
  for (const er::group_zero zero :
       {er::group_zero::none, er::group_zero::real, er::group_zero::integer}) {
    const er::level_grid grid =
        zero == er::group_zero::none
            ? er::level_grid::symmetric(3, 40, er::scale_kind::float16)
            : er::level_grid::with_zero(3, 40, zero, er::scale_kind::float16);
    for (const double damping : {0.01, 1.0}) {
      for (const er::column_order order :
           {er::column_order::natural, er::column_order::descending}) {
        const er::inverse_factor factor =
            er::damped_inverse_factor(p.moments, {.damping = damping, .order = order});
        const double nearest = er::output_error(
            p.view(), er::round_to_nearest(p.view(), grid, er::fit_squared_error{}), p.moments);
        for (const er::groups_fitted_on on :
             {er::groups_fitted_on::fresh, er::groups_fitted_on::block_start,
              er::groups_fitted_on::original}) {
          for (const er::fit_importance importance :
               {er::fit_importance::none, er::fit_importance::diagonal,
                er::fit_importance::inverse_factor}) {
            const er::feedback_result result =
                er::round_by_feedback(p.view(), factor, grid, er::fit_squared_error{},
                                      {.fitted_on = on, .importance = importance});
            // Values in the columns' own order.
            std::vector<float> values(p.weights.size());
            for (std::size_t r = 0; r < p.rows; ++r) {
              for (std::size_t c = 0; c < p.cols; ++c) {
                const std::size_t column = result.permutation.empty() ? c : result.permutation[c];
                values[r * p.cols + column] = result.rounded.value(r, c);
              }
            }
            const std::vector<double> errors =
                er::row_output_errors(p.view(), {values.data(), p.rows, p.cols}, p.moments);
            double sum = 0;
            for (std::size_t r = 0; r < p.rows; ++r) {
              CHECK(result.row_errors[r] == doctest::Approx(errors[r]).epsilon(1e-4));
              sum += errors[r];
            }
            CHECK(result.squared_output_error == doctest::Approx(sum).epsilon(1e-5));
            CHECK(sum < 0.8 * nearest);
            CHECK(result.permutation.empty() ==
                  (order == er::column_order::natural || on == er::groups_fitted_on::original));
          }
        }
      }
    }
  }
}

TEST_CASE("round_by_feedback: any executor gives the same") {
  const problem p(150, 64);
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
  const er::level_grid grid = er::level_grid::symmetric(2, 32, er::scale_kind::float16);
  const auto backwards = [](std::size_t count, er::grain_work work) {
    while (count > 0) work(--count);
  };
  const auto one = er::round_by_feedback(p.view(), factor, grid, er::fit_squared_error{});
  const auto other = er::round_by_feedback(p.view(), factor, grid, er::fit_squared_error{},
                                           {.executor = backwards});
  CHECK(one.rounded.levels == other.rounded.levels);
  CHECK(one.rounded.scales == other.rounded.scales);
  CHECK(one.row_errors == other.row_errors);
  CHECK(one.squared_output_error == other.squared_output_error);
}

TEST_CASE("round_by_feedback: a column that no token moved is rounded to nearest") {
  constexpr std::size_t rows = 3, cols = 20, dead = 6;
  std::vector<float> x = samples::correlated(100, cols, 6);
  for (std::size_t t = 0; t < 100; ++t) x[t * cols + dead] = 0;
  er::second_moments moments(cols);
  moments.add({x.data(), 100, cols});
  const std::vector<float> w = samples::heavy_tailed(rows, cols, 7);
  const er::level_grid grid = er::level_grid::symmetric(4, 0);
  const auto result = er::round_by_feedback(
      {w.data(), rows, cols}, er::damped_inverse_factor(moments), grid, er::fit_extremes{});
  for (std::size_t r = 0; r < rows; ++r) {
    CHECK(result.rounded.levels[r * cols + dead] ==
          grid.level(static_cast<double>(w[r * cols + dead]), result.rounded.fit(r, 0)));
  }
}

TEST_CASE("round_by_feedback: what does not fit is refused by name") {
  problem p(4, 16, 100);
  const er::inverse_factor factor = er::damped_inverse_factor(p.moments);
  const er::level_grid grid = er::level_grid::symmetric(4, 0);
  CHECK_THROWS_WITH_AS(static_cast<void>(er::round_by_feedback({p.weights.data(), 4, 15}, factor,
                                                               grid, er::fit_extremes{})),
                       "round_by_feedback: weights of 15 columns, second moments of 16",
                       std::invalid_argument);
  CHECK_THROWS_WITH(
      static_cast<void>(er::output_error(
          p.view(), er::matrix_view<const float>{p.weights.data(), 2, 16}, p.moments)),
      "output_error: weights 4 x 16, values 2 x 16, second moments of 16 columns");
  CHECK_THROWS_WITH(static_cast<void>(er::round_by_feedback(
                        p.view(), factor, {.min_level = 0, .max_level = 0}, er::fit_extremes{})),
                    doctest::Contains("round_by_feedback: levels 0 to 0"));
  p.weights[20] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(
      static_cast<void>(er::round_by_feedback(p.view(), factor, grid, er::fit_extremes{})),
      "weight at row 1, column 4 is infinite: expected finite values");
}

TEST_SUITE_END();
