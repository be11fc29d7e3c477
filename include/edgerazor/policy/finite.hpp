// SPDX-License-Identifier: Apache-2.0
/// NaN and infinity have no level: they are found, and named, before anything is quantized.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/magnitude.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// See magnitude.hpp; `infinity_bits` and above are not finite.
inline std::int16_t magnitude_bits(float16 x) noexcept {
  return static_cast<std::int16_t>(x.bits & 0x7fff);
}
inline std::int16_t magnitude_bits(bfloat16 x) noexcept {
  return static_cast<std::int16_t>(x.bits & 0x7fff);
}

template <real_element T>
inline constexpr int infinity_bits = std::is_same_v<T, float>     ? 0x7f800000
                                     : std::is_same_v<T, float16> ? 0x7c00
                                                                  : 0x7f80;

/// The same of a vector of floats.
template <class Arch>
[[nodiscard]] EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> magnitude_bits(
    const xsimd::batch<float, Arch>& x) noexcept {
  return xsimd::bitwise_cast<std::int32_t>(x) & xsimd::batch<std::int32_t, Arch>{0x7fffffff};
}

/// Largest of the magnitudes' bits, with two running maxima so that a comparison doesn't wait for
/// the one before; 0 for no elements.
template <class Arch>
[[nodiscard]] inline std::int32_t largest_bits_of(const float* elements,
                                                  std::size_t count) noexcept {
  using reals = xsimd::batch<float, Arch>;
  using words = xsimd::batch<std::int32_t, Arch>;
  constexpr std::size_t step = 2 * words::size;
  const std::size_t whole = count - count % step;
  words even{0}, odd{0};
  for (std::size_t i = 0; i < whole; i += step) {
    even = xsimd::max(even, magnitude_bits(reals::load_unaligned(elements + i)));
    odd = xsimd::max(odd, magnitude_bits(reals::load_unaligned(elements + i + words::size)));
  }
  std::int32_t largest = xsimd::reduce_max(xsimd::max(even, odd));
  for (std::size_t i = whole; i < count; ++i) {
    const std::int32_t bits = magnitude_bits(elements[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

/// Largest of the magnitudes' bits; 0 for no elements.
template <class T>
[[nodiscard]] inline int largest_magnitude_bits(const T* elements, std::size_t count) noexcept {
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
[[nodiscard]] inline int largest_magnitude_bits(const float* elements, std::size_t count) noexcept {
  return largest_bits_of<xsimd::default_arch>(elements, count);
}

/// Whether all magnitudes are below a limit, which is positive and may be infinity. Faster than the
/// largest on targets without an integer maximum.
template <class T>
[[nodiscard]] inline bool all_below(const T* elements, std::size_t count, float limit) noexcept {
  const auto largest = static_cast<std::uint16_t>(largest_magnitude_bits(elements, count));
  return magnitude_bits(core::element_value(T::from_bits(largest))) < magnitude_bits(limit);
}
[[nodiscard]] inline bool all_below(const float* elements, std::size_t count,
                                    float limit) noexcept {
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

template <class T>
[[nodiscard]] inline bool all_finite(const T* elements, std::size_t count) noexcept {
  return all_below(elements, count, std::bit_cast<float>(infinity_bits<float>));
}

/// Fails, naming row and column, where one of the rows holds a NaN or an infinity; returns the
/// largest magnitude. `what` begins the sentence: "weight at row 3, column 17 is NaN: expected
/// finite values". `first_row` is added to the row named, where the view is a part of a larger
/// matrix. Precondition: the rows exist.
template <real_element T>
float check_finite(matrix_view<T> matrix, row_range rows, const char* what = "weight",
                   std::size_t first_row = 0) {
  using element = std::remove_const_t<T>;
  int largest = 0;
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const std::span<T> row = matrix.row(r);
    const int bits = largest_magnitude_bits(row.data(), row.size());
    if (bits >= infinity_bits<element>) {
      std::size_t c = 0;
      while (magnitude_bits(row[c]) < infinity_bits<element>) ++c;
      const bool infinite = magnitude_bits(row[c]) == infinity_bits<element>;
      core::fail(std::string{what} + " at row " + std::to_string(first_row + r) + ", column " +
                 std::to_string(c) + " is " + (infinite ? "infinite" : "NaN") +
                 ": expected finite values");
    }
    largest = bits > largest ? bits : largest;
  }
  if constexpr (std::is_same_v<element, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(largest));
  } else {
    return element::from_bits(static_cast<std::uint16_t>(largest));
  }
}

/// The same for a whole matrix.
template <real_element T>
float check_finite(matrix_view<T> matrix, const char* what = "weight") {
  return check_finite(matrix, row_range{0, matrix.rows}, what);
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
