/// NaN and infinity have no level: they are found, and named, before anything is quantized.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor::inline v0 {

namespace detail {
/// The magnitude's bits as a signed integer, whose order is the order of the magnitudes; `infinity_bits` and above are
/// not finite. Integers, because a build with -ffinite-math-only removes comparisons with NaN.
inline std::int32_t magnitude_bits(float x) noexcept {
  return std::bit_cast<std::int32_t>(x) & 0x7fffffff;
}
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

/// Largest of the magnitudes' bits; 0 for no elements.
template <real_element T>
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
}  // namespace detail

/// Fails, naming row and column, where one of the rows holds a NaN or an infinity; returns the largest magnitude.
/// `what` begins the sentence: "weight at row 3, column 17 is NaN: expected finite values". `first_row` is added to the
/// row named, where the view is a part of a larger matrix. Precondition: the rows exist.
template <real_element T>
float check_finite(matrix_view<T> matrix, row_range rows, const char* what = "weight", std::size_t first_row = 0) {
  using element = std::remove_const_t<T>;
  int largest = 0;
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const std::span<T> row = matrix.row(r);
    const int bits = detail::largest_magnitude_bits<element>(row.data(), row.size());
    if (bits >= detail::infinity_bits<element>) {
      std::size_t c = 0;
      while (detail::magnitude_bits(row[c]) < detail::infinity_bits<element>) ++c;
      const bool infinite = detail::magnitude_bits(row[c]) == detail::infinity_bits<element>;
      fail(std::string{what} + " at row " + std::to_string(first_row + r) + ", column " + std::to_string(c) + " is " +
           (infinite ? "infinite" : "NaN") + ": expected finite values");
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

}  // namespace edgerazor::inline v0
