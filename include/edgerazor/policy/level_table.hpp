// SPDX-License-Identifier: Apache-2.0
/// Levels that a group chooses for itself: four integers times its scale, and what a policy is that
/// chooses them.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/granularity.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a policy makes of a group: a scale, and four levels in ascending order, of which some may
/// be the same.
struct table_fit {
  float scale = 0;
  std::array<std::int8_t, 4> levels{};

  friend constexpr bool operator==(const table_fit&, const table_fit&) = default;
};

/// A policy whose groups have levels of their own, at most `largest_level` in magnitude.
/// `q.fit(group)` takes a group of at least one finite float. A weight gets the nearest level times
/// the scale, the lower of two as near.
template <class Q>
concept table_quantizer =
    granularity_policy<typename Q::granularity> && real_element<typename Q::scale_type> &&
    (Q::largest_level >= 1 && Q::largest_level <= 127) &&
    requires(const Q& q, std::span<const float> group) {
      { q.fit(group) } noexcept -> std::same_as<table_fit>;
    };

namespace detail::policy {
/// The level of a weight: that of the nearest of scale * levels[k], the lower of two as near. The
/// middles between them are exact in double: a product of 24 bits and 8.
struct table_line {
  std::array<double, 3> middles{};
  std::array<std::int8_t, 4> levels{};

  explicit constexpr table_line(const table_fit& fit) noexcept : levels(fit.levels) {
    for (std::size_t k = 0; k < middles.size(); ++k)
      middles[k] = static_cast<double>(fit.scale) * (levels[k] + levels[k + 1]) / 2;
  }
  [[nodiscard]] constexpr int operator()(float weight) const noexcept {
    const auto w = static_cast<double>(weight);
    std::size_t above = 0;
    for (const double middle : middles) above += w > middle ? 1 : 0;
    return levels[above];
  }
};
}  // namespace detail::policy

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
