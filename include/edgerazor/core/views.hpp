// SPDX-License-Identifier: Apache-2.0
/// Views of the caller's memory: a row-major matrix and a range of rows. They own nothing and check
/// nothing.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Row-major `rows x cols` elements; consecutive rows start `stride` elements apart.
template <class T>
struct matrix_view {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;  ///< elements from one row to the next; at least `cols`

  constexpr matrix_view() = default;
  constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count) noexcept
      : matrix_view(first, row_count, col_count, col_count) {}
  constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count,
                        std::size_t row_stride) noexcept
      : data(first), rows(row_count), cols(col_count), stride(row_stride) {}

  /// A run of elements (a span, a vector) is a matrix of one row.
  template <class Run>
    requires(std::is_convertible_v<Run, std::span<T>> && !std::is_convertible_v<Run, T*>)
  constexpr matrix_view(Run&& run) noexcept : matrix_view(std::span<T>{run}) {}
  constexpr matrix_view(std::span<T> row) noexcept
      : matrix_view(row.data(), 1, row.size(), row.size()) {}

  /// A view of mutable elements is a view of const ones.
  constexpr operator matrix_view<const T>() const noexcept
    requires(!std::is_const_v<T>)
  {
    return {data, rows, cols, stride};
  }

  [[nodiscard]] constexpr std::span<T> row(std::size_t r) const noexcept {
    return {data + r * stride, cols};
  }
  [[nodiscard]] constexpr matrix_view rows_between(std::size_t begin,
                                                   std::size_t end) const noexcept {
    return {data + begin * stride, end - begin, cols, stride};
  }
};

/// Rows [begin, end) of a result. A function that takes one writes those rows and no others, so a
/// host may give each of its threads a range. Ranges that begin and end at multiples of `tile_rows`
/// compute nothing twice.
struct row_range {
  std::size_t begin = 0;
  std::size_t end = 0;

  [[nodiscard]] constexpr std::size_t size() const noexcept { return end - begin; }
  [[nodiscard]] constexpr bool empty() const noexcept { return begin == end; }
  friend constexpr bool operator==(const row_range&, const row_range&) = default;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
