// SPDX-License-Identifier: Apache-2.0
/// Views of the caller's memory: a row-major matrix and a range of rows. They own nothing, and
/// check nothing but that an extent is not negative.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/extent.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Row-major `rows x cols` elements; consecutive rows start `stride` elements apart.
///
/// Extents may be of any integral type; a negative one is refused, naming it.
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
  template <std::integral Rows, std::integral Cols>
  constexpr matrix_view(T* first, Rows row_count, Cols col_count)
      : matrix_view(first, detail::core::extent(row_count, "matrix_view: rows"),
                    detail::core::extent(col_count, "matrix_view: cols")) {}
  template <std::integral Rows, std::integral Cols, std::integral Stride>
  constexpr matrix_view(T* first, Rows row_count, Cols col_count, Stride row_stride)
      : matrix_view(first, detail::core::extent(row_count, "matrix_view: rows"),
                    detail::core::extent(col_count, "matrix_view: cols"),
                    detail::core::extent(row_stride, "matrix_view: stride")) {}

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

  /// Precondition: 0 <= r < rows.
  template <std::integral Row>
  [[nodiscard]] constexpr std::span<T> row(Row r) const noexcept {
    return {data + static_cast<std::size_t>(r) * stride, cols};
  }
  /// Precondition: 0 <= begin <= end <= rows.
  template <std::integral Begin, std::integral End>
  [[nodiscard]] constexpr matrix_view rows_between(Begin begin, End end) const noexcept {
    const auto first = static_cast<std::size_t>(begin), past = static_cast<std::size_t>(end);
    return {data + first * stride, past - first, cols, stride};
  }
};

/// Rows [begin, end) of a result. A function that takes one writes those rows and no others, so a
/// host may give each of its threads a range. Of any two integers; a negative one is refused,
/// naming it. Where begin is not at most end, or end beyond the rows, the function it is given to
/// fails.
struct row_range {
  std::size_t begin = 0;
  std::size_t end = 0;

  constexpr row_range() = default;
  constexpr row_range(std::size_t first, std::size_t past) noexcept : begin(first), end(past) {}
  template <std::integral First, std::integral Past>
  constexpr row_range(First first, Past past)
      : row_range(detail::core::extent(first, "row_range: begin"),
                  detail::core::extent(past, "row_range: end")) {}

  [[nodiscard]] constexpr std::size_t size() const noexcept { return end - begin; }
  [[nodiscard]] constexpr bool empty() const noexcept { return begin == end; }
  friend constexpr bool operator==(const row_range&, const row_range&) = default;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
