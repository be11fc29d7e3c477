// SPDX-License-Identifier: Apache-2.0
/// The largest magnitude and the largest value of a group. Exact: any order of comparisons gives
/// the same bits. Where a group holds a NaN the result is one of its values, or NaN.
///
/// Plain loops, the reference implementation. Functions of whole matrices give a policy a group
/// that brings vector loops of the same names with it.
#pragma once

#include <cmath>
#include <span>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// max|w|; 0 for no weights.
[[nodiscard]] inline float max_magnitude(std::span<const float> group) noexcept {
  float largest = 0;
  for (const float w : group) largest = std::fabs(w) > largest ? std::fabs(w) : largest;
  return largest;
}

/// max(w). Precondition: !group.empty().
[[nodiscard]] inline float max_value(std::span<const float> group) noexcept {
  float largest = group[0];
  for (const float w : group) largest = w > largest ? w : largest;
  return largest;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
