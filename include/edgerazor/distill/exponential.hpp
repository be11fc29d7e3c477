/// Powers over vectors, for logits from which (about) their maximum has been subtracted.
#pragma once

#include <cstdint>

#include <xsimd/xsimd.hpp>

namespace edgerazor::inline v0::detail {

/// Exponents are kept in this many units a nat: in float they are those of 2, so that only the last step of e^x is
/// left.
template <class Real>
inline constexpr double exponent_unit = 1;
template <>
inline constexpr double exponent_unit<float> = 1.4426950408889634;  // 1 / ln 2

/// 2^x for x <= 127, at most 1.5 ulp off; 0 for x < -126.5, minus infinity and NaN included. Larger x give anything.
///
/// 2^x = 2^n 2^f with n = round(x), so |f| <= 1/2, exactly; there a polynomial of degree 6 is within 2^-27 of 2^f. At
/// n = -127 the exponent field is 0 and so is the power: that is where small results become 0, with no branch. xsimd's
/// own exponential also serves denormal results and NaN, and takes twice as long.
template <class Arch>
[[nodiscard]] inline xsimd::batch<float, Arch> power_of_exponent(xsimd::batch<float, Arch> x) noexcept {
  using reals = xsimd::batch<float, Arch>;
  x = xsimd::max(x, reals{-127.0f});
  const reals shift{12582912.0f};  // 1.5 * 2^23: adding it rounds to an integer, which the low bits then hold
  const reals shifted = x + shift;
  const reals f = x - (shifted - shift);
  // (2^f - 1) / f
  reals sum = xsimd::fma(f, reals{1.54531634e-4f}, reals{1.33908633e-3f});
  sum = xsimd::fma(sum, f, reals{9.61808302e-3f});
  sum = xsimd::fma(sum, f, reals{5.55035695e-2f});
  sum = xsimd::fma(sum, f, reals{2.40226507e-1f});
  sum = xsimd::fma(sum, f, reals{6.93147182e-1f});
  const auto exponent = xsimd::bitwise_cast<std::int32_t>(shifted) -
                        xsimd::batch<std::int32_t, Arch>{0x4b400000 - 127};  // the bits of `shift`, less the bias
  const reals power = xsimd::bitwise_cast<float>(exponent << 23);
  return xsimd::fma(sum * f, power, power);
}

/// e^x in double, of any x: xsimd's own converts x to an integer before it looks whether that can be done, which for
/// infinities is undefined behaviour where vectors have no such instruction.
template <class Arch>
[[nodiscard]] inline xsimd::batch<double, Arch> exponential(const xsimd::batch<double, Arch>& x) noexcept {
  using reals = xsimd::batch<double, Arch>;
  const reals finite = xsimd::select(x > reals{-1000.0}, xsimd::select(x < reals{1000.0}, x, reals{1000.0}),
                                     reals{-1000.0});  // e^-1000 is 0, e^1000 infinite
  return xsimd::select(x == x, xsimd::exp(finite), x);
}

/// e^x in double, where time matters less.
template <class Arch>
[[nodiscard]] inline xsimd::batch<double, Arch> power_of_exponent(const xsimd::batch<double, Arch>& x) noexcept {
  return exponential(x);
}

}  // namespace edgerazor::inline v0::detail
