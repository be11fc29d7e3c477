// SPDX-License-Identifier: Apache-2.0
/// Binary weights {-1, 1} * s: one bit each.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

#include <xsimd/xsimd.hpp>

#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// -1 where x < 0, else 1. By the bits: those of a number below zero, negated, are a positive
/// integer, and those of no other number are (of -0 and NaN: either level, -0 gives 1). So a
/// host that takes subnormals for zero gets the same levels.
[[nodiscard]] constexpr int sign_level(float x) noexcept {
  const std::int32_t negated =
      std::bit_cast<std::int32_t>(std::uint32_t{0} - std::bit_cast<std::uint32_t>(x));
  return negated > 0 ? -1 : 1;
}
template <class Arch>
[[nodiscard]] inline xsimd::batch<std::int32_t, Arch> sign_level(
    const xsimd::batch<float, Arch>& x) noexcept {
  using words = xsimd::batch<std::int32_t, Arch>;
  const words zero{0};
  return xsimd::select(zero - xsimd::bitwise_cast<std::int32_t>(x) > zero, words{-1}, words{1});
}
}  // namespace detail::policy

/// Signs times the mean magnitude: the s that minimizes the sum of (w - level * s)^2 (XNOR-Net,
/// arXiv 1603.05279, section 3.1).
///
///     s = max(mean|w|, epsilon)        level = -1 where w < 0, else 1
///
/// 0 and -0 count as 1: there is no level 0 (`level_step` is 2), and stored codes are
/// (level + 1) / 2. A NaN has no level: functions of a matrix refuse it before they ask.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct binary {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -1;
  static constexpr int max_level = 1;
  static constexpr int level_step = 2;

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// The mean is added in the order that `mean_magnitude` says. Precondition: !group.empty().
  [[nodiscard]] float scale(std::span<const float> group) const noexcept {
    return std::max(mean_magnitude(group), epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float) noexcept {
    return detail::policy::sign_level(weight);
  }
  template <class Arch>
  [[nodiscard]] static xsimd::batch<std::int32_t, Arch> level(
      const xsimd::batch<float, Arch>& weights, const xsimd::batch<float, Arch>&) noexcept {
    return detail::policy::sign_level(weights);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
