// SPDX-License-Identifier: Apache-2.0
/// Rules that fit a group as published programs do, where ours differ: for who wants their numbers.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace published {

/// GPTQ's search (its option mse, which TaCQ always takes): the range of the extremes shrunk by
/// p = 1 - i / steps for i < shrinks, the first p of least sum |w - value|^exponent. All columns
/// count alike. `fit_squared_error` finds better ranges, in less time. Of no shrinks, or steps
/// below 1, the extremes.
struct gptq_search {
  float exponent = 2.4f;
  int shrinks = 80;
  int steps = 100;

  [[nodiscard]] group_fit operator()(std::span<const float> weights, std::span<const float>,
                                     const level_grid& grid) const noexcept {
    namespace here = detail::calibrate;
    const here::weight_range range = here::range_of(weights);
    group_fit best = here::fit_of_range(range, grid);
    float least = std::numeric_limits<float>::infinity();
    for (int i = 0; i < shrinks && steps > 0; ++i) {
      const float part = 1 - static_cast<float>(i) / static_cast<float>(steps);
      const group_fit fit = here::fit_of_range({range.low * part, range.high * part}, grid);
      float sum = 0;
      for (const float w : weights) {
        const auto value =
            static_cast<float>(level_grid::value(grid.level(static_cast<double>(w), fit), fit));
        sum += std::pow(std::fabs(w - value), exponent);
      }
      if (sum < least) {
        least = sum;
        best = fit;
      }
    }
    return best;
  }
};

/// AWQ's grid: the range of the extremes, not extended to contain 0; an integer zero, which may
/// clip a group of one sign. scale = max(max - min, 1e-5) / (max_level - min_level).
struct awq_extremes {
  [[nodiscard]] group_fit operator()(std::span<const float> weights, std::span<const float>,
                                     const level_grid& grid) const noexcept {
    const detail::calibrate::weight_range range = detail::calibrate::range_of(weights);
    const float width = range.high - range.low;
    const float scale =
        (width > 1e-5f ? width : 1e-5f) / static_cast<float>(grid.max_level - grid.min_level);
    const float stored = grid.stored({scale, 0}).scale;
    return {scale, static_cast<float>(grid.min_level) - range.low / stored};
  }
};

static_assert(group_fitter<gptq_search> && group_fitter<awq_extremes>);

}  // namespace published
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
