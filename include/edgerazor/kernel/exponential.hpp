// SPDX-License-Identifier: Apache-2.0
/// The one exponential of softmax and SiLU, the same bits from every kernel. The C library's
/// differs from system to system.
///
///     v clamped to [lowest, highest]    n = round_half_even(v * log2_e)    r = fma(n, -ln2_low, fma(n, -ln2_high, v))
///     e^v = 2^n * p(r),    p(r) = sum of r^k / k! for k = 0..7, by Horner's rule with fused multiply-adds
///
/// |r| <= ln(2) / 2, so the terms left out are below (ln(2) / 2)^8 / 8! = 5.2e-9 of the value, a
/// twelfth of float's rounding: the result is within 2 units in the last place. 2^n is applied as
/// 2^(n >> 1) and 2^(n
/// - (n >> 1)), both normal numbers, so that the last factor alone rounds to subnormal, to zero
/// (from -104 down) or to infinity (from 89 up). NaN stays NaN.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::exponential {

inline constexpr float lowest = -104.0f, highest = 89.0f;
inline constexpr float log2_e = 0x1.715476p+0f;
inline constexpr float ln2_high = 0x1.62e43p-1f,
                       ln2_low = -0x1.05c61p-29f;  ///< ln 2, rounded, and the rest
/// 1/k!, highest power first; one follows for k = 1 and 0.
inline constexpr float terms[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                  1.0f / 6,    0.5f,       1.0f,       1.0f};

/// e^v of one number: the reference implementation.
[[nodiscard]] inline float of(float v) noexcept {
  v = v < lowest ? lowest : v;
  v = v > highest ? highest : v;
  const float n = std::nearbyint(core::exact(v * log2_e));
  const float r = core::fused(n, -ln2_low, core::fused(n, -ln2_high, v));
  float p = terms[0];
  for (int k = 1; k < 8; ++k) p = core::fused(p, r, terms[k]);
  const std::int32_t power = n == n ? static_cast<std::int32_t>(n) : 0, half = power >> 1;
  return core::exact(core::exact(p * std::bit_cast<float>((half + 127) << 23)) *
                     std::bit_cast<float>((power - half + 127) << 23));
}

}  // namespace detail::kernel::exponential
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
