// SPDX-License-Identifier: Apache-2.0
/// From a real number to the integer level that stands for it.
#pragma once

#include <bit>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// clamp(round_half_even(x), low, high), both within +-2^22. See `round_to_level`.
[[nodiscard]] constexpr int round_between(float x, int low, int high) noexcept {
  constexpr float shift = 12582912.0f;
  const float least = static_cast<float>(low), most = static_cast<float>(high);
  const float above = x > least ? x : least;
  const float clamped = above < most ? above : most;
  return std::bit_cast<std::int32_t>(clamped + shift) - std::bit_cast<std::int32_t>(shift);
}
}  // namespace detail::policy

/// clamp(round_half_even(x), Low, High), the same on every machine and for every width of vectors.
/// NaN gives Low.
///
/// Clamping first is the same as clamping last, because Low and High are integers and rounding is
/// monotone. The sum with 1.5 * 2^23 then lies where floats are the integers, so the addition
/// itself rounds to nearest even, and the sum's low bits are the level: no rounding instruction
/// (which not every machine has), and nothing that reassociation could cancel.
template <int Low, int High>
[[nodiscard]] constexpr int round_to_level(float x) noexcept {
  static_assert(Low > -(1 << 22) && High < (1 << 22));
  return detail::policy::round_between(x, Low, High);
}

/// -1 where x < 0, else 1: 0 and -0 give 1, a NaN either.
///
/// By the bits: those of a number below zero, negated, are a positive integer, and those of no
/// other number are. So a host that takes subnormals for zero gets the same levels.
[[nodiscard]] constexpr int sign_level(float x) noexcept {
  const auto negated =
      std::bit_cast<std::int32_t>(std::uint32_t{0} - std::bit_cast<std::uint32_t>(x));
  return negated > 0 ? -1 : 1;
}

/// How a policy's levels follow from a weight w and its group's scale s:
///
///     by rounding    level = clamp(round_half_even(w / s + offset), min_level + offset,
///                                  max_level + offset) - offset
///     by sign        level = -1 where w < 0, else 1                            (`sign_level`)
///
/// A policy that says so, by a member `static constexpr level_rule levels`, has vector loops for
/// its groups, chosen when the program runs: they do what this function does, weight by weight,
/// with the same bits.
struct level_rule {
  int min_level = -1;
  int max_level = 1;
  int offset = 0;  ///< integer; the float sum keeps fewer bits than w / s has
  bool by_sign = false;

  [[nodiscard]] constexpr int operator()(float weight, float scale) const noexcept {
    if (by_sign) return sign_level(weight);
    const float shifted = detail::core::quotient(weight, scale) + static_cast<float>(offset);
    return detail::policy::round_between(shifted, min_level + offset, max_level + offset) - offset;
  }
};

namespace detail::policy {
/// The code of a weight in a group whose scale (and zero) is known, for every rule there is:
///
///     by rounding    code = clamp(round_half_even((w - less) / scale + more), low, high) + add
///     by sign        code = sign_level(w) + add
///
/// Each operation rounds once; low and high are integers within +-2^22.
struct level_line {
  float less = 0, scale = 1, more = 0, low = 0, high = 0;
  int add = 0;
  bool by_sign = false;

  [[nodiscard]] constexpr int operator()(float weight) const noexcept {
    if (by_sign) return sign_level(weight) + add;
    const float place = core::quotient(core::exact(weight - less), scale) + more;
    return round_between(place, static_cast<int>(low), static_cast<int>(high)) + add;
  }
};

/// The codes of a rule's levels: level + zero_code.
[[nodiscard]] constexpr level_line line_of(const level_rule& rule, float scale,
                                           int zero_code = 0) noexcept {
  return {.scale = scale,
          .more = static_cast<float>(rule.offset),
          .low = static_cast<float>(rule.min_level + rule.offset),
          .high = static_cast<float>(rule.max_level + rule.offset),
          .add = zero_code - rule.offset,
          .by_sign = rule.by_sign};
}
}  // namespace detail::policy

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
