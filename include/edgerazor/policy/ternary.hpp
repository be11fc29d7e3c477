// SPDX-License-Identifier: Apache-2.0
/// Ternary weights {-1, 0, 1} * s: 1.58 bits of information each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include <xsimd/xsimd.hpp>

#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Ternary by the mean: the paper's clip rule (arXiv 2605.04062; reference
/// ..._symmetric_clip_per_{tensor,channel,block}_int1_58).
///
///     s = max(factor * mean|w|, epsilon)        level = clamp(round_half_even(w / s), -1, 1)
///
/// With factor 2 a weight survives when it exceeds the mean magnitude. The division is a true one:
/// multiplying by 1/s moves levels at the rounding boundary |w| = s/2.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct ternary {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -1;
  static constexpr int max_level = 1;

  float factor = 2.0f;
  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  [[nodiscard]] float scale(std::span<const float> group) const noexcept {
    return std::max(factor * mean_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return round_to_level<min_level, max_level>(weight / scale);
  }
  template <class Arch>
  [[nodiscard]] static xsimd::batch<std::int32_t, Arch> level(
      const xsimd::batch<float, Arch>& weights, const xsimd::batch<float, Arch>& scales) noexcept {
    return round_to_level<min_level, max_level>(detail::policy::quotient(weights, scales));
  }
};

/// Ternary by the maximum (reference ..._symmetric_absmax_per_{tensor,channel,block}_int1_58).
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

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  [[nodiscard]] float scale(std::span<const float> group) const noexcept {
    return std::max(max_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return round_to_level<min_level, max_level>(weight / scale);
  }
  template <class Arch>
  [[nodiscard]] static xsimd::batch<std::int32_t, Arch> level(
      const xsimd::batch<float, Arch>& weights, const xsimd::batch<float, Arch>& scales) noexcept {
    return round_to_level<min_level, max_level>(detail::policy::quotient(weights, scales));
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
