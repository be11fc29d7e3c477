// SPDX-License-Identifier: Apache-2.0
/// What magnitude.hpp declares, by vectors.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/magnitude.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// max f(w), with two running maxima so that a comparison doesn't wait for the one before; NaN
/// where one stands. A vector's maximum forgets NaNs, on some machines: all bits of the exponent of
/// a NaN are set, so where they are not in the union of the bits of any lane, there is none.
/// Precondition: count > 0.
template <class Function>
[[nodiscard]] EDGERAZOR_INLINE float largest_of(const float* w, std::size_t count,
                                                Function f) noexcept {
  using reals = xsimd::batch<float>;
  using words = xsimd::batch<std::int32_t>;
  constexpr std::size_t step = 2 * reals::size;
  const std::size_t whole = count - count % step;
  float largest = f(w[0]);
  bool full = false;
  if (whole != 0) {
    reals even{largest}, odd{largest};
    reals seen{0.0f};
    for (std::size_t i = 0; i < whole; i += step) {
      const reals a = reals::load_unaligned(w + i), b = reals::load_unaligned(w + i + reals::size);
      even = xsimd::max(even, f(a));
      odd = xsimd::max(odd, f(b));
      seen = seen | (a | b);
    }
    largest = xsimd::reduce_max(xsimd::max(even, odd));
    const words exponent{infinity_bits<float>};
    full = xsimd::any((xsimd::bitwise_cast<std::int32_t>(seen) & exponent) == exponent);
  }
  for (std::size_t i = whole; i < count; ++i) {
    const float x = f(w[i]);
    largest = x > largest ? x : largest;
    full = full || magnitude_bits(x) >= infinity_bits<float>;
  }
  if (!full) return largest;
  const int most = largest_magnitude_bits(w, count);
  return most > infinity_bits<float> ? std::bit_cast<float>(most) : largest;
}
}  // namespace detail::policy

EDGERAZOR_FUNCTION float max_magnitude(std::span<const float> group) noexcept {
  if (group.empty()) return 0;
  return detail::policy::largest_of(group.data(), group.size(), []<class Real>(const Real& x) {
    if constexpr (std::is_same_v<Real, float>)
      return std::fabs(x);
    else
      return xsimd::abs(x);
  });
}

EDGERAZOR_FUNCTION float max_value(std::span<const float> group) noexcept {
  return detail::policy::largest_of(group.data(), group.size(),
                                    []<class Real>(const Real& x) { return x; });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
