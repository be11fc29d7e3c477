// SPDX-License-Identifier: Apache-2.0
/// Division of vectors, rounded once.
#pragma once

#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// a / b in every lane, as the scalar division rounds it. xsimd's operator is that but on Arm,
/// where it multiplies floats by a refined estimate of the reciprocal: off by an ulp, and by
/// everything where b is subnormal.
template <class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<float, Arch> quotient(
    const xsimd::batch<float, Arch>& a, const xsimd::batch<float, Arch>& b) noexcept {
#if EDGERAZOR_ARM64
  if constexpr (std::is_base_of_v<xsimd::neon64, Arch>) return vdivq_f32(a, b);
#endif
  return a / b;
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
