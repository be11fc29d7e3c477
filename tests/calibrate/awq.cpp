// SPDX-License-Identifier: Apache-2.0
/// Scales of columns and clipping: the published rule's numbers, and what both are for.
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/awq.hpp>
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/published_fits.hpp>

namespace er = edgerazor;

namespace {
struct published_case {
  nlohmann::json data = golden::load("calibration.json");
  std::size_t rows = data["shape"][0], cols = data["shape"][1];
  std::vector<float> weights = golden::floats(data["weights_f32"]);
  std::vector<float> x = golden::floats(data["x_f32"]);
  er::column_statistics columns{cols};
  er::second_moments moments{cols};
  er::level_grid grid =
      er::level_grid::with_zero(data["awq"]["bits"], data["awq"]["group"], er::group_zero::integer);

  published_case() {
    columns.add({x.data(), x.size() / cols, cols});
    moments.add({x.data(), x.size() / cols, cols});
  }
  [[nodiscard]] er::matrix_view<const float> view() const { return {weights.data(), rows, cols}; }
};
}  // namespace

TEST_SUITE_BEGIN("calibrate/awq");

TEST_CASE("golden: exponents, errors and scales") {
  const published_case c;
  const er::matrix_view<const float> matrices[] = {c.view()};
  const er::awq_result result =
      er::awq_scales(matrices, c.columns, c.moments, c.grid, er::published::awq_extremes{});
  const nlohmann::json& expected = c.data["awq"];
  CHECK(result.best == expected["best"].get<std::size_t>());
  REQUIRE(result.errors.size() == 20);
  for (std::size_t k = 0; k < 20; ++k) {
    CHECK(result.errors[k] == doctest::Approx(expected["errors"][k].get<double>()).epsilon(1e-5));
  }
  for (std::size_t j = 0; j < c.cols; ++j) {
    CHECK(result.scales[j] ==
          doctest::Approx(expected["scale_f64"][j].get<double>()).epsilon(1e-6));
  }
}

TEST_CASE("awq_scales: one set for matrices that share an input, judged by some rows or all") {
  const published_case c;
  const er::matrix_view<const float> whole[] = {c.view()};
  const er::matrix_view<const float> halves[] = {c.view().rows_between(0, 6),
                                                 c.view().rows_between(6, 12)};
  const auto one = er::awq_scales(whole, c.columns, c.moments, c.grid, er::fit_squared_error{});
  const auto two = er::awq_scales(halves, c.columns, c.moments, c.grid, er::fit_squared_error{});
  CHECK(one.best == two.best);
  for (std::size_t k = 0; k < 20; ++k) {
    CHECK(two.errors[k] == doctest::Approx(2 * one.errors[k]));
  }
  const auto some =
      er::awq_scales(whole, c.columns, c.moments, c.grid, er::fit_squared_error{}, {.rows = 6});
  std::vector<float> even;
  for (std::size_t r = 0; r < c.rows; r += 2) {
    const auto row = c.view().row(r);
    even.insert(even.end(), row.begin(), row.end());
  }
  const er::matrix_view<const float> chosen[] = {{even.data(), 6, c.cols}};
  CHECK(some.errors ==
        er::awq_scales(chosen, c.columns, c.moments, c.grid, er::fit_squared_error{}).errors);
}

TEST_CASE("clip_by_output_error: the outputs change less, weights only shrink") {
  const published_case c;
  const std::vector<float> clipped =
      er::clip_by_output_error(c.view(), c.moments, c.grid, er::fit_extremes{});
  for (std::size_t i = 0; i < clipped.size(); ++i) {
    CHECK(std::fabs(clipped[i]) <= std::fabs(c.weights[i]));
    CHECK(clipped[i] * c.weights[i] >= 0);
  }
  const double plain = er::output_error(
      c.view(), er::round_to_nearest(c.view(), c.grid, er::fit_extremes{}), c.moments);
  const double less = er::output_error(
      c.view(), er::round_to_nearest({clipped.data(), c.rows, c.cols}, c.grid, er::fit_extremes{}),
      c.moments);
  CHECK(less < 0.7 * plain);
  const std::vector<float> whole =
      er::clip_by_output_error(c.view(), c.moments, c.grid, er::fit_extremes{}, {.shrinks = 1});
  CHECK(whole == c.weights);
}

TEST_CASE("awq: what does not fit is refused by name") {
  const published_case c;
  const er::matrix_view<const float> matrices[] = {c.view()};
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::awq_scales(std::span<const er::matrix_view<const float>>{}, c.columns,
                                       c.moments, c.grid, er::fit_extremes{})),
      "awq_scales: expected at least one matrix and one step", std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::awq_scales(matrices, er::column_statistics(c.cols),
                                                     c.moments, c.grid, er::fit_extremes{})),
                    doctest::Contains("expected the same, and at least one token"));
  CHECK_THROWS_WITH(static_cast<void>(er::scale_columns(c.view(), std::vector<float>(3))),
                    "scale_columns: 3 scales for 64 columns");
  CHECK_THROWS_WITH(static_cast<void>(er::clip_by_output_error(c.view(), er::second_moments(3),
                                                               c.grid, er::fit_extremes{})),
                    "clip_by_output_error: weights of 64 columns, second moments of 3");
  // None tried would leave zeros; a range turned round has no weight between its ends.
  for (const er::clip_options& options :
       {er::clip_options{.shrinks = 0}, er::clip_options{.smallest = -0.5f},
        er::clip_options{.smallest = std::numeric_limits<float>::quiet_NaN()}}) {
    CHECK_THROWS_WITH_AS(static_cast<void>(er::clip_by_output_error(c.view(), c.moments, c.grid,
                                                                    er::fit_extremes{}, options)),
                         doctest::Contains("expected at least one, down to a number from 0 to 1"),
                         std::invalid_argument);
  }
  std::vector<float> bad = c.weights;
  bad[70] = std::numeric_limits<float>::quiet_NaN();
  const er::matrix_view<const float> one[] = {{bad.data(), c.rows, c.cols}};
  CHECK_THROWS_WITH(
      static_cast<void>(er::awq_scales(one, c.columns, c.moments, c.grid, er::fit_extremes{})),
      "weight at row 1, column 6 is NaN: expected finite values");
}

TEST_SUITE_END();
