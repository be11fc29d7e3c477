// SPDX-License-Identifier: Apache-2.0
/// Float operations that no flag of the build changes: what -ffast-math, its parts and
/// -ffp-contract=fast would reorder, invert or fuse stays as the source says.
#pragma once

#include <cmath>
#include <type_traits>

#include <math.h>  // ::fmaf

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::core {

/// x, rounded, as it has been computed.
template <class Real>
[[nodiscard]] constexpr Real exact(Real x) noexcept {
  static_assert(std::is_floating_point_v<Real>);
  if (!std::is_constant_evaluated()) EDGERAZOR_KEEP(x);
  return x;
}

/// A sum in an order that matters: what has been added so far, where a flag allows another order.
template <class Real>
[[nodiscard]] constexpr Real ordered(Real x) noexcept {
  if constexpr (EDGERAZOR_FAST_MATH != 0) return exact(x);
  return x;
}

/// a / b, divided and rounded once. Vectorizes where no flag makes it necessary to forbid that;
/// clang doesn't tell of all such flags (-freciprocal-math).
template <class Real>
  requires std::is_floating_point_v<Real>
[[nodiscard]] constexpr Real quotient(Real a, Real b) noexcept {
  if constexpr (EDGERAZOR_FAST_MATH != 0 || EDGERAZOR_GCC == 0) {
    if (!std::is_constant_evaluated()) EDGERAZOR_KEEP_BOTH(a, b);
    return exact(a / b);
  }
  return a / b;
}
/// The same of vectors, whose own operator is exact.
template <class Vector>
  requires(!std::is_floating_point_v<Vector>)
[[nodiscard]] EDGERAZOR_INLINE constexpr Vector quotient(const Vector& a,
                                                         const Vector& b) noexcept {
  return a / b;
}

/// a * b + c, rounded once. clang at -ffast-math rounds std::fma twice where the target has no such
/// instruction; it does not see through the pointer to the C library's.
[[nodiscard]] inline float fused(float a, float b, float c) noexcept {
  if constexpr (EDGERAZOR_FAST_MATH != 0 && EDGERAZOR_GCC == 0) {
    float (*volatile function)(float, float, float) = &::fmaf;
    return function(a, b, c);
  }
  return std::fma(a, b, c);
}

/// The square root, rounded once. clang at -ffast-math makes that of a float of the processor's
/// estimate, which differs between makers; of a double it does not. Twice 24 bits and two more fit
/// a double, so that its root rounded to float is the float's own.
[[nodiscard]] inline float square_root(float x) noexcept {
  return static_cast<float>(exact(std::sqrt(exact(static_cast<double>(x)))));
}

}  // namespace detail::core
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
