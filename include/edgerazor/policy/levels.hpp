// SPDX-License-Identifier: Apache-2.0
/// From a real number to the integer level that stands for it.
///
/// Each function has a second form for vectors of weights, declared beside their type and found by
/// the arguments: the same levels, lane by lane.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Several weights at once, as the library passes them to a policy that takes them. Such a type has
/// the arithmetic of float (its division rounds once, as float's does) and its own `round_to_level`
/// and `sign_level`, which return a `level_vector`.
template <class V>
concept weight_vector = requires { typename V::level_vector; };

/// What a policy's `level` is a template over: one weight, or several.
template <class V>
concept weight_or_vector = std::same_as<V, float> || weight_vector<V>;

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
  constexpr float low = Low, high = High, shift = 12582912.0f;
  const float above = x > low ? x : low;
  const float clamped = above < high ? above : high;
  return std::bit_cast<std::int32_t>(clamped + shift) - std::bit_cast<std::int32_t>(shift);
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

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
