// SPDX-License-Identifier: Apache-2.0
/// The loops behind fits by squared error: a group rounded at a trial scale and zero, and the sums
/// that say how good they are and which would be better.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::calibrate {

/// Sums over a group with levels q, weights w and importances a.
struct level_sums {
  float a = 0, q = 0, qq = 0, w = 0, qw = 0, ww = 0;

  /// The scale and zero that minimize sum a (w - scale (q - zero))^2 while the levels stay:
  ///
  ///     no zero         scale = Sqw / Sqq
  ///     integer zero    the same with q - zero for q, zero as it is
  ///     real zero       the line w = scale q - t of least squares, zero = t / scale
  ///
  /// A scale that is not positive means that there is none.
  [[nodiscard]] group_fit best(group_zero kind, float zero) const noexcept {
    if (kind == group_zero::real) {
      const float determinant = a * qq - q * q;
      if (!(determinant > 0)) return {};
      const float scale = (a * qw - q * w) / determinant;
      return {scale, (scale * q - w) / (a * scale)};
    }
    const float z = kind == group_zero::none ? 0.0f : zero;
    const float squares = qq - 2 * z * q + z * z * a, products = qw - z * w;
    return {squares > 0 ? products / squares : 0.0f, z};
  }
  /// sum a (w - scale (q - zero))^2, but for rounding.
  [[nodiscard]] float error(group_fit fit) const noexcept {
    const float s = fit.scale, t = fit.scale * fit.zero;
    return ww - 2 * s * qw + 2 * t * w + s * s * qq - 2 * s * t * q + t * t * a;
  }
};

/// A group as loops take it.
struct weighted_group {
  const float* weights;
  const float* importance;  ///< or null: all 1
  std::size_t count;
};

/// How a trial rounds: level = min_level + level_step * clamp(round(w * factor + offset), 0, last).
struct trial_levels {
  float factor, offset, last, low, step;

  trial_levels(const level_grid& grid, group_fit fit) noexcept
      : low(static_cast<float>(grid.min_level)), step(static_cast<float>(grid.level_step)) {
    factor = fit.scale != 0 ? 1.0f / (fit.scale * step) : 0.0f;
    offset = (fit.zero - low) / step;
    last = (static_cast<float>(grid.max_level) - low) / step;
  }
  [[nodiscard]] float operator()(float w) const noexcept {
    constexpr float shift = 12582912.0f;  // as in `round_to_level`
    const float x = w * factor + offset;
    const float above = x > 0.0f ? x : 0.0f;
    const float clamped = above < last ? above : last;
    const auto nearest =
        std::bit_cast<std::int32_t>(clamped + shift) - std::bit_cast<std::int32_t>(shift);
    return low + step * static_cast<float>(nearest);
  }
};

/// Four sums side by side are what a register of any processor holds.
inline constexpr std::size_t sum_lanes = 4;

[[nodiscard]] inline float added(const float (&lanes)[sum_lanes]) noexcept {
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

template <bool Weighted>
[[nodiscard]] level_sums sums_of(weighted_group group, const trial_levels& levels) noexcept {
  float a[sum_lanes] = {}, q[sum_lanes] = {}, qq[sum_lanes] = {};
  float w[sum_lanes] = {}, qw[sum_lanes] = {}, ww[sum_lanes] = {};
  const auto add = [&](std::size_t i, std::size_t k) {
    const float x = group.weights[i], l = levels(x);
    const float weight = Weighted ? group.importance[i] : 1.0f;
    const float wl = weight * l, wx = weight * x;
    if constexpr (Weighted) a[k] += weight;
    q[k] += wl;
    qq[k] += wl * l;
    w[k] += wx;
    qw[k] += wl * x;
    ww[k] += wx * x;
  };
  std::size_t i = 0;
  for (; i + sum_lanes <= group.count; i += sum_lanes)
    for (std::size_t k = 0; k < sum_lanes; ++k) add(i + k, k);
  for (; i < group.count; ++i) add(i, i % sum_lanes);
  const float count = Weighted ? added(a) : static_cast<float>(group.count);
  return {count, added(q), added(qq), added(w), added(qw), added(ww)};
}
[[nodiscard]] inline level_sums sums_of(weighted_group group, const level_grid& grid,
                                        group_fit fit) noexcept {
  const trial_levels levels(grid, fit);
  return group.importance ? sums_of<true>(group, levels) : sums_of<false>(group, levels);
}

/// sum a (w - value(level(w)))^2, term by term.
template <bool Weighted>
[[nodiscard]] float squared_error(weighted_group group, const trial_levels& levels,
                                  group_fit fit) noexcept {
  float sums[sum_lanes] = {};
  const auto add = [&](std::size_t i, std::size_t k) {
    const float x = group.weights[i];
    const float error = x - fit.scale * (levels(x) - fit.zero);
    sums[k] += (Weighted ? group.importance[i] : 1.0f) * error * error;
  };
  std::size_t i = 0;
  for (; i + sum_lanes <= group.count; i += sum_lanes)
    for (std::size_t k = 0; k < sum_lanes; ++k) add(i + k, k);
  for (; i < group.count; ++i) add(i, i % sum_lanes);
  return added(sums);
}
[[nodiscard]] inline float squared_error(weighted_group group, const level_grid& grid,
                                         group_fit fit) noexcept {
  const trial_levels levels(grid, fit);
  return group.importance ? squared_error<true>(group, levels, fit)
                          : squared_error<false>(group, levels, fit);
}

}  // namespace detail::calibrate
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
