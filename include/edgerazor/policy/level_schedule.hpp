// SPDX-License-Identifier: Apache-2.0
/// Training that lowers the number of levels step by step, 17, 15, 13 ... 3, and what becomes of a
/// learned scale at a change (BWTA, arXiv 2604.03957).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/policy/granularity.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Odd numbers of levels, each stage with two fewer than the one before.
struct level_schedule {
  int first = 17;
  int last = 3;

  [[nodiscard]] constexpr int stages() const noexcept { return (first - last) / 2 + 1; }
  /// Precondition: 0 <= stage < stages().
  [[nodiscard]] constexpr int levels(int stage) const noexcept { return first - 2 * stage; }
  /// The stage of a step of so many, all as long but for rounding. Precondition: step < steps.
  [[nodiscard]] constexpr int stage_at(std::size_t step, std::size_t steps) const noexcept {
    return static_cast<int>(step * static_cast<std::size_t>(stages()) / steps);
  }
};

/// use(symmetric_levels<count, Granularity, Scale>{}): from a number known at run time to a policy.
/// Fails for other counts than 3, 5, ... 17.
template <granularity_policy Granularity = per_channel, real_element Scale = float16, class Use>
void with_symmetric_levels(int count, Use&& use) {
  const bool found = [&]<int... Index>(std::integer_sequence<int, Index...>) {
    return ((count == 2 * Index + 3 &&
             (use(symmetric_levels<2 * Index + 3, Granularity, Scale>{}), true)) ||
            ...);
  }(std::make_integer_sequence<int, 8>{});
  if (!found) {
    detail::core::fail("with_symmetric_levels: " + std::to_string(count) +
                       " levels, expected an odd number from 3 to 17");
  }
}

/// The factor by which a scale is multiplied when the number of levels changes:
///
///     p = sum |value with the levels before| / sum |value with the levels now|
///
/// both at the scale s as it is. Fewer levels clip more; p gives back the magnitude that would be
/// lost. At 17 levels and fewer of heavy-tailed numbers it is 1 first and about 1.4 in the last
/// step. 1 where either sum is 0.
///
/// Fails for a number of levels that is not odd or not 3 to 255, a scale that is not above 0 and
/// finite. A NaN among the values counts as the lowest level.
[[nodiscard]] inline float projection_factor(std::span<const float> values, float scale, int before,
                                             int now) {
  const auto odd = [](int count) { return count >= 3 && count <= 255 && count % 2 == 1; };
  if (!odd(before) || !odd(now)) {
    detail::core::fail("projection_factor: from " + std::to_string(before) + " to " +
                       std::to_string(now) + " levels, expected odd numbers from 3 to 255");
  }
  if (!(scale > 0) || !detail::policy::is_finite(scale)) {
    detail::core::fail("projection_factor: the scale is " + std::to_string(scale) +
                       ", expected a finite number above 0");
  }
  const auto sum = [&](int count) {
    const int most = (count - 1) / 2;
    const level_rule rule{-most, most};
    std::size_t levels = 0;
    for (const float x : values) {
      const int level = rule(x, scale);
      levels += static_cast<std::size_t>(level < 0 ? -level : level);
    }
    return levels;
  };
  const std::size_t old_sum = sum(before), new_sum = sum(now);
  if (old_sum == 0 || new_sum == 0) return 1;
  return static_cast<float>(static_cast<double>(old_sum) / static_cast<double>(new_sum));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
