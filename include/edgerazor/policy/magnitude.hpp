// SPDX-License-Identifier: Apache-2.0
/// The largest magnitude and the largest value of a group. Exact: any order of comparisons gives
/// the same. Where a group holds a NaN the result is NaN.
///
/// Plain loops, the reference implementation. Functions of whole matrices give a policy a group
/// that brings vector loops of the same names with it (vector_group.hpp).
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// The magnitude's bits as a signed integer, whose order is the order of the magnitudes; those of
/// infinity (0x7f800000) and above are not finite, those above it NaN. Integers, because a
/// comparison passes a NaN by, and a build with -ffinite-math-only removes those made for it.
[[nodiscard]] inline std::int32_t magnitude_bits(float x) noexcept {
  return std::bit_cast<std::int32_t>(x) & 0x7fffffff;
}
inline std::int16_t magnitude_bits(float16 x) noexcept {
  return static_cast<std::int16_t>(x.bits & 0x7fff);
}
inline std::int16_t magnitude_bits(bfloat16 x) noexcept {
  return static_cast<std::int16_t>(x.bits & 0x7fff);
}

template <real_element T>
inline constexpr int infinity_bits = std::is_same_v<T, float>     ? 0x7f800000
                                     : std::is_same_v<T, float16> ? 0x7c00
                                                                  : 0x7f80;

[[nodiscard]] inline bool is_nan(float x) noexcept { return magnitude_bits(x) > 0x7f800000; }
[[nodiscard]] inline bool is_finite(float x) noexcept { return magnitude_bits(x) < 0x7f800000; }

/// The scale of values that are quantized at run time, and not refused: NaN where they hold a NaN
/// or an infinity, which has no code. So what is computed with them is NaN.
[[nodiscard]] inline float scale_or_nan(float scale) noexcept {
  return is_finite(scale) ? scale : std::numeric_limits<float>::quiet_NaN();
}

/// The smallest and the largest of a group's values.
struct value_range {
  float low, high;
};
/// Of several zeros the first. Precondition: !group.empty(), no NaN.
[[nodiscard]] inline value_range range_of(std::span<const float> group) noexcept {
  value_range result{group[0], group[0]};
  for (const float w : group) {
    result.low = w < result.low ? w : result.low;
    result.high = w > result.high ? w : result.high;
  }
  return result;
}
}  // namespace detail::policy

/// max|w|; 0 for no weights.
[[nodiscard]] inline float max_magnitude(std::span<const float> group) noexcept {
  std::int32_t largest = 0;
  for (const float w : group) {
    const std::int32_t bits = detail::policy::magnitude_bits(w);
    largest = bits > largest ? bits : largest;
  }
  return std::bit_cast<float>(largest);
}

/// max(w); of 0 and -0 either is the largest. Precondition: !group.empty().
[[nodiscard]] inline float max_value(std::span<const float> group) noexcept {
  float largest = group[0];
  for (const float w : group) largest = w > largest || detail::policy::is_nan(w) ? w : largest;
  return largest;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
