// SPDX-License-Identifier: Apache-2.0
/// A policy whose scale is given, not found: one that was learned, or measured beforehand.
#pragma once

#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The levels of Policy, and one scale (and zero) for every group, whatever is in it. Those who
/// quantize by it refuse a scale or zero that is not finite or a scale below 0, as they do of any
/// policy; the zero of codes is the caller's to keep within the policy's own range.
///
///     with_scale<ternary<>>{0.7f}               levels -1, 0, 1 times 0.7
///     with_scale<asymmetric<4>>{0.1f, 7.0f}     0.1 * (code - 7)
template <group_policy Policy>
  requires(!table_quantizer<Policy>)
struct with_scale : Policy {
  group_fit given;

  explicit constexpr with_scale(float of_all, float zero_of_all = 0) noexcept
      : given{of_all, zero_of_all} {}

  template <class Group = std::span<const float>>
    requires quantizer<Policy>
  [[nodiscard]] float scale(const Group&) const noexcept {
    return given.scale;
  }
  template <class Group = std::span<const float>>
    requires zero_quantizer<Policy>
  [[nodiscard]] group_fit fit(const Group&) const noexcept {
    return given;
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
