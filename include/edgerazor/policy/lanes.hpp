// SPDX-License-Identifier: Apache-2.0
/// Vectors of weights and of levels, as policies see them: the arithmetic of float and int, and the
/// functions of levels.hpp, on the vectors of xsimd.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/quantizer.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// clamp(round_half_even(x), Low, High) in every lane; NaN gives Low. See `round_to_level`.
template <int Low, int High, class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> round_lanes(
    const xsimd::batch<float, Arch>& x) noexcept {
  static_assert(Low > -(1 << 22) && High < (1 << 22));
  using reals = xsimd::batch<float, Arch>;
  const reals low{static_cast<float>(Low)}, high{static_cast<float>(High)}, shift{12582912.0f};
  // x where x > low, else low, so also where x is NaN: on x86 its one instruction for a maximum;
  // other machines, and vectors that are emulated (arrays), give NaN or the number there.
  constexpr bool is_array = requires { x.data.size(); };
  reals above = x;
  if constexpr (EDGERAZOR_X86 != 0 && !is_array) {
    above = xsimd::max(x, low);
  } else {
    above = xsimd::select(x > low, x, low);
  }
  return xsimd::bitwise_cast<std::int32_t>(xsimd::min(above, high) + shift) -
         xsimd::bitwise_cast<std::int32_t>(shift);
}

template <class Arch>
struct int_lanes {
  xsimd::batch<std::int32_t, Arch> values;

  EDGERAZOR_INLINE int_lanes(const xsimd::batch<std::int32_t, Arch>& x) noexcept : values(x) {}
  EDGERAZOR_INLINE int_lanes(int x) noexcept : values(x) {}

  friend EDGERAZOR_INLINE int_lanes operator+(const int_lanes& a, const int_lanes& b) noexcept {
    return a.values + b.values;
  }
  friend EDGERAZOR_INLINE int_lanes operator-(const int_lanes& a, const int_lanes& b) noexcept {
    return a.values - b.values;
  }
};

template <class Arch>
struct float_lanes {
  using batch = xsimd::batch<float, Arch>;
  using level_vector = int_lanes<Arch>;
  static constexpr std::size_t size = batch::size;

  batch values;

  EDGERAZOR_INLINE float_lanes(const batch& x) noexcept : values(x) {}
  EDGERAZOR_INLINE float_lanes(float x) noexcept : values(x) {}

  friend EDGERAZOR_INLINE float_lanes operator+(const float_lanes& a,
                                                const float_lanes& b) noexcept {
    return a.values + b.values;
  }
  friend EDGERAZOR_INLINE float_lanes operator-(const float_lanes& a,
                                                const float_lanes& b) noexcept {
    return a.values - b.values;
  }
  friend EDGERAZOR_INLINE float_lanes operator*(const float_lanes& a,
                                                const float_lanes& b) noexcept {
    return a.values * b.values;
  }
  friend EDGERAZOR_INLINE float_lanes operator/(const float_lanes& a,
                                                const float_lanes& b) noexcept {
    return quotient(a.values, b.values);
  }

  template <int Low, int High>
  friend EDGERAZOR_INLINE int_lanes<Arch> round_to_level(const float_lanes& x) noexcept {
    return round_lanes<Low, High>(x.values);
  }
  friend EDGERAZOR_INLINE int_lanes<Arch> sign_level(const float_lanes& x) noexcept {
    using words = xsimd::batch<std::int32_t, Arch>;
    const words zero{0};
    return xsimd::select(zero - xsimd::bitwise_cast<std::int32_t>(x.values) > zero, words{-1},
                         words{1});
  }
};

/// A policy whose `level` takes vectors. Every policy of this library does; one that doesn't works
/// as well, one weight at a time.
template <class Q, class Arch>
concept lanes_quantizer =
    quantizer<Q> && requires(const float_lanes<Arch>& weights, const float_lanes<Arch>& scales) {
      { Q::level(weights, scales) } -> std::same_as<int_lanes<Arch>>;
    };

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
