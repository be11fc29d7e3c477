// SPDX-License-Identifier: Apache-2.0
/// A zero for each group by half-quadratic splitting (HQQ): no data, and a loss that outliers do
/// not rule.
///
///     scale and a first zero z from the smallest and the largest weight; then, again and again,
///     q = level(w),  e = shrink(w - scale (q - z)),  z = mean(q - (w - e) / scale)
///     shrink(x) = sign(x) max(|x| - |x|^(exponent - 1) / beta, 0),  beta growing each round
///
/// The shrunk error e is what the loss |x|^exponent lets a weight keep.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct half_quadratic_options {
  float exponent = 0.7f;
  float beta = 10;
  float growth = 1.01f;
  int rounds = 20;
};

namespace detail::calibrate {
struct half_quadratic_step {
  double zero;   ///< the next one
  double error;  ///< sum |w - value| at this one
};

/// One round on one group.
[[nodiscard]] inline half_quadratic_step half_quadratic_round(std::span<const float> weights,
                                                              const level_grid& grid, group_fit fit,
                                                              double exponent,
                                                              double beta) noexcept {
  double zeros = 0, errors = 0;
  const auto scale = static_cast<double>(fit.scale);
  for (const float weight : weights) {
    const auto w = static_cast<double>(weight);
    const int level = grid.level(w, fit);
    const double error = w - level_grid::value(level, fit), magnitude = std::fabs(error);
    const double left = magnitude > 0 ? magnitude - std::pow(magnitude, exponent - 1) / beta : 0.0;
    const double kept = left > 0 ? std::copysign(left, error) : 0.0;
    zeros += level - (w - kept) / scale;
    errors += magnitude;
  }
  return {zeros / static_cast<double>(weights.size()), errors};
}
}  // namespace detail::calibrate

/// The zero of the round with the least sum |w - value| of the group, as stored; the scale is that
/// of the extremes. For grids with a real zero; with an integer one it is rounded; without, it is
/// `fit_extremes`.
struct fit_half_quadratic {
  half_quadratic_options options{};

  [[nodiscard]] group_fit operator()(std::span<const float> weights, std::span<const float>,
                                     const level_grid& grid) const noexcept {
    group_fit fit = fit_extremes{}(weights, {}, grid);
    if (!grid.has_zero() || fit.scale == 0) return fit;
    group_fit best = fit;
    double least = 0, beta = static_cast<double>(options.beta);
    for (int round = 0; round <= options.rounds; ++round) {
      const detail::calibrate::half_quadratic_step step = detail::calibrate::half_quadratic_round(
          weights, grid, fit, static_cast<double>(options.exponent), beta);
      if (round == 0 || step.error < least) {
        least = step.error;
        best = fit;
      }
      if (!detail::calibrate::is_finite(step.zero)) break;
      fit = grid.stored({fit.scale, static_cast<float>(step.zero)});
      beta *= static_cast<double>(options.growth);
    }
    return best;
  }
};

static_assert(group_fitter<fit_half_quadratic>);

namespace published {
/// HQQ's solver as it stops: after the first round in which the mean |w - value| of the whole
/// matrix has not fallen, with the zeros of that round's end, which are those of a worse one.
/// Zeros are not rounded to storage on the way. Fails where the grid has no real zero, or a weight
/// is NaN or infinite, naming it.
[[nodiscard]] inline rounded_matrix half_quadratic(matrix_view<const float> weights,
                                                   const level_grid& grid,
                                                   const half_quadratic_options& options = {}) {
  namespace here = detail::calibrate;
  here::check_grid(grid, "half_quadratic");
  if (grid.zero != group_zero::real) {
    detail::core::fail("half_quadratic: expected a grid with a real zero");
  }
  rounded_matrix result = round_to_nearest(weights, grid, fit_extremes{});
  const std::size_t columns = grid.group_columns(weights.cols), groups = grid.groups(weights.cols);
  double least = 0, beta = static_cast<double>(options.beta);
  for (int round = 0; round < options.rounds; ++round) {
    double error = 0;
    for (std::size_t r = 0; r < weights.rows; ++r) {
      for (std::size_t g = 0; g < groups; ++g) {
        const std::span<const float> row = weights.row(r);
        const std::size_t c = g * columns, rest = row.size() - c;
        const group_fit fit = result.fit(r, g);
        if (fit.scale == 0) continue;
        const here::half_quadratic_step step =
            here::half_quadratic_round(row.subspan(c, columns < rest ? columns : rest), grid, fit,
                                       static_cast<double>(options.exponent), beta);
        error += step.error;
        result.set_fit(r, g, {fit.scale, static_cast<float>(step.zero)});
      }
    }
    beta *= static_cast<double>(options.growth);
    if (round > 0 && !(error < least)) break;
    least = error;
  }
  for (std::size_t r = 0; r < weights.rows; ++r) {
    const std::span<const float> row = weights.row(r);
    for (std::size_t c = 0; c < row.size(); ++c) {
      const group_fit fit = grid.stored(result.fit(r, c / columns));
      result.set_fit(r, c / columns, fit);
      result.levels[r * row.size() + c] =
          static_cast<std::int16_t>(grid.level(static_cast<double>(row[c]), fit));
    }
  }
  return result;
}
}  // namespace published

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
