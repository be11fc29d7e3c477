/// Out of the tile layout: levels as signed bytes, or the real numbers they stand for.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/pack/packed_matrix.hpp>
#include <edgerazor/pack/row_codes.hpp>

namespace edgerazor::inline v0 {

namespace detail {
inline void require_same_shape(const char* what, const packed_view& from, std::size_t rows, std::size_t cols) {
  if (rows == from.rows() && cols == from.cols()) return;
  fail(std::string{what} + ": a matrix of " + shape_text(from.rows(), from.cols()) + " does not fit an output of " +
       shape_text(rows, cols));
}
}  // namespace detail

/// Levels (code minus zero code) of every element, row-major. Fails unless the shapes are equal.
inline void unpack(const packed_view& matrix, matrix_view<std::int8_t> levels) {
  detail::require_same_shape("unpack", matrix, levels.rows, levels.cols);
  detail::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    codes.read(matrix.bytes().data(), r);
    for (std::size_t c = 0; c < matrix.cols(); ++c) {
      levels.row(r)[c] = static_cast<std::int8_t>(codes.level(c));
    }
  }
}

/// level * scale of every element, one float product each. Fails unless the shapes are equal.
inline void dequantize(const packed_view& matrix, matrix_view<float> values) {
  detail::require_same_shape("dequantize", matrix, values.rows, values.cols);
  const std::size_t group_cols = matrix.layout().group_cols();
  detail::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    codes.read(matrix.bytes().data(), r);
    for (std::size_t c = 0; c < matrix.cols(); ++c) {
      values.row(r)[c] = static_cast<float>(codes.level(c)) * scale_at(matrix, r, c / group_cols);
    }
  }
}

}  // namespace edgerazor::inline v0
