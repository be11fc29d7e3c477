/// Out of the tile layout: levels as signed bytes, or the real numbers they stand for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/pack/mixed_matrix.hpp>
#include <edgerazor/pack/packed_matrix.hpp>
#include <edgerazor/pack/row_codes.hpp>

namespace edgerazor::inline v0 {

namespace detail {
inline void require_same_shape(const char* what, std::size_t rows, std::size_t cols, std::size_t out_rows,
                               std::size_t out_cols) {
  if (rows == out_rows && cols == out_cols) return;
  fail(std::string{what} + ": a matrix of " + shape_text(rows, cols) + " does not fit an output of " +
       shape_text(out_rows, out_cols));
}
}  // namespace detail

/// Levels (code minus zero code) of every element, row-major. Fails unless the shapes are equal.
inline void unpack(const packed_view& matrix, matrix_view<std::int8_t> levels) {
  detail::require_same_shape("unpack", matrix.rows(), matrix.cols(), levels.rows, levels.cols);
  detail::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    codes.read(matrix.bytes().data(), r);
    for (std::size_t c = 0; c < matrix.cols(); ++c) {
      levels.row(r)[c] = static_cast<std::int8_t>(codes.level(c));
    }
  }
}

namespace detail {
/// level * scale of one row; `codes` is scratch of the same layout.
inline void dequantize_row(const packed_view& matrix, std::size_t row, row_codes& codes, float* values) noexcept {
  codes.read(matrix.bytes().data(), row);
  for (std::size_t g = 0, c = 0; g < matrix.layout().groups(); ++g) {
    const float scale = scale_at(matrix, row, g);
    for (; c < std::min((g + 1) * matrix.layout().group_cols(), matrix.cols()); ++c) {
      values[c] = static_cast<float>(codes.level(c)) * scale;
    }
  }
}
}  // namespace detail

/// level * scale of every element, one float product each. Fails unless the shapes are equal.
inline void dequantize(const packed_view& matrix, matrix_view<float> values) {
  detail::require_same_shape("dequantize", matrix.rows(), matrix.cols(), values.rows, values.cols);
  detail::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r) detail::dequantize_row(matrix, r, codes, values.row(r).data());
}

/// The same for a matrix of two precisions.
inline void dequantize(const mixed_matrix& matrix, matrix_view<float> values) {
  detail::require_same_shape("dequantize", matrix.rows(), matrix.cols(), values.rows, values.cols);
  for (const mixed_matrix::segment& part : matrix.segments()) {
    const packed_view view = matrix.view(part);
    detail::row_codes codes(part.layout);
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      detail::dequantize_row(view, i, codes, values.row(part.rows[i]).data() + part.col_begin);
    }
  }
}

}  // namespace edgerazor::inline v0
