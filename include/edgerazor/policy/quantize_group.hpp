// SPDX-License-Identifier: Apache-2.0
/// One group to levels and a scale, for those who store them in a way of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// levels[i] = level of weights[i] at a given scale > 0. Fails where there are fewer levels than
/// weights. A NaN has no level of its own: it gets one of the policy's, as `Policy::level` says.
template <quantizer Policy>
void quantize_levels(std::span<const float> weights, float scale, std::span<std::int8_t> levels) {
  if (levels.size() < weights.size()) {
    detail::core::fail("quantize_levels: " + std::to_string(weights.size()) + " weights, " +
                       std::to_string(levels.size()) + " levels");
  }
  detail::policy::quantize_codes<Policy>(weights.data(), weights.size(), scale, levels.data());
}

/// Quantizes one group: writes group.size() levels and returns the scale, so that w ~ levels[i] *
/// scale. Fails where there are fewer levels than weights. Precondition: the group holds at least
/// one weight, all finite (a matrix is checked by those functions that take one).
template <quantizer Policy>
float quantize_group(std::span<const float> group, std::span<std::int8_t> levels,
                     const Policy& policy = {}) {
  const float scale = policy.scale(group);
  quantize_levels<Policy>(group, scale, levels);
  return scale;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
