// SPDX-License-Identifier: Apache-2.0
/// The largest magnitude and the largest value of a group: exact, so any order of comparison gives
/// the same bits.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
struct magnitude_of {
  float operator()(float x) const noexcept { return std::fabs(x); }
  template <class Arch>
  xsimd::batch<float, Arch> operator()(const xsimd::batch<float, Arch>& x) const noexcept {
    return xsimd::abs(x);
  }
};

struct value_of {
  template <class Real>
  Real operator()(const Real& x) const noexcept {
    return x;
  }
};

/// max f(w), with two running maxima so that a comparison doesn't wait for the one before.
/// Precondition: count > 0.
template <class Arch, class Function>
[[nodiscard]] inline float largest_of(const float* w, std::size_t count, Function f) noexcept {
  using reals = xsimd::batch<float, Arch>;
  constexpr std::size_t step = 2 * reals::size;
  const std::size_t whole = count - count % step;
  float largest = f(w[0]);
  if (whole != 0) {
    reals even{largest}, odd{largest};
    for (std::size_t i = 0; i < whole; i += step) {
      even = xsimd::max(even, f(reals::load_unaligned(w + i)));
      odd = xsimd::max(odd, f(reals::load_unaligned(w + i + reals::size)));
    }
    largest = xsimd::reduce_max(xsimd::max(even, odd));
  }
  for (std::size_t i = whole; i < count; ++i) {
    const float x = f(w[i]);
    largest = x > largest ? x : largest;
  }
  return largest;
}
}  // namespace detail::policy

/// max|w|; 0 for no weights.
template <class Arch = xsimd::default_arch>
[[nodiscard]] float max_magnitude(std::span<const float> group) noexcept {
  return group.empty() ? 0.0f
                       : detail::policy::largest_of<Arch>(group.data(), group.size(),
                                                          detail::policy::magnitude_of{});
}

/// max(w). Precondition: !group.empty().
template <class Arch = xsimd::default_arch>
[[nodiscard]] float max_value(std::span<const float> group) noexcept {
  return detail::policy::largest_of<Arch>(group.data(), group.size(), detail::policy::value_of{});
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
