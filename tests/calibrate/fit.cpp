// SPDX-License-Identifier: Apache-2.0
/// Rules that fit a group.
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

namespace {
constexpr er::group_zero kinds[] = {er::group_zero::none, er::group_zero::real,
                                    er::group_zero::integer};

er::level_grid grid_of(er::group_zero zero, int bits) {
  return zero == er::group_zero::none
             ? er::level_grid::symmetric(bits, 0, er::scale_kind::float16)
             : er::level_grid::with_zero(bits, 0, zero, er::scale_kind::float16);
}

double error(std::span<const float> w, std::span<const float> importance,
             const er::level_grid& grid, er::group_fit fit) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const auto x = static_cast<double>(w[i]);
    const double e = x - er::level_grid::value(grid.level(x, fit), fit);
    sum += e * e * (importance.empty() ? 1.0 : static_cast<double>(importance[i]));
  }
  return sum;
}

/// The least error over a dense grid of scales and zeros, as stored.
double exhaustive(std::span<const float> w, std::span<const float> importance,
                  const er::level_grid& grid) {
  const auto [low, high] = std::minmax_element(w.begin(), w.end());
  const float largest = std::max(std::fabs(*low), std::fabs(*high));
  double best = 1e300;
  for (int i = 1; i <= 200; ++i) {
    const float scale = largest * static_cast<float>(i) / 100;
    if (grid.zero == er::group_zero::none) {
      best = std::min(best, error(w, importance, grid, grid.stored({scale, 0})));
      continue;
    }
    const int parts = grid.zero == er::group_zero::integer ? 1 : 8;
    for (int z = -parts; z <= (grid.max_level + 1) * parts; ++z) {
      const float zero = static_cast<float>(z) / static_cast<float>(parts);
      best = std::min(best, error(w, importance, grid, grid.stored({scale, zero})));
    }
  }
  return best;
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/fit");

TEST_CASE("fit_extremes: ends on ends") {
  const std::vector<float> w{-1, 0.5f, 3, 2};
  const er::fit_extremes fit;
  const er::group_fit plain = fit(w, {}, er::level_grid::symmetric(4, 0));
  CHECK(plain.scale == 3.0f / 7);
  const er::group_fit more = fit(w, {}, {.min_level = -8, .max_level = 7});
  CHECK(more.scale == 3.0f / 7);
  const er::group_fit real = fit(w, {}, er::level_grid::with_zero(2, 0));
  CHECK(real.scale == 4.0f / 3);
  CHECK(real.zero == doctest::Approx(0.75));
  const er::group_fit integer =
      fit(w, {}, er::level_grid::with_zero(2, 0, er::group_zero::integer));
  CHECK(integer.scale == 4.0f / 3);
  CHECK(integer.zero == 1);
  // The range of an integer zero contains 0, that of a real one need not.
  const std::vector<float> positive{2, 3, 4, 5};
  CHECK(fit(positive, {}, er::level_grid::with_zero(2, 0)).zero == -2);
  CHECK(fit(positive, {}, er::level_grid::with_zero(2, 0, er::group_zero::integer)).scale ==
        5.0f / 3);
}

TEST_CASE("fit_extremes: a group of equal weights is exact where it has a real zero") {
  for (const float c : {0.0f, 0.5f, -0.25f, 1e-3f}) {
    const std::vector<float> w(7, c);
    for (const er::group_zero zero : kinds) {
      const er::level_grid grid = er::level_grid::with_zero(3, 0, zero);
      if (zero == er::group_zero::none) continue;
      const er::group_fit fit = er::fit_extremes{}(w, {}, grid);
      const auto x = static_cast<double>(c);
      CHECK(er::level_grid::value(grid.level(x, fit), fit) == doctest::Approx(x).epsilon(1e-6));
    }
  }
}

TEST_CASE("fit_squared_error: as good as an exhaustive search, weighted or not") {
  for (const er::group_zero zero : kinds) {
    for (const int bits : {1, 2, 3, 4}) {
      if (bits == 1 && zero != er::group_zero::none) continue;
      const er::level_grid grid = grid_of(zero, bits);
      double ours = 0, least = 0;
      for (unsigned seed = 0; seed < 24; ++seed) {
        const std::vector<float> w = samples::heavy_tailed(1, 31, seed);
        std::vector<float> importance(w.size());
        for (std::size_t i = 0; i < w.size(); ++i) {
          importance[i] = i % 5 == 0 ? 16.0f : 1.0f + static_cast<float>(i % 3);
        }
        for (const bool weighted : {false, true}) {
          const auto counts =
              weighted ? std::span<const float>{importance} : std::span<const float>{};
          const er::group_fit fit = er::fit_squared_error{}(w, counts, grid);
          ours += error(w, counts, grid, fit);
          least += exhaustive(w, counts, grid);
        }
      }
      CAPTURE(bits);
      CAPTURE(static_cast<int>(zero));
      CHECK(ours <= 1.03 * least);
    }
  }
}

TEST_CASE("fit_squared_error: never worse than the extremes, exact where that can be") {
  for (const er::group_zero zero : kinds) {
    for (const int bits : {2, 3, 4, 8}) {
      const er::level_grid grid = grid_of(zero, bits);
      for (const std::size_t count : {1u, 2u, 3u, 31u, 32u, 64u, 255u}) {
        const std::vector<float> w = samples::heavy_tailed(1, count, static_cast<unsigned>(count));
        const double own = error(w, {}, grid, er::fit_squared_error{}(w, {}, grid));
        const double simple = error(w, {}, grid, er::fit_extremes{}(w, {}, grid));
        CHECK(own <= simple * (1 + 1e-5));
      }
      std::vector<float> on_grid(2 * static_cast<std::size_t>(grid.max_level + 1));
      for (std::size_t i = 0; i < on_grid.size(); ++i) {
        on_grid[i] = 0.25f * static_cast<float>(static_cast<int>(i) % (grid.max_level + 1));
      }
      CHECK(error(on_grid, {}, grid, er::fit_squared_error{}(on_grid, {}, grid)) < 1e-10);
      const std::vector<float> zeros(9, 0.0f);
      CHECK(error(zeros, {}, grid, er::fit_squared_error{}(zeros, {}, grid)) == 0);
    }
  }
}

TEST_CASE("fit_squared_error: more levels on one side are turned to where the large weights are") {
  const er::level_grid grid{.min_level = -8, .max_level = 7, .group = 0};
  std::vector<float> w(32);
  for (std::size_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<float>(static_cast<int>(i) % 16 - 7);
  const er::group_fit fit = er::fit_squared_error{}(w, {}, grid);
  CHECK(fit.scale == -1);
  CHECK(error(w, {}, grid, fit) == 0);
}

TEST_CASE("fit_squared_error: a group far from zero is stored well enough") {
  // A real zero of -low / scale is 15,000 here: float16 would miss the weights by steps.
  std::vector<float> w(32);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = 1.0f + 1e-3f * static_cast<float>(i) / 31;
  const er::level_grid grid = grid_of(er::group_zero::real, 4);
  CHECK(error(w, {}, grid, er::fit_squared_error{}(w, {}, grid)) <= 32 * 5e-4 * 5e-4);
}

TEST_CASE("fit_by_policy: the policy's scale") {
  const std::vector<float> w = samples::heavy_tailed(1, 64, 9);
  CHECK(er::fit_by_policy<er::int4<>>{}(w, {}, er::level_grid{}).scale == er::int4<>{}.scale(w));
  static_assert(er::group_fitter<er::fit_by_policy<er::int4<>>>);
}

TEST_SUITE_END();
