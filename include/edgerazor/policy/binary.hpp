// SPDX-License-Identifier: Apache-2.0
/// Binary weights {-1, 1} * s: one bit each.
#pragma once

#include <algorithm>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Signs times the mean magnitude: the s that minimizes the sum of (w - level * s)^2 (XNOR-Net,
/// arXiv 1603.05279, section 3.1).
///
///     s = max(mean|w|, epsilon)        level = -1 where w < 0, else 1
///
/// 0 and -0 count as 1: there is no level 0 (`level_step` is 2), and one bit, (level + 1) / 2,
/// stores a weight. A NaN has no level: functions of a matrix refuse it before they ask.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct binary {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -1;
  static constexpr int max_level = 1;
  static constexpr int level_step = 2;
  static constexpr level_rule levels{.by_sign = true};

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// The mean is added in the order that `mean_magnitude` says. Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    return std::max(mean_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return levels(weight, scale);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
