// SPDX-License-Identifier: Apache-2.0
/// Powers over vectors, for logits from which (about) their maximum has been subtracted.
#pragma once

#include <cstdint>
#include <iterator>
#include <limits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// Exponents are kept in this many units a nat: in float they are those of 2, so that only the last
/// step of e^x is left.
template <class Real>
inline constexpr double exponent_unit = 1;
template <>
inline constexpr double exponent_unit<float> = 1.4426950408889634;  // 1 / ln 2

/// 2^x for x <= 127, at most 1.5 ulp off; 0 for x < -126.5, minus infinity and NaN included. Larger
/// x give anything.
///
/// 2^x = 2^n 2^f with n = round(x), so |f| <= 1/2, exactly; there a polynomial of degree 6 is
/// within 2^-27 of 2^f. At n = -127 the exponent field is 0 and so is the power: that is where
/// small results become 0, with no branch. xsimd's own exponential also serves denormal results and
/// NaN, and takes twice as long.
template <class Arch>
[[nodiscard]] inline xsimd::batch<float, Arch> power_of_exponent(
    xsimd::batch<float, Arch> x) noexcept {
  using reals = xsimd::batch<float, Arch>;
  x = xsimd::max(x, reals{-127.0f});
  const reals shift{
      12582912.0f};  // 1.5 * 2^23: adding it rounds to an integer, which the low bits then hold
  const reals shifted = x + shift;
  const reals f = x - (shifted - shift);
  // (2^f - 1) / f
  reals sum = xsimd::fma(f, reals{1.54531634e-4f}, reals{1.33908633e-3f});
  sum = xsimd::fma(sum, f, reals{9.61808302e-3f});
  sum = xsimd::fma(sum, f, reals{5.55035695e-2f});
  sum = xsimd::fma(sum, f, reals{2.40226507e-1f});
  sum = xsimd::fma(sum, f, reals{6.93147182e-1f});
  const auto exponent =
      xsimd::bitwise_cast<std::int32_t>(shifted) -
      xsimd::batch<std::int32_t, Arch>{0x4b400000 - 127};  // the bits of `shift`, less the bias
  const reals power = xsimd::bitwise_cast<float>(exponent << 23);
  return xsimd::fma(sum * f, power, power);
}

/// e^x in double, of any x, at most 2 ulp off; 0 for x < -708, infinite above 709, NaN of NaN.
///
/// As above, with ln 2 subtracted in two parts, of which n times the first is exact, and the series
/// to r^13 / 13!, whose next term is below 2^-57 for |r| <= ln 2 / 2. xsimd's own takes five times
/// as long where vectors can't convert double to 64-bit integers, and converts infinities, which is
/// undefined.
template <class Arch>
[[nodiscard]] inline xsimd::batch<double, Arch> exponential(
    const xsimd::batch<double, Arch>& x) noexcept {
  using reals = xsimd::batch<double, Arch>;
  const reals least{-708.0}, most{709.0}, shift{6755399441055744.0};  // 1.5 * 2^52
  const reals finite = xsimd::select(x > least, xsimd::select(x < most, x, most), least);
  const reals shifted = xsimd::fma(finite, reals{1.4426950408889634}, shift);
  const reals n = shifted - shift;
  reals r = xsimd::fnma(n, reals{0x1.62e42feep-1}, finite);
  r = xsimd::fnma(n, reals{0x1.a39ef35793c76p-33}, r);
  constexpr double coefficients[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
      1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5};
  reals sum{coefficients[0]};
  for (std::size_t i = 1; i < std::size(coefficients); ++i)
    sum = xsimd::fma(sum, r, reals{coefficients[i]});
  sum = xsimd::fma(sum, r * r, r);
  const auto exponent = xsimd::bitwise_cast<std::int64_t>(shifted) -
                        xsimd::batch<std::int64_t, Arch>{
                            0x4338000000000000 - 1023};  // the bits of `shift`, less the bias
  const reals power = xsimd::bitwise_cast<double>(exponent << 52);
  const reals result = xsimd::fma(sum, power, power);
  const reals above =
      xsimd::select(x < most, result, reals{std::numeric_limits<double>::infinity()});
  return xsimd::select(x > least, above, xsimd::select(x == x, reals{0.0}, x));
}

/// e^x in double, where time matters less.
template <class Arch>
[[nodiscard]] inline xsimd::batch<double, Arch> power_of_exponent(
    const xsimd::batch<double, Arch>& x) noexcept {
  return exponential(x);
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
