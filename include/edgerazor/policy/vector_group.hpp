// SPDX-License-Identifier: Apache-2.0
/// A group of weights that brings the vector forms of `max_magnitude`, `max_value` and
/// `mean_magnitude` with it: same bits as the plain ones, found by the argument where a policy's
/// `scale` is a template.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <utility>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantizer.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// max(w) of weights without NaN, with two running maxima so that a comparison doesn't wait for the
/// one before. Precondition: count > 0.
template <class Arch>
[[nodiscard]] inline float largest_number(const float* w, std::size_t count) noexcept {
  using reals = xsimd::batch<float, Arch>;
  constexpr std::size_t step = 2 * reals::size;
  const std::size_t whole = count - count % step;
  float largest = w[0];
  if (whole != 0) {
    reals even{largest}, odd{largest};
    for (std::size_t i = 0; i < whole; i += step) {
      even = xsimd::max(even, reals::load_unaligned(w + i));
      odd = xsimd::max(odd, reals::load_unaligned(w + i + reals::size));
    }
    largest = xsimd::reduce_max(xsimd::max(even, odd));
  }
  for (std::size_t i = whole; i < count; ++i) largest = w[i] > largest ? w[i] : largest;
  return largest;
}

/// The loops of `plain_sums` on vectors, where these divide the width.
template <class Arch>
struct vector_sums {
  using reals = xsimd::batch<float, Arch>;

  template <std::size_t Width>
  static void add_rows(const float* next, std::size_t count, float* sums) noexcept {
    if constexpr (Width % reals::size != 0) {
      plain_sums::add_rows<Width>(next, count, sums);
    } else {
      const auto add = [&]<std::size_t... J>(std::index_sequence<J...>) {
        reals sum[] = {(static_cast<void>(J), reals{0.0f})...};
        for (std::size_t i = 0; i < count; ++i, next += Width)
          ((sum[J] += xsimd::abs(reals::load_unaligned(next + J * reals::size))), ...);
        (sum[J].store_unaligned(sums + J * reals::size), ...);
      };
      add(std::make_index_sequence<Width / reals::size>{});
    }
  }
  template <std::size_t Count>
  static void add_lanes(const float* from, float* to) noexcept {
    if constexpr (Count % reals::size != 0) {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; ++j) to[j] += from[j];
    } else {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; j += reals::size)
        (reals::load_unaligned(to + j) + reals::load_unaligned(from + j)).store_unaligned(to + j);
    }
  }
};

template <class Arch>
struct vector_group : std::span<const float> {
  explicit vector_group(std::span<const float> group) noexcept : std::span<const float>(group) {}

  [[nodiscard]] friend float max_magnitude(const vector_group& group) noexcept {
    return std::bit_cast<float>(largest_bits_of<Arch>(group.data(), group.size()));
  }
  [[nodiscard]] friend float max_value(const vector_group& group) noexcept {
    const float magnitude = max_magnitude(group);
    return is_nan(magnitude) ? magnitude : largest_number<Arch>(group.data(), group.size());
  }
  [[nodiscard]] friend float mean_magnitude(const vector_group& group) noexcept {
    return mean_of_magnitudes<vector_sums<Arch>>(group);
  }
};

/// policy.scale(group), by vectors where the policy lets them.
template <class Arch = xsimd::default_arch, quantizer Q>
[[nodiscard]] float scale_of(const Q& policy, std::span<const float> group) noexcept {
  return policy.scale(vector_group<Arch>{group});
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
