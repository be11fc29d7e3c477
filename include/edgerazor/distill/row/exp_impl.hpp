// SPDX-License-Identifier: Apache-2.0
/// Exponentials over vectors, for logits from which (about) their maximum has been subtracted, and
/// the vectors themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// The vectors of the build's own instruction set.
template <class Real>
using vector = xsimd::batch<Real, xsimd::default_arch>;
using floats = vector<float>;
using doubles = vector<double>;

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
[[nodiscard]] EDGERAZOR_INLINE floats exp2_approx(floats x) noexcept {
  x = xsimd::max(x, floats{-127.0f});
  // 1.5 * 2^23: adding it rounds to an integer, which the low bits then hold.
  const floats shift{12582912.0f};
  const floats shifted = x + shift;
  const floats f = x - (shifted - shift);
  // (2^f - 1) / f
  floats sum = xsimd::fma(f, floats{1.54531634e-4f}, floats{1.33908633e-3f});
  sum = xsimd::fma(sum, f, floats{9.61808302e-3f});
  sum = xsimd::fma(sum, f, floats{5.55035695e-2f});
  sum = xsimd::fma(sum, f, floats{2.40226507e-1f});
  sum = xsimd::fma(sum, f, floats{6.93147182e-1f});
  // The bits of `shift`, less the bias.
  const auto exponent =
      xsimd::bitwise_cast<std::int32_t>(shifted) - vector<std::int32_t>{0x4b400000 - 127};
  const floats power = xsimd::bitwise_cast<float>(exponent << 23);
  return xsimd::fma(sum * f, power, power);
}

/// e^x in double, of any x, at most 2 ulp off; 0 for x < -708, infinite above 709, NaN of NaN.
///
/// As above, with ln 2 subtracted in two parts, of which n times the first is exact, and the series
/// to r^13 / 13!, whose next term is below 2^-57 for |r| <= ln 2 / 2. xsimd's own takes five times
/// as long where vectors can't convert double to 64-bit integers, and converts infinities, which is
/// undefined.
[[nodiscard]] inline doubles exp(const doubles& x) noexcept {
  const doubles least{-708.0}, most{709.0}, shift{6755399441055744.0};  // 1.5 * 2^52
  const doubles finite = xsimd::select(x > least, xsimd::select(x < most, x, most), least);
  const doubles shifted = xsimd::fma(finite, doubles{1.4426950408889634}, shift);
  const doubles n = shifted - shift;
  doubles r = xsimd::fnma(n, doubles{0x1.62e42feep-1}, finite);
  r = xsimd::fnma(n, doubles{0x1.a39ef35793c76p-33}, r);
  constexpr double coefficients[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
      1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5};
  doubles sum{coefficients[0]};
  for (std::size_t i = 1; i < std::size(coefficients); ++i)
    sum = xsimd::fma(sum, r, doubles{coefficients[i]});
  sum = xsimd::fma(sum, r * r, r);
  // The bits of `shift`, less the bias.
  const auto exponent =
      xsimd::bitwise_cast<std::int64_t>(shifted) - vector<std::int64_t>{0x4338000000000000 - 1023};
  const doubles power = xsimd::bitwise_cast<double>(exponent << 52);
  const doubles result = xsimd::fma(sum, power, power);
  const doubles above =
      xsimd::select(x < most, result, doubles{std::numeric_limits<double>::infinity()});
  return xsimd::select(x > least, above, xsimd::select(x == x, doubles{0.0}, x));
}

/// e^x of an x in exponent units: 2^x for floats, e^x for doubles.
[[nodiscard]] EDGERAZOR_INLINE floats exp_of_units(const floats& x) noexcept {
  return exp2_approx(x);
}
[[nodiscard]] inline doubles exp_of_units(const doubles& x) noexcept { return row::exp(x); }

/// x where the probability isn't 0, else 0: 0 * infinity counts as 0. Not guarded: x.
template <bool Guarded = true, class Reals>
[[nodiscard]] inline Reals where_positive(const Reals& probability, const Reals& x) noexcept {
  using real = typename Reals::value_type;
  if constexpr (Guarded) return xsimd::select(probability > Reals{real{0}}, x, Reals{real{0}});
  return x;
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
