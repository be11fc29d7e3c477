// SPDX-License-Identifier: Apache-2.0
/// Levels {0, 1} * s: activations that are not negative, as behind a ReLU or a softmax.
#pragma once

#include <algorithm>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One bit without a sign (BiT's and BWTA's quantizer of nonnegative activations, arXiv 2604.03957;
/// the scale is where their learned one starts).
///
///     s = max(factor * mean|x|, epsilon)        level = clamp(round_half_even(x / s), 0, 1)
///
/// What is negative becomes 0. A scale that was learned is given instead: `with_scale`.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct boolean {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = 0;
  static constexpr int max_level = 1;
  static constexpr level_rule levels{min_level, max_level};

  float factor = 2.0f;
  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    return std::max(factor * mean_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float value, float scale) noexcept {
    return levels(value, scale);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
