// SPDX-License-Identifier: Apache-2.0
/// Out of the tile layout: levels as signed bytes, codes as they are stored, or the real numbers
/// they stand for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
inline void require_same_shape(const char* what, std::size_t rows, std::size_t cols,
                               std::size_t out_rows, std::size_t out_cols) {
  if (rows == out_rows && cols == out_cols) return;
  core::fail(std::string{what} + ": a matrix of " + core::shape_text(rows, cols) +
             " does not fit an output of " + core::shape_text(out_rows, out_cols));
}

/// put(i, level) for each of `count` codes; 16 at a time, so that compilers make vectors of the
/// loop.
template <class Put>
inline void put_levels(const std::uint8_t* codes, std::size_t count, int zero_code,
                       const Put& put) noexcept {
  constexpr std::size_t step = 16;
  const std::size_t whole = count - count % step;
  for (std::size_t i = 0; i < whole; i += step) {
    std::uint8_t block[step];  // `put` may write what `codes` could point to
    std::memcpy(block, codes + i, step);
    for (std::size_t j = 0; j < step; ++j) put(i + j, block[j] - zero_code);
  }
  for (std::size_t i = whole; i < count; ++i) put(i, codes[i] - zero_code);
}
}  // namespace detail::matrix

/// Levels (code minus zero code) of every element, row-major. Fails unless the shapes are equal,
/// and where groups have zeros of their own: their codes have no levels.
inline void unpack(const packed_view& matrix, matrix_view<std::int8_t> levels) {
  if (matrix.layout().has_zeros()) {
    detail::core::fail("unpack: " + matrix.layout().fmt().name() +
                       " has codes and no levels, expected an output of unsigned bytes");
  }
  detail::matrix::require_same_shape("unpack", matrix.rows(), matrix.cols(), levels.rows,
                                     levels.cols);
  detail::matrix::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    codes.read(matrix.bytes().data(), r);
    detail::matrix::put_levels(codes.at(0), matrix.cols(), matrix.layout().zero_code(),
                               [out = levels.row(r).data()](std::size_t c, int level) {
                                 out[c] = static_cast<std::int8_t>(level);
                               });
  }
}

/// Stored codes of every element, row-major. Fails unless the shapes are equal.
inline void unpack(const packed_view& matrix, matrix_view<std::uint8_t> codes) {
  detail::matrix::require_same_shape("unpack", matrix.rows(), matrix.cols(), codes.rows,
                                     codes.cols);
  detail::matrix::row_codes row(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    row.read(matrix.bytes().data(), r);
    std::memcpy(codes.row(r).data(), row.at(0), matrix.cols());
  }
}

/// The scale of every group, `rows x groups`. Fails unless the shapes are equal.
inline void unpack_scales(const packed_view& matrix, matrix_view<float> scales) {
  detail::matrix::require_same_shape("unpack_scales", matrix.rows(), matrix.layout().groups(),
                                     scales.rows, scales.cols);
  for (std::size_t r = 0; r < scales.rows; ++r) {
    for (std::size_t g = 0; g < scales.cols; ++g) scales.row(r)[g] = scale_at(matrix, r, g);
  }
}
/// The zero of every group, as `zero_at` gives it, `rows x groups`. Fails unless the shapes are
/// equal.
inline void unpack_zeros(const packed_view& matrix, matrix_view<float> zeros) {
  detail::matrix::require_same_shape("unpack_zeros", matrix.rows(), matrix.layout().groups(),
                                     zeros.rows, zeros.cols);
  for (std::size_t r = 0; r < zeros.rows; ++r) {
    for (std::size_t g = 0; g < zeros.cols; ++g) zeros.row(r)[g] = zero_at(matrix, r, g);
  }
}

namespace detail::matrix {
/// The values of one row; `codes` is scratch of the same layout.
inline void dequantize_row(const packed_view& matrix, std::size_t row, row_codes& codes,
                           float* values) noexcept {
  codes.read(matrix.bytes().data(), row);
  const std::size_t group_cols = matrix.layout().group_cols();
  for (std::size_t g = 0; g < matrix.layout().groups(); ++g) {
    const float scale = scale_at(matrix, row, g);
    const std::size_t begin = g * group_cols, count = std::min(group_cols, matrix.cols() - begin);
    if (!matrix.layout().has_zeros()) {
      put_levels(
          codes.at(begin), count, matrix.layout().zero_code(),
          [=](std::size_t i, int level) { values[begin + i] = static_cast<float>(level) * scale; });
      continue;
    }
    const float zero = zero_at(matrix, row, g);
    policy::with_zero_kind(matrix.layout().fmt().zero, [&](auto kind) {
      for (std::size_t i = begin; i < begin + count; ++i)
        values[i] = policy::value_of<kind.kind>(static_cast<float>(*codes.at(i)), scale, zero);
    });
  }
}
}  // namespace detail::matrix

/// What every element stands for: level * scale, one float product each; where groups have zeros
/// scale * (code - z), or scale * code + m, each operation rounded. Fails unless the shapes are
/// equal.
inline void dequantize(const packed_view& matrix, matrix_view<float> values) {
  detail::matrix::require_same_shape("dequantize", matrix.rows(), matrix.cols(), values.rows,
                                     values.cols);
  detail::matrix::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r)
    detail::matrix::dequantize_row(matrix, r, codes, values.row(r).data());
}

/// The same for a matrix of two precisions.
inline void dequantize(const mixed_matrix& matrix, matrix_view<float> values) {
  detail::matrix::require_same_shape("dequantize", matrix.rows(), matrix.cols(), values.rows,
                                     values.cols);
  for (const mixed_matrix::segment& part : matrix.segments()) {
    const packed_view view = matrix.view(part);
    detail::matrix::row_codes codes(part.layout);
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      detail::matrix::dequantize_row(view, i, codes,
                                     values.row(part.rows[i]).data() + part.col_begin);
    }
  }
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
