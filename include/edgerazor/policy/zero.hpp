// SPDX-License-Identifier: Apache-2.0
/// The zero of a group: what beside the scale makes real numbers of its codes, and what a policy is
/// that chooses one.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <utility>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/granularity.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What a group of weights has beside its scale s.
///
///     none       w = s * level            levels around 0, the same for all groups
///     point      w = s * (code - z)       codes from 0 on; z, any number, is the place of 0
///     minimum    w = s * code + m         codes from 0 on; m is the value of code 0
enum class zero_kind : std::uint8_t { none, point, minimum };

/// What a policy makes of a group: its scale, and its z or m.
struct group_fit {
  float scale = 0;
  float zero = 0;
};

/// A policy whose groups have a zero, of a kind that is not `none`. `q.fit(group)` takes a group of
/// at least one finite float; `Q::code(w, fit)` is an integer in [0, 2^bits - 1]. As `quantizer`
/// for the rest.
template <class Q>
concept zero_quantizer =
    granularity_policy<typename Q::granularity> && real_element<typename Q::scale_type> &&
    (Q::bits >= 1 && Q::bits <= 8) && (Q::zero != zero_kind::none) &&
    requires(const Q& q, std::span<const float> group, float weight, const group_fit& fit) {
      { q.fit(group) } -> std::same_as<group_fit>;
      { Q::code(weight, fit) } -> std::same_as<int>;
      requires noexcept(q.fit(group));
      requires noexcept(Q::code(weight, fit));
    };

namespace detail::policy {
/// The value of a code. Each operation rounds once, none is fused with another:
///
///     none, point    s * (code - z)
///     minimum        s * code + m
template <zero_kind Zero>
[[nodiscard]] inline float value_of(float code, float scale, float zero) noexcept {
  if constexpr (Zero == zero_kind::minimum) return core::exact(scale * code) + zero;
  return scale * core::exact(code - zero);
}

template <zero_kind Zero>
struct zero_constant {
  static constexpr zero_kind kind = Zero;
};
/// use(zero_constant<kind>{}): from a kind known at run time to one known to the compiler.
template <class Use>
void with_zero_kind(zero_kind kind, Use&& use) {
  switch (kind) {
    case zero_kind::none:
      return use(zero_constant<zero_kind::none>{});
    case zero_kind::point:
      return use(zero_constant<zero_kind::point>{});
    case zero_kind::minimum:
      return use(zero_constant<zero_kind::minimum>{});
  }
}
}  // namespace detail::policy

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
