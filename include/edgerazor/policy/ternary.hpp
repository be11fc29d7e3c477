// SPDX-License-Identifier: Apache-2.0
/// Ternary weights {-1, 0, 1} * s: 1.58 bits of information each.
#pragma once

#include <algorithm>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Ternary by the mean: the paper's clip rule (arXiv 2605.04062; EdgeRazor (Python)
/// ..._symmetric_clip_per_{tensor,channel,block}_int1_58).
///
///     s = max(factor * mean|w|, epsilon)        level = clamp(round_half_even(w / s), -1, 1)
///
/// With factor 2 a weight survives when it exceeds the mean magnitude: the rounding boundary is
/// |w| = s/2. The division is a true one: multiplying by 1/s moves levels there.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct ternary {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -1;
  static constexpr int max_level = 1;
  static constexpr level_rule levels{min_level, max_level};

  float factor = 2.0f;
  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    return std::max(factor * mean_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return levels(weight, scale);
  }
};

/// Ternary by the maximum (EdgeRazor (Python)
/// ..._symmetric_absmax_per_{tensor,channel,block}_int1_58).
///
///     s = max(max|w|, epsilon)        level = clamp(round_half_even(w / s), -1, 1)
///
/// Fewer weights survive than with the clip rule (those above half the maximum), but values that
/// are ternary already are reproduced exactly.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct ternary_absmax {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -1;
  static constexpr int max_level = 1;
  static constexpr level_rule levels{min_level, max_level};

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    return std::max(max_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return levels(weight, scale);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
