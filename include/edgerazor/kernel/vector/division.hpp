// SPDX-License-Identifier: Apache-2.0
/// Division of vectors, rounded once.
#pragma once

#include <cstddef>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::vector::portable {

/// Whether a vector is one register, not an array in place of one.
template <class Arch>
inline constexpr bool is_register =
    !requires(const xsimd::batch<float, Arch>& v) { v.data.size(); };

/// v as it has been computed: see EDGERAZOR_KEEP.
template <class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<float, Arch> kept(
    xsimd::batch<float, Arch> v) noexcept {
  if constexpr (is_register<Arch>) {
    EDGERAZOR_KEEP(v.data);
  } else {
    for (float& x : v.data) x = core::exact(x);
  }
  return v;
}

/// A sum of vectors in an order that matters: see core::ordered.
template <class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<float, Arch> ordered(
    const xsimd::batch<float, Arch>& v) noexcept {
  if constexpr (EDGERAZOR_FAST_MATH != 0) return kept(v);
  return v;
}

/// a / b in every lane, as the scalar division rounds it, whatever the flags of the build. xsimd's
/// operator is that but for the 128-bit vectors of 64-bit Arm, where it multiplies by a refined
/// estimate of the reciprocal: off by an ulp, and by everything where b is subnormal. Registers are
/// divided where the compiler has an operator for them, else lane by lane.
template <class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<float, Arch> quotient(
    xsimd::batch<float, Arch> a, xsimd::batch<float, Arch> b) noexcept {
  using reals = xsimd::batch<float, Arch>;
  if constexpr (EDGERAZOR_X86 != 0 && is_register<Arch>) {
    reals result = a;
    EDGERAZOR_DIVIDE_BUILD(result.data, a.data, b.data);
    return result;
  } else if constexpr (is_register<Arch> && requires { reals{a.data / b.data}; }) {
    EDGERAZOR_KEEP_BOTH(a.data, b.data);
    return kept(reals{a.data / b.data});
  } else {
    float x[reals::size], y[reals::size];
    a.store_unaligned(x);
    b.store_unaligned(y);
    for (std::size_t i = 0; i < reals::size; ++i) x[i] = core::quotient(x[i], y[i]);
    return reals::load_unaligned(x);
  }
}

}  // namespace detail::kernel::vector::portable
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
