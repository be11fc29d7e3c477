// SPDX-License-Identifier: Apache-2.0
/// The groups of a matrix in order, each as one run of floats, whatever the granularity, the stride
/// or the element type.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/granularity.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// A group in place: `count` elements in row-major order from (row, col), possibly over row ends.
struct group_place {
  std::size_t row;
  std::size_t col;
  std::size_t count;
};

/// All of a matrix.
template <real_element T>
[[nodiscard]] group_place whole(const matrix_view<T>& matrix) {
  return {0, 0, core::size_product("matrix_view", matrix.rows, matrix.cols)};
}

/// Calls visit(r, c, n, i) for each piece of a place that lies in one row: n elements from (r, c),
/// the first of which is element i of the group.
template <class Visit>
void for_each_piece(const group_place& place, std::size_t cols, Visit&& visit) {
  std::size_t row = place.row, col = place.col;
  for (std::size_t i = 0; i < place.count; col = 0, ++row) {
    const std::size_t n = std::min(cols - col, place.count - i);
    visit(row, col, n, i);
    i += n;
  }
}

/// Floats that lie in one run are used where they are; everything else is copied to the buffer.
template <real_element T>
[[nodiscard]] bool lies_in_one_run(const matrix_view<T>& matrix,
                                   const group_place& place) noexcept {
  return std::is_same_v<std::remove_const_t<T>, float> &&
         (matrix.stride == matrix.cols || place.col + place.count <= matrix.cols);
}

/// How elements of 16 bits become floats where nobody says otherwise.
struct plain_conversion {
  template <real_element From>
  void operator()(const From* in, std::size_t count, float* out) const noexcept {
    core::convert_elements(in, count, out);
  }
};

template <real_element T, class Convert = plain_conversion>
[[nodiscard]] std::span<const float> group_values(const matrix_view<T>& matrix,
                                                  const group_place& place,
                                                  core::buffer<float>& buffer,
                                                  const Convert& convert = {}) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    if (lies_in_one_run(matrix, place))
      return {matrix.data + place.row * matrix.stride + place.col, place.count};
  }
  buffer.resize(place.count);
  for_each_piece(place, matrix.cols,
                 [&](std::size_t r, std::size_t c, std::size_t n, std::size_t i) {
                   const std::remove_const_t<T>* const from = matrix.data + r * matrix.stride + c;
                   convert(from, n, buffer.data() + i);
                 });
  return buffer;
}

/// Calls visit(place, values) for each group of the rows, in order; `values` are the group's
/// elements as floats.
template <real_element T, class Visit, class Convert = plain_conversion>
void for_each_group(column_group group, const matrix_view<T>& matrix, row_range rows, Visit&& visit,
                    const Convert& convert = {}) {
  core::buffer<float> buffer;
  const std::size_t columns = group_columns(group, matrix.cols);
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    for (std::size_t c = 0; c < matrix.cols; c += columns) {
      const group_place place{r, c, std::min(columns, matrix.cols - c)};
      visit(place, group_values(matrix, place, buffer, convert));
    }
  }
}

/// The same by a granularity; `values` hold for the last flat group also the zeros that complete
/// it. Rows are a part of the matrix only where groups stay within rows.
template <granularity_policy Granularity, real_element T, class Visit,
          class Convert = plain_conversion>
void for_each_group(const matrix_view<T>& matrix, row_range rows, Visit&& visit,
                    const Convert& convert = {}) {
  if (rows.empty() || matrix.cols == 0) return;
  if constexpr (row_granularity<Granularity>) {
    for_each_group(column_group{Granularity::group}, matrix, rows, visit, convert);
  } else if constexpr (std::is_same_v<Granularity, per_tensor>) {
    core::buffer<float> buffer;
    const group_place place = whole(matrix);
    visit(place, group_values(matrix, place, buffer, convert));
  } else {
    core::buffer<float> buffer;
    const std::size_t size = whole(matrix).count;
    for (std::size_t first = 0; first < size; first += Granularity::group) {
      const group_place place{first / matrix.cols, first % matrix.cols,
                              std::min(Granularity::group, size - first)};
      std::span<const float> values = group_values(matrix, place, buffer, convert);
      if (place.count < Granularity::group) {
        if (values.data() != buffer.data()) buffer.assign(values.begin(), values.end());
        buffer.resize(Granularity::group, 0.0f);
        values = buffer;
      }
      visit(place, values);
    }
  }
}

/// The granularity G as an argument, beside `column_group`.
template <granularity_policy G>
struct grouped_by {};

template <granularity_policy G, real_element T, class Visit, class Convert = plain_conversion>
void for_each_group(grouped_by<G>, const matrix_view<T>& matrix, row_range rows, Visit&& visit,
                    const Convert& convert = {}) {
  for_each_group<G>(matrix, rows, visit, convert);
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
