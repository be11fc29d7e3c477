// SPDX-License-Identifier: Apache-2.0
/// What vector_group.hpp declares.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/vector_group.hpp>

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

EDGERAZOR_FUNCTION float max_magnitude(const vector_group& group) noexcept {
  if (group.empty()) return 0;
  return largest_of(group.data(), group.size(), []<class Real>(const Real& x) {
    if constexpr (std::is_same_v<Real, float>)
      return std::fabs(x);
    else
      return xsimd::abs(x);
  });
}

EDGERAZOR_FUNCTION float max_value(const vector_group& group) noexcept {
  return largest_of(group.data(), group.size(), []<class Real>(const Real& x) { return x; });
}

/// The loops of `plain_sums` on vectors, where these divide the width.
struct vector_sums {
  using reals = xsimd::batch<float>;

  template <std::size_t Width>
  static void add_rows(const float* next, std::size_t count, float* sums) noexcept {
    if constexpr (Width % reals::size != 0) {
      plain_sums::add_rows<Width>(next, count, sums);
    } else {
      const auto add = [&]<std::size_t... J>(std::index_sequence<J...>) {
        reals sum[] = {(static_cast<void>(J), reals{0.0f})...};
        for (std::size_t i = 0; i < count; ++i, next += Width)
          ((sum[J] = ordered(sum[J] + xsimd::abs(reals::load_unaligned(next + J * reals::size)))),
           ...);
        (sum[J].store_unaligned(sums + J * reals::size), ...);
      };
      add(std::make_index_sequence<Width / reals::size>{});
    }
  }
  template <std::size_t Count>
  static void add_lanes(const float* from, float* to) noexcept {
    if constexpr (Count % reals::size != 0) {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; ++j) to[j] = core::ordered(to[j] + from[j]);
    } else {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; j += reals::size)
        ordered(reals::load_unaligned(to + j) + reals::load_unaligned(from + j))
            .store_unaligned(to + j);
    }
  }
};

EDGERAZOR_FUNCTION float mean_magnitude(const vector_group& group) noexcept {
  return mean_of_magnitudes<vector_sums>(group);
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
