// SPDX-License-Identifier: Apache-2.0
/// Fits of published programs where they differ from ours. GPTQ's search is also held to published
/// numbers by tests of rounding with kept weights, AWQ's grid by those of its scales.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include <edgerazor/calibrate/published_fits.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("calibrate/published_fits");

TEST_CASE("gptq_search: no shrink on its list has a smaller sum") {
  for (const er::group_zero zero :
       {er::group_zero::none, er::group_zero::real, er::group_zero::integer}) {
    const er::level_grid grid = zero == er::group_zero::none
                                    ? er::level_grid::symmetric(3, 0)
                                    : er::level_grid::with_zero(2, 0, zero);
    for (unsigned seed = 0; seed < 10; ++seed) {
      const std::vector<float> w = samples::heavy_tailed(1, 40, seed);
      const auto sum = [&](er::group_fit fit) {
        double result = 0;
        for (const float x : w) {
          const auto v = static_cast<double>(x);
          result += std::pow(std::fabs(v - er::level_grid::value(grid.level(v, fit), fit)), 2.4);
        }
        return result;
      };
      const double least = sum(er::published::gptq_search{}(w, {}, grid));
      for (int i = 0; i < 80; ++i) {
        std::vector<float> shrunk = w;
        for (float& x : shrunk) x *= 1 - static_cast<float>(i) / 100;
        CHECK(least <= sum(er::fit_extremes{}(shrunk, {}, grid)) * (1 + 1e-5));
      }
    }
  }
}

TEST_CASE("gptq_search: of no shrinks or steps the extremes") {
  const er::level_grid grid = er::level_grid::symmetric(3, 0);
  const std::vector<float> w = samples::heavy_tailed(1, 40, 3);
  const er::group_fit extremes = er::fit_extremes{}(w, {}, grid);
  for (const er::published::gptq_search& search :
       {er::published::gptq_search{.shrinks = 0}, er::published::gptq_search{.steps = 0},
        er::published::gptq_search{.steps = -100}}) {
    const er::group_fit fit = search(w, {}, grid);
    CHECK(fit.scale == extremes.scale);
    CHECK(fit.zero == extremes.zero);
  }
}

TEST_CASE("awq_extremes: as fit_extremes where a group has both signs, clipping where it has one") {
  const er::level_grid grid = er::level_grid::with_zero(2, 0, er::group_zero::integer);
  const std::vector<float> both{-1, 0.5f, 2};
  const er::group_fit fit = grid.stored(er::published::awq_extremes{}(both, {}, grid));
  CHECK(fit.scale == er::fit_extremes{}(both, {}, grid).scale);
  CHECK(fit.zero == er::fit_extremes{}(both, {}, grid).zero);
  const std::vector<float> one{4, 5, 6, 7};
  const er::group_fit clipped = grid.stored(er::published::awq_extremes{}(one, {}, grid));
  CHECK(clipped.scale == 1);
  CHECK(clipped.zero == 0);
  CHECK(er::level_grid::value(grid.level(7, clipped), clipped) == 3);
}

TEST_SUITE_END();
