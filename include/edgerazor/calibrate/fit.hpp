// SPDX-License-Identifier: Apache-2.0
/// Rules that fit the scale and the zero of one group of weights.
///
///     fit_extremes         by the smallest and the largest weight
///     fit_squared_error    by least squares of the rounding error, each column counted by its
///                          importance
///     fit_by_policy        by a quantizer policy's own rule
///
/// All of one signature, `group_fitter`. half_quadratic.hpp and published_fits.hpp have more.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include <edgerazor/calibrate/group_sums.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::calibrate {
struct weight_range {
  float low, high;
};
[[nodiscard]] inline weight_range range_of(std::span<const float> weights) noexcept {
  weight_range range{weights[0], weights[0]};
  for (const float w : weights) {
    range.low = w < range.low ? w : range.low;
    range.high = w > range.high ? w : range.high;
  }
  return range;
}

/// The smallest magnitude that counts where a group has no zero; 1e-5, as for policies.
inline constexpr float smallest_magnitude = 1e-5f;

/// The scale and the zero that put [low, high] on the levels of a grid, ends on ends.
///
///     no zero         scale = max(high / max_level, low / min_level)
///     real zero       scale = (high - low) / (max_level - min_level),
///                     zero = min_level - low / scale
///     integer zero    the same, rounded; the range is extended to contain 0
///
/// With a real zero a range of one number c is that number exactly: scale |c|, zero min_level, or
/// min_level + 1 where c < 0. Where all is 0, any scale will do: 1e-5.
[[nodiscard]] inline group_fit fit_of_range(weight_range range, const level_grid& grid) noexcept {
  const auto least = static_cast<float>(grid.min_level), most = static_cast<float>(grid.max_level);
  if (grid.zero == group_zero::none) {
    const float above = std::max(range.high, smallest_magnitude) / most;
    return grid.stored({least < 0 ? std::max(above, range.low / least) : above, 0});
  }
  if (grid.zero == group_zero::integer) {
    range = {std::min(range.low, 0.0f), std::max(range.high, 0.0f)};
  }
  const float width = range.high - range.low;
  if (!(width > 0)) {
    const float c = range.low;
    return grid.stored({c == 0 ? smallest_magnitude : std::fabs(c), c < 0 ? least + 1 : least});
  }
  const float scale = grid.stored({width / (most - least), 0}).scale;
  if (scale == 0) return grid.stored({0, least});
  // An integer zero is rounded by `stored`: round_half_even(-low / scale), counted from min_level.
  return grid.stored({scale, least - range.low / scale});
}
}  // namespace detail::calibrate

/// By the extremes: nothing is clipped (docstring of `fit_of_range`: max|w| / m without zero).
///
///     no zero         scale = max(max(w) / max_level, min(w) / min_level, 1e-5 / max_level)
///     real zero       scale = (max - min) / (max_level - min_level), zero = min_level - min/scale
///     integer zero    scale the same, over a range that contains 0; zero rounded half to even
///
/// The last is GPTQ's rule. A zero follows from the scale as it is stored. With a real zero a group
/// of equal weights is exact (SpQR's code takes the range -1 ... 1 there, far from the weight).
struct fit_extremes {
  [[nodiscard]] group_fit operator()(std::span<const float> weights, std::span<const float>,
                                     const level_grid& grid) const noexcept {
    return detail::calibrate::fit_of_range(detail::calibrate::range_of(weights), grid);
  }
};

/// By squared error: least sum of importance * (w - value)^2.
///
/// First trial ranges, each shrunk from the extremes: for each the levels, and from them, in closed
/// form, the scale and zero of least squares. Then, from the best on, levels and least squares in
/// turn until nothing changes (Lloyd).
///
/// Where levels are more on one side of 0 (-8 ... 7), a group's scale may be negative. Every fit is
/// judged as it is stored. Never worse than `fit_extremes`.
struct fit_squared_error {
  int trials = 24;  ///< ranges without zero; with one, both ends are shrunk: trials / 4, squared
  int refinements = 12;   ///< rounds of step 2 at most
  float smallest = 0.2f;  ///< least part of the range that is tried; 2 ends: 1 - 2 (1 - smallest)/3

  [[nodiscard]] group_fit operator()(std::span<const float> weights,
                                     std::span<const float> importance,
                                     const level_grid& grid) const noexcept {
    using namespace detail::calibrate;
    const weighted_group group{weights.data(), importance.empty() ? nullptr : importance.data(),
                               weights.size()};
    const weight_range range = range_of(weights);
    candidate best{fit_of_range(range, grid), 0};
    best.error = squared_error(group, grid, best.fit);
    if (best.error == 0) return best.fit;

    candidate trial{best.fit, std::numeric_limits<float>::max()};
    const auto try_start = [&](group_fit start) {
      if (start.scale == 0) return;
      const level_sums sums = sums_of(group, grid, start);
      const group_fit fit = sums.best(grid.zero, start.zero);
      if (!usable(fit, grid)) return;
      const float error = sums.error(fit);
      if (error < trial.error) trial = {fit, error};
    };
    const auto consider = [&](weight_range part) {
      try_start(fit_of_range(part, grid));
      if (turns(grid)) try_start({-fit_of_range({-part.high, -part.low}, grid).scale, 0});
    };
    if (grid.zero == group_zero::none) {
      const float ratio = std::pow(smallest, 1.0f / static_cast<float>(std::max(trials - 1, 1)));
      float part = 1;
      for (int i = 0; i < trials; ++i, part *= ratio) {
        consider({range.low * part, range.high * part});
      }
    } else {
      const int steps = std::max(trials / 4, 1);
      const float width = range.high - range.low;
      const float step = width * (1 - smallest) / 3 / static_cast<float>(std::max(steps - 1, 1));
      for (int i = 0; i < steps; ++i) {
        for (int j = 0; j < steps; ++j) {
          consider({range.low + static_cast<float>(i) * step,
                    range.high - static_cast<float>(j) * step});
        }
      }
      // A zero far outside the levels is stored with a large error: that range has a near one.
      consider({std::min(range.low, 0.0f), std::max(range.high, 0.0f)});
    }
    group_fit fit = grid.stored(trial.fit);
    for (int i = 0; i <= refinements; ++i) {
      const float error = squared_error(group, grid, fit);
      if (error < best.error) {
        best = {fit, error};
      } else if (i > 0) {
        break;
      }
      const group_fit next = grid.stored(sums_of(group, grid, fit).best(grid.zero, fit.zero));
      if (!usable(next, grid) || (next.scale == fit.scale && next.zero == fit.zero)) break;
      fit = next;
    }
    return best.fit;
  }

 private:
  struct candidate {
    group_fit fit;
    float error;
  };
  /// Whether a negative scale has other values than a positive one.
  static constexpr bool turns(const level_grid& grid) noexcept {
    return grid.zero == group_zero::none && grid.min_level != -grid.max_level;
  }
  static constexpr bool usable(group_fit fit, const level_grid& grid) noexcept {
    return fit.scale > 0 || (fit.scale < 0 && turns(grid));
  }
};

/// The scale of a quantizer policy; no zero. Its levels are `level_grid::of<Policy>()`.
template <quantizer Policy>
struct fit_by_policy {
  Policy policy{};
  [[nodiscard]] group_fit operator()(std::span<const float> weights, std::span<const float>,
                                     const level_grid&) const noexcept {
    return {policy.scale(weights), 0};
  }
};

static_assert(group_fitter<fit_extremes> && group_fitter<fit_squared_error>);

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
