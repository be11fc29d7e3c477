// SPDX-License-Identifier: Apache-2.0
/// A group of weights that brings the vector forms of `max_magnitude`, `max_value` and
/// `mean_magnitude` with it: same bits as the plain ones, found by the argument where a policy's
/// `scale` is a template.
#pragma once

#include <bit>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/loops.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

struct vector_group : std::span<const float> {
  explicit vector_group(std::span<const float> group) noexcept : std::span<const float>(group) {}
};
[[nodiscard]] inline float max_magnitude(const vector_group& group) noexcept {
  return std::bit_cast<float>(best_loops().largest_bits(group.data(), group.size()));
}
[[nodiscard]] inline float max_value(const vector_group& group) noexcept {
  return best_loops().max_value(group.data(), group.size());
}
[[nodiscard]] inline value_range range_of(const vector_group& group) noexcept {
  return best_loops().range(group.data(), group.size());
}
[[nodiscard]] inline float mean_magnitude(const vector_group& group) noexcept {
  return best_loops().mean_magnitude(group.data(), group.size());
}

/// policy.scale(group), by vectors where the policy lets them.
template <quantizer Q>
[[nodiscard]] float scale_of(const Q& policy, std::span<const float> group) noexcept {
  return policy.scale(vector_group{group});
}

/// What the values of a group are made with: a scale, a scale and a zero, or a scale and levels.
template <quantizer Q>
[[nodiscard]] float fit_of(const Q& policy, std::span<const float> values) noexcept {
  return scale_of(policy, values);
}
template <zero_quantizer Q>
[[nodiscard]] group_fit fit_of(const Q& policy, std::span<const float> values) noexcept {
  return policy.fit(vector_group{values});
}
template <table_quantizer Q>
[[nodiscard]] table_fit fit_of(const Q& policy, std::span<const float> values) noexcept {
  return policy.fit(values);
}
}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
