// SPDX-License-Identifier: Apache-2.0
/// 4-bit integers on a grid that favours the positive side.
#pragma once

#include <algorithm>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Integers [-8, 7] * s, the largest weight on level 7 (EdgeRazor (Python)
/// weight_quant_uniform_asymmetric_max_..._int4).
///
///     m = max(w);  m = max|w| where m < 0        s = max(m / 7, epsilon)
///     level = clamp(round_half_even(w / s + 8), 0, 15) - 8
///
/// Weights below -8/7 m are clipped. A group of negative weights takes its own max|w|
/// (EdgeRazor (Python) fails where a matrix mixes such groups with others). The 8 is added before
/// rounding, as there: the float sum keeps fewer bits than w / s has, so a ratio just below 1.5
/// becomes the tie 9.5, and level 2.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct int4_asymmetric {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -8;
  static constexpr int max_level = 7;
  static constexpr level_rule levels{min_level, max_level, -min_level};

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    const float largest = max_value(group);
    return std::max(detail::core::quotient(largest < 0 ? max_magnitude(group) : largest, 7.0f),
                    epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return levels(weight, scale);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
