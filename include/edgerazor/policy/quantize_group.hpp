// SPDX-License-Identifier: Apache-2.0
/// One group to levels and a scale, for those who store them in a way of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// levels[i] = level of weights[i] at a given scale. Fails, before anything is written, where there
/// are fewer levels than weights, a weight is NaN or infinite, or the scale is not a finite number
/// of at least 0.
template <quantizer Policy>
void quantize_levels(std::span<const float> weights, float scale, std::span<std::int8_t> levels) {
  if (levels.size() < weights.size()) {
    detail::core::fail("quantize_levels: " + std::to_string(weights.size()) + " weights, " +
                       std::to_string(levels.size()) + " levels");
  }
  detail::policy::check_finite(matrix_view<const float>{weights});
  if (!detail::policy::is_finite(scale) || scale < 0) {
    detail::core::fail("quantize_levels: the scale is " + std::to_string(scale) +
                       ", expected a finite number of at least 0");
  }
  detail::policy::quantize_codes<Policy>(weights.data(), weights.size(), scale, levels.data());
}

/// Quantizes one group: writes group.size() levels and returns the scale, so that w ~ levels[i] *
/// scale. Fails as `quantize_levels` does. Precondition: the group holds at least one weight.
template <quantizer Policy>
float quantize_group(std::span<const float> group, std::span<std::int8_t> levels,
                     const Policy& policy = {}) {
  const float scale = detail::policy::scale_of(policy, group);
  quantize_levels<Policy>(group, scale, levels);
  return scale;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
