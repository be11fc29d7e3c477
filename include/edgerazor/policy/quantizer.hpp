// SPDX-License-Identifier: Apache-2.0
/// What a quantizer policy is.
///
/// A policy composes levels (the integers a weight may become), a scale rule (one float for a group
/// of weights), a granularity (which weights form a group) and the type in which storage keeps the
/// scale. It knows neither bits nor kernels:
///
///     scale = rule(group)
///     level = clamp(round_half_even(w / scale), min_level, max_level)
///     value = level * scale
///
/// A policy of one's own needs no vectors: a `level` of two floats and a `scale` of a
/// `std::span<const float>` are enough. Where its levels follow one of the rules of levels.hpp,
/// saying so gives its groups vector loops; so does a `scale` that is a template and calls
/// `max_magnitude`, `max_value` or `mean_magnitude` unqualified, with a group that has those
/// functions on vectors:
///
///     static constexpr edgerazor::level_rule levels{-3, 3};
///     static constexpr int level(float weight, float scale) noexcept {
///       return levels(weight, scale);
///     }
///     template <class Group>
///     float scale(const Group& group) const noexcept {
///       using edgerazor::max_magnitude;
///       return max_magnitude(group) / 3;
///     }
#pragma once

#include <concepts>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/granularity.hpp>
#include <edgerazor/policy/level_table.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Levels are a range of integers for which int8 is wide enough.
template <class Q>
concept int8_levels =
    (Q::max_level > Q::min_level) && (Q::min_level >= -128) && (Q::max_level <= 127);

namespace detail::policy {
/// The difference of neighbouring levels.
template <class Q>
inline constexpr int level_step = 1;
template <class Q>
  requires requires { Q::level_step; }
inline constexpr int level_step<Q> = Q::level_step;

/// A policy that says by which rule its levels follow.
template <class Q>
concept has_level_rule = requires {
  { Q::levels } -> std::same_as<const level_rule&>;
};
/// That rule; nothing, where a policy has its own.
template <class Q>
[[nodiscard]] constexpr auto rule_of() noexcept {
  if constexpr (has_level_rule<Q>) {
    return Q::levels;
  } else {
    return std::false_type{};
  }
}
}  // namespace detail::policy

/// The levels of a policy are min_level, min_level + step, ..., max_level. The step is
/// `Q::level_step` where the policy says so, else 1; 2 for `binary`, which has no level 0.
template <class Q>
concept stepped_levels = (detail::policy::level_step<Q> > 0) &&
                         ((Q::max_level - Q::min_level) % detail::policy::level_step<Q> == 0);

/// A quantizer policy. `q.scale(group)` takes a group of at least one finite float; `Q::level(w,
/// scale)` is one of the levels. A policy is a small value: its members are the rule's parameters.
/// Where it has a member `levels` of type `level_rule`, `Q::level` is that rule.
template <class Q>
concept quantizer = granularity_policy<typename Q::granularity> &&
                    real_element<typename Q::scale_type> && int8_levels<Q> && stepped_levels<Q> &&
                    requires(const Q& q, std::span<const float> group, float weight, float scale) {
                      { q.scale(group) } -> std::same_as<float>;
                      { Q::level(weight, scale) } -> std::same_as<int>;
                      requires noexcept(q.scale(group));
                      requires noexcept(Q::level(weight, scale));
                    };

/// A quantizer whose groups stay within a row: the ones that can be packed, and split over threads
/// by rows.
template <class Q>
concept row_quantizer = quantizer<Q> && row_granularity<typename Q::granularity>;

/// The policy whose values are the ones that storage gives back: levels follow from the scale as
/// the rule gives it, values from that scale rounded to `Policy::scale_type`. What a student sees
/// in training, when it is to be exactly what it will be in use. Zeros are rounded as scales are.
///
///     fake_quantize<as_stored<int4<>>>(w, out)  // out = dequantize(pack<int4<>>(w)), bit for bit
template <class Policy>
  requires quantizer<Policy> || zero_quantizer<Policy> || table_quantizer<Policy>
struct as_stored : Policy {
  static constexpr bool rounds_scale = true;
};

/// What makes codes or levels of groups of weights.
template <class Q>
concept group_policy = quantizer<Q> || zero_quantizer<Q> || table_quantizer<Q>;

/// One whose groups stay within a row.
template <class Q>
concept row_group_policy = group_policy<Q> && row_granularity<typename Q::granularity>;

namespace detail::policy {
/// What a level is multiplied by.
template <class Q>
[[nodiscard]] constexpr float value_scale(float scale) noexcept {
  if constexpr (requires { Q::rounds_scale; })
    return static_cast<float>(typename Q::scale_type{scale});
  return scale;
}

/// What values are made with: scale and zero, rounded as storage rounds them where the policy is
/// `as_stored`.
template <zero_quantizer Q>
[[nodiscard]] constexpr group_fit stored_fit(const group_fit& fit) noexcept {
  return {value_scale<Q>(fit.scale), value_scale<Q>(fit.zero)};
}

/// `within_levels<Q>`, for the levels low, low + step, ... high.
[[nodiscard]] constexpr bool within_levels(float weight, float scale, int low, int high,
                                           int step) noexcept {
  const float position = detail::core::quotient(weight, scale);
  if (step != 1) {
    const int half = step / 2;
    return position >= static_cast<float>(low - half) &&
           position <= static_cast<float>(high + half);
  }
  const int level = round_between(position, low - 1, high + 1);
  return level >= low && level <= high;
}
}  // namespace detail::policy

/// True where rounding alone gives a level of the policy, so that the clamp is the identity too.
/// A rounding error in the scale can't put a group's largest weight outside.
///
///     levels one apart     min_level <= round_half_even(w / scale) <= max_level
///     levels two apart     min_level - 1 <= w / scale <= max_level + 1
///
/// For `binary` that is |w| <= 2 scale. False where the quotient is NaN.
template <quantizer Q>
[[nodiscard]] constexpr bool within_levels(float weight, float scale) noexcept {
  constexpr int step = detail::policy::level_step<Q>;
  static_assert(step == 1 || step % 2 == 0);
  return detail::policy::within_levels(weight, scale, Q::min_level, Q::max_level, step);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
