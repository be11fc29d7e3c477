// SPDX-License-Identifier: Apache-2.0
/// Zeros by half-quadratic splitting: the published solver's, and ours that keep the best.
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/half_quadratic.hpp>

namespace er = edgerazor;

namespace {
double mean_error(const er::rounded_matrix& rounded, const std::vector<float>& weights) {
  const std::vector<float> values = rounded.values();
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += std::fabs(static_cast<double>(values[i]) - static_cast<double>(weights[i]));
  }
  return sum / static_cast<double>(values.size());
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/half_quadratic");

TEST_CASE("golden: the published solver's codes and zeros; ours are better, group by group") {
  const nlohmann::json data = golden::load("calibration.json");
  const std::size_t rows = data["shape"][0], cols = data["shape"][1];
  const std::vector<float> weights = golden::floats(data["weights_f32"]);
  const er::matrix_view<const float> view{weights.data(), rows, cols};
  for (const auto& c : data["hqq"]["cases"]) {
    const er::level_grid grid = er::level_grid::with_zero(c["bits"], c["group"]);
    const er::rounded_matrix first = er::round_to_nearest(view, grid, er::fit_extremes{});
    const er::rounded_matrix published = er::published::half_quadratic(view, grid);
    const std::vector<float> starts = golden::floats(c["first_zero_f32"]);
    const std::vector<float> inverses = golden::floats(c["inverse_scale_f32"]);
    const std::vector<float> zeros = golden::floats(c["zero_f32"]);
    for (std::size_t i = 0; i < zeros.size(); ++i) {
      CHECK(first.zeros[i] == doctest::Approx(starts[i]).epsilon(1e-5));
      CHECK(1 / published.scales[i] == doctest::Approx(inverses[i]).epsilon(1e-6));
      CHECK(std::fabs(published.zeros[i] - zeros[i]) <= 1e-5f);
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      CHECK(published.levels[i] == c["codes"][i].get<int>());
    }
    CHECK(mean_error(first, weights) == doctest::Approx(c["mean_error_first"].get<double>()));
    CHECK(mean_error(published, weights) == doctest::Approx(c["mean_error"].get<double>()));
    const double ours =
        mean_error(er::round_to_nearest(view, grid, er::fit_half_quadratic{}), weights);
    CHECK(ours < c["mean_error_of_the_version_that_keeps_the_best"].get<double>());
  }
}

TEST_CASE("fit_half_quadratic: no group is worse than its start") {
  const nlohmann::json data = golden::load("calibration.json");
  const std::vector<float> weights = golden::floats(data["weights_f32"]);
  for (const er::group_zero zero : {er::group_zero::real, er::group_zero::integer}) {
    const er::level_grid grid = er::level_grid::with_zero(2, 0, zero, er::scale_kind::float16);
    for (std::size_t begin = 0; begin + 32 <= weights.size(); begin += 32) {
      const std::vector<float> group(weights.begin() + static_cast<std::ptrdiff_t>(begin),
                                     weights.begin() + static_cast<std::ptrdiff_t>(begin + 32));
      const er::matrix_view<const float> view{group.data(), 1, 32};
      CHECK(mean_error(er::round_to_nearest(view, grid, er::fit_half_quadratic{}), group) <=
            mean_error(er::round_to_nearest(view, grid, er::fit_extremes{}), group) * (1 + 1e-6));
    }
  }
  const std::vector<float> w{1, -2, 3, 0};
  const er::level_grid plain = er::level_grid::symmetric(3, 0);
  CHECK(er::fit_half_quadratic{}(w, {}, plain).scale == er::fit_extremes{}(w, {}, plain).scale);
  const std::vector<float> zeros(8, 0.0f);
  const er::level_grid real = er::level_grid::with_zero(3, 0);
  CHECK(mean_error(er::round_to_nearest({zeros.data(), 1, 8}, real, er::fit_half_quadratic{}),
                   zeros) == 0);
}

TEST_CASE("half_quadratic: what does not fit is refused by name") {
  std::vector<float> w(8, 1.0f);
  CHECK_THROWS_WITH(static_cast<void>(er::published::half_quadratic(
                        {w.data(), 1, 8}, er::level_grid::symmetric(4, 0))),
                    "half_quadratic: expected a grid with a real zero");
  w[3] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(static_cast<void>(er::published::half_quadratic(
                        {w.data(), 1, 8}, er::level_grid::with_zero(4, 0))),
                    "weight at row 0, column 3 is NaN: expected finite values");
}

TEST_SUITE_END();
