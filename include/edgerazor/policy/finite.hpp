// SPDX-License-Identifier: Apache-2.0
/// NaN and infinity have no level: they are found, and named, before anything is quantized.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/loops.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// Largest of the magnitudes' bits; 0 for no elements.
template <real_element T>
[[nodiscard]] int largest_magnitude_bits(const T* elements, std::size_t count) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    return best_loops().largest_bits(elements, count);
  } else {
    static_assert(sizeof(T) == sizeof(std::uint16_t));
    return best_loops().largest_half_bits(reinterpret_cast<const std::uint16_t*>(elements), count);
  }
}

/// Whether all magnitudes are below a limit, which is positive and may be infinity.
template <real_element T>
[[nodiscard]] bool all_below(const T* elements, std::size_t count, float limit) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    return best_loops().all_below(elements, count, limit);
  } else {
    const auto largest = static_cast<std::uint16_t>(largest_magnitude_bits(elements, count));
    return magnitude_bits(core::element_value(T::from_bits(largest))) < magnitude_bits(limit);
  }
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
