/// e^x over vectors, for logits from which (about) their maximum has been subtracted.
#pragma once

#include <cstdint>

#include <xsimd/xsimd.hpp>

namespace edgerazor::inline v0::detail {

/// e^x for x <= 88, at most 1.5 ulp off; 0 for x < -87.7, minus infinity included; e^88 for larger x, so that a
/// reference that is too small shows in the sums.
///
/// e^x = 2^n e^r with n = round(x / ln 2), so |r| <= ln 2 / 2, where a polynomial of degree 6 is within 2^-25 of e^r.
/// ln 2 is subtracted in two parts, of which n times the first is exact. At n = -127 the exponent field is 0 and so is
/// the power: that is where small results become 0, with no branch. xsimd's own exponential also serves x above 88,
/// denormal results and NaN, and takes half as long again.
template <class Arch>
[[nodiscard]] inline xsimd::batch<float, Arch> exp_of_difference(xsimd::batch<float, Arch> x) noexcept {
  using reals = xsimd::batch<float, Arch>;
  x = xsimd::min(xsimd::max(x, reals{-88.0f}), reals{88.0f});
  const reals shift{12582912.0f};  // 1.5 * 2^23: adding it rounds to an integer, which the low bits then hold
  const reals shifted = xsimd::fma(x, reals{1.44269504f}, shift);
  const reals n = shifted - shift;
  reals r = xsimd::fnma(n, reals{0.693145752f}, x);
  r = xsimd::fnma(n, reals{1.42860677e-6f}, r);
  // e^r - 1 = r + r^2 (1/2 + r/6 + ...)
  reals sum = xsimd::fma(r, reals{1.3888890e-3f}, reals{8.3333340e-3f});
  sum = xsimd::fma(sum, r, reals{4.1666668e-2f});
  sum = xsimd::fma(sum, r, reals{1.6666667e-1f});
  sum = xsimd::fma(sum, r, reals{0.5f});
  sum = xsimd::fma(sum, r * r, r);
  const auto exponent = xsimd::bitwise_cast<std::int32_t>(shifted) -
                        xsimd::batch<std::int32_t, Arch>{0x4b400000 - 127};  // the bits of `shift`, less the bias
  const reals power = xsimd::bitwise_cast<float>(exponent << 23);
  return xsimd::fma(sum, power, power);
}

/// The same in double, where time matters less.
template <class Arch>
[[nodiscard]] inline xsimd::batch<double, Arch> exp_of_difference(const xsimd::batch<double, Arch>& x) noexcept {
  return xsimd::exp(x);
}

}  // namespace edgerazor::inline v0::detail
