// SPDX-License-Identifier: Apache-2.0
/// Products of a weight matrix with several tokens: y[t][r] = sum over c of w[r][c] * x[t][c].
///
/// A token's row of the result does not depend on the other tokens, on the range of rows, on the
/// kernel or on the number of threads: it has the same bits in every case, those of scalar.hpp.
///
/// `W` is a packed_view, packed_matrix, mixed_matrix or any_matrix. Shapes are checked once, at the
/// entry; a mismatch fails naming both. Nothing here allocates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/tile_product.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Activations that stay real numbers (W-A16, W-A32): one row a token. 16-bit activations are
/// converted by the host.
struct unquantized {
  matrix_view<const float> tokens;
  unquantized(matrix_view<const float> x) : tokens(x) {}
  unquantized(std::span<const float> x) : tokens(x.data(), 1, x.size()) {}
};

namespace detail::product {

/// Rows of a dense matrix that share the tokens passing over them: about what the second-level
/// cache holds.
inline constexpr std::size_t dense_rows = 32;

inline std::size_t cols_of(const activation_view& x) noexcept {
  return x.cols;
}
inline std::size_t cols_of(const matrix_view<const float>& x) noexcept {
  return x.cols;
}
inline std::size_t count_of(const activation_view& x) noexcept {
  return x.tokens;
}
inline std::size_t count_of(const matrix_view<const float>& x) noexcept {
  return x.rows;
}
inline activation_view part_of_cols(const activation_view& x, std::size_t begin,
                                    std::size_t count) noexcept {
  return x.cols_from(begin, count);
}
inline matrix_view<const float> part_of_cols(const matrix_view<const float>& x, std::size_t begin,
                                             std::size_t count) noexcept {
  return {x.data + begin, x.rows, count, x.stride};
}

/// The weights have one scale per group, and so must quantized activations.
inline void require_same_groups(std::size_t group_cols, const activation_view& x) {
  if (group_cols == x.group_cols) return;
  core::fail("product: weights in groups of " + std::to_string(group_cols) +
             " columns and activations in groups of " + std::to_string(x.group_cols));
}
inline void require_same_groups(std::size_t, const matrix_view<const float>&) noexcept {}

template <class X>
void require_fit(std::size_t rows, std::size_t cols, const X& x, const matrix_view<float>& y,
                 row_range range) {
  if (cols != cols_of(x) || y.rows != count_of(x) || y.cols != rows) {
    core::fail("product: a matrix of " + core::shape_text(rows, cols) + " times activations of " +
               core::shape_text(count_of(x), cols_of(x)) + " does not fit an output of " +
               core::shape_text(y.rows, y.cols));
  }
  if (range.begin > range.end || range.end > rows) {
    core::fail("product: rows " + std::to_string(range.begin) + " to " + std::to_string(range.end) +
               " of a matrix of " + core::shape_text(rows, cols));
  }
}

inline void clear_rows(const matrix_view<float>& y, row_range range) noexcept {
  for (std::size_t t = 0; t < y.rows; ++t)
    std::fill_n(y.row(t).data() + range.begin, range.size(), 0.0f);
}

template <class X>
void multiply(const packed_view& w, const X& x, const matrix_view<float>& y, row_range range,
              const kernel::functions& k) {
  require_same_groups(w.layout().group_cols(), x);
  clear_rows(y, range);
  multiply_rows(k, w, range, {}, x, y.rows, y);
}

template <class X>
void multiply(const mixed_matrix& w, const X& x, const matrix_view<float>& y, row_range range,
              const kernel::functions& k) {
  require_same_groups(w.group_cols(), x);
  clear_rows(y, range);
  for (const mixed_matrix::segment& part : w.segments()) {
    const auto begin = std::lower_bound(part.rows.begin(), part.rows.end(), range.begin);
    const auto end = std::lower_bound(begin, part.rows.end(), range.end);
    const row_range rows{static_cast<std::size_t>(begin - part.rows.begin()),
                         static_cast<std::size_t>(end - part.rows.begin())};
    multiply_rows(k, w.view(part), rows, {part.rows.data()},
                  part_of_cols(x, part.col_begin, part.layout.cols()), y.rows, y);
  }
}

template <class T>
void multiply_dense(kernel::dense_dot_function<T> dot, const dense_view& w,
                    const matrix_view<const float>& x, const matrix_view<float>& y,
                    row_range range) noexcept {
  const T* weights = static_cast<const T*>(w.data);
  for (std::size_t r = range.begin; r < range.end; r += dense_rows) {
    const std::size_t count = std::min(dense_rows, range.end - r);
    dot(weights + r * w.cols, w.cols, count, w.cols, x.data, x.stride, x.rows, y.data + r,
        y.stride);
  }
}

inline void multiply(const dense_view& w, const matrix_view<const float>& x,
                     const matrix_view<float>& y, row_range range,
                     const kernel::functions& k) noexcept {
  switch (w.element) {
    case scale_kind::float32:
      return multiply_dense(k.dense_float, w, x, y, range);
    case scale_kind::float16:
      return multiply_dense(k.dense_float16, w, x, y, range);
    case scale_kind::bfloat16:
      return multiply_dense(k.dense_bfloat16, w, x, y, range);
  }
}

template <class X>
void multiply(const any_matrix& w, const X& x, const matrix_view<float>& y, row_range range,
              const kernel::functions& k) {
  if (w.packed()) return multiply(*w.packed(), x, y, range, k);
  if (w.mixed()) return multiply(*w.mixed(), x, y, range, k);
  if constexpr (std::is_same_v<X, activation_view>) {
    core::fail("product: a matrix of " + w.fmt().name() + " takes float activations, not int8");
  } else {
    multiply(w.dense(), x, y, range, k);
  }
}

/// What the functions above take in place of a typed packed matrix.
template <class W>
decltype(auto) operand(const W& w) {
  if constexpr (std::is_convertible_v<const W&, packed_view>) {
    return packed_view(w);
  } else {
    return (w);
  }
}
}  // namespace detail::product

/// A matrix of weights that can be multiplied.
template <class W>
concept weight_matrix = std::is_convertible_v<const W&, packed_view> ||
                        std::is_same_v<W, mixed_matrix> || std::is_same_v<W, any_matrix>;

/// Rows [range) of w times int8 activations (W-A8): integer dot products, one float epilogue. `y`:
/// tokens x w.rows(), of which only the columns in the range are written. The activations' groups
/// are the weights'.
template <weight_matrix W>
void gemm(const W& w, const activation_view& x, matrix_view<float> y, row_range range,
          const kernel& k = best_kernel()) {
  detail::product::require_fit(w.rows(), w.cols(), x, y, range);
  detail::product::multiply(detail::product::operand(w), x, y, range, k);
}
template <weight_matrix W>
void gemm(const W& w, const activation_view& x, matrix_view<float> y,
          const kernel& k = best_kernel()) {
  gemm(w, x, y, row_range{0, w.rows()}, k);
}

/// The same for float activations: weights are dequantized on the fly, in registers.
template <weight_matrix W>
void gemm(const W& w, const unquantized& x, matrix_view<float> y, row_range range,
          const kernel& k = best_kernel()) {
  detail::product::require_fit(w.rows(), w.cols(), x.tokens, y, range);
  detail::product::multiply(detail::product::operand(w), x.tokens, y, range, k);
}
template <weight_matrix W>
void gemm(const W& w, const unquantized& x, matrix_view<float> y, const kernel& k = best_kernel()) {
  gemm(w, x, y, row_range{0, w.rows()}, k);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
