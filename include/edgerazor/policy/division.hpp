// SPDX-License-Identifier: Apache-2.0
/// Division of vectors, rounded once.
#pragma once

#include <cstddef>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// a / b in every lane, as the scalar division rounds it. xsimd's operator is that but for the
/// 128-bit vectors of 64-bit Arm, where it multiplies by a refined estimate of the reciprocal: off
/// by an ulp, and by everything where b is subnormal. There the registers are divided where the
/// compiler has an operator for them, else lane by lane.
template <class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<float, Arch> quotient(
    const xsimd::batch<float, Arch>& a, const xsimd::batch<float, Arch>& b) noexcept {
  using reals = xsimd::batch<float, Arch>;
  if constexpr (EDGERAZOR_ARM64 == 0 || sizeof(reals) != 16) {
    return a / b;
  } else if constexpr (requires { reals{a.data / b.data}; }) {
    return reals{a.data / b.data};
  } else {
    float x[reals::size], y[reals::size];
    a.store_unaligned(x);
    b.store_unaligned(y);
    for (std::size_t i = 0; i < reals::size; ++i) x[i] /= y[i];
    return reals::load_unaligned(x);
  }
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
