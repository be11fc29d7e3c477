// SPDX-License-Identifier: Apache-2.0
/// What finite.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/finite.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

[[nodiscard]] inline xsimd::batch<std::int32_t> magnitude_bits(
    const xsimd::batch<float>& x) noexcept {
  return xsimd::bitwise_cast<std::int32_t>(x) & xsimd::batch<std::int32_t>{0x7fffffff};
}

/// Of 16-bit elements: lanes that the compiler makes vectors of.
template <class T>
[[nodiscard]] inline int largest_bits_of_halves(const T* elements, std::size_t count) noexcept {
  constexpr std::size_t lane_count = 16;
  decltype(magnitude_bits(T{})) lanes[lane_count] = {};
  const std::size_t whole = count - count % lane_count;
  for (std::size_t i = 0; i < whole; i += lane_count)
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
      const auto bits = magnitude_bits(elements[i + lane]);
      lanes[lane] = bits > lanes[lane] ? bits : lanes[lane];
    }
  int largest = 0;
  for (std::size_t i = whole; i < count; ++i) {
    const int bits = magnitude_bits(elements[i]);
    largest = bits > largest ? bits : largest;
  }
  for (const int lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}
template <class T>
[[nodiscard]] inline bool halves_below(const T* elements, std::size_t count, float limit) noexcept {
  const auto largest = static_cast<std::uint16_t>(largest_bits_of_halves(elements, count));
  return magnitude_bits(core::element_value(T::from_bits(largest))) < magnitude_bits(limit);
}
EDGERAZOR_FUNCTION int largest_magnitude_bits(const float* elements, std::size_t count) noexcept {
  using reals = xsimd::batch<float>;
  using words = xsimd::batch<std::int32_t>;
  constexpr std::size_t step = 2 * words::size;
  const std::size_t whole = count - count % step;
  words even{0}, odd{0};
  for (std::size_t i = 0; i < whole; i += step) {
    even = xsimd::max(even, magnitude_bits(reals::load_unaligned(elements + i)));
    odd = xsimd::max(odd, magnitude_bits(reals::load_unaligned(elements + i + words::size)));
  }
  int largest = xsimd::reduce_max(xsimd::max(even, odd));
  for (std::size_t i = whole; i < count; ++i) {
    const int bits = magnitude_bits(elements[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

EDGERAZOR_FUNCTION int largest_magnitude_bits(const float16* elements, std::size_t count) noexcept {
  return largest_bits_of_halves(elements, count);
}
EDGERAZOR_FUNCTION int largest_magnitude_bits(const bfloat16* elements,
                                              std::size_t count) noexcept {
  return largest_bits_of_halves(elements, count);
}

EDGERAZOR_FUNCTION bool all_below(const float* elements, std::size_t count, float limit) noexcept {
  using reals = xsimd::batch<float>;
  using words = xsimd::batch<std::uint32_t>;
  constexpr std::size_t step = 4 * words::size;
  const std::size_t whole = count - count % step;
  // Added to the bits of a magnitude, it sets the sign bit of those at the limit or above.
  const words offset{0x80000000u - static_cast<std::uint32_t>(magnitude_bits(limit))};
  words signs{0u};
  for (std::size_t i = 0; i < whole; i += step) {
    const auto sum = [&](std::size_t j) {
      const auto bits = magnitude_bits(reals::load_unaligned(elements + i + j * words::size));
      return xsimd::bitwise_cast<std::uint32_t>(bits) + offset;
    };
    signs = signs | (sum(0) | sum(1)) | (sum(2) | sum(3));
  }
  bool below =
      xsimd::none(xsimd::bitwise_cast<std::int32_t>(signs) < xsimd::batch<std::int32_t>{0});
  for (std::size_t i = whole; i < count; ++i)
    below = below && magnitude_bits(elements[i]) < magnitude_bits(limit);
  return below;
}
EDGERAZOR_FUNCTION bool all_below(const float16* elements, std::size_t count,
                                  float limit) noexcept {
  return halves_below(elements, count, limit);
}
EDGERAZOR_FUNCTION bool all_below(const bfloat16* elements, std::size_t count,
                                  float limit) noexcept {
  return halves_below(elements, count, limit);
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
