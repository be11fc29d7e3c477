// SPDX-License-Identifier: Apache-2.0
/// What gemm.hpp declares, and the checked product of each kind of matrix that fused products
/// share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/grains.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>
#include <edgerazor/product/tile_product.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

[[nodiscard]] inline row_range rows_of(const product_options& options, std::size_t rows) noexcept {
  return options.rows.value_or(row_range{0, rows});
}

inline std::size_t cols_of(const activation_view& x) noexcept { return x.cols; }
inline std::size_t cols_of(const matrix_view<const float>& x) noexcept { return x.cols; }
inline std::size_t count_of(const activation_view& x) noexcept { return x.tokens; }
inline std::size_t count_of(const matrix_view<const float>& x) noexcept { return x.rows; }
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

/// Weights and activations of two kinds that can't be multiplied fail.
template <class X>
void require_operands(const packed_view& w, const X& x) {
  require_same_groups(w.layout().group_cols(), x);
}
template <class X>
void require_operands(const mixed_matrix& w, const X& x) {
  require_same_groups(w.group_cols(), x);
}
inline void require_operands(const dense_view&, const matrix_view<const float>&) noexcept {}
template <class X>
void require_operands(const any_matrix& w, const X& x) {
  if (w.packed()) return require_operands(*w.packed(), x);
  if (w.mixed()) return require_operands(*w.mixed(), x);
  if constexpr (std::is_same_v<X, activation_view>) {
    core::fail("product: a matrix of " + w.fmt().name() + " takes float activations, not int8");
  }
}

/// Fails where the output lies where the input does: it is cleared before the input is read. Of
/// rows of one stride also the columns are compared, so that two halves of one buffer are no
/// overlap.
inline void require_apart(const matrix_view<const float>& x, const matrix_view<float>& y,
                          const char* what) {
  if (x.rows == 0 || y.rows == 0 || x.cols == 0 || y.cols == 0) return;
  const auto begin_of = [](const auto& m) { return reinterpret_cast<std::uintptr_t>(m.data); };
  const auto bytes_of = [](const auto& m) {
    return ((m.rows - 1) * m.stride + m.cols) * sizeof(float);
  };
  const std::uintptr_t a = begin_of(x), b = begin_of(y);
  bool apart = a + bytes_of(x) <= b || b + bytes_of(y) <= a;
  if (!apart && x.rows > 1 && y.rows > 1 && x.stride == y.stride) {
    // Where the later one's first column stands in a row of the earlier one.
    const std::size_t row = x.stride * sizeof(float), at = (a < b ? b - a : a - b) % row,
                      first = (a < b ? x.cols : y.cols) * sizeof(float),
                      second = (a < b ? y.cols : x.cols) * sizeof(float);
    apart = first <= at && at + second <= row;
  }
  if (!apart) core::fail(std::string{what} + ": the output overlaps the input");
}
inline void require_apart(const activation_view&, const matrix_view<float>&, const char*) noexcept {
}

template <class X>
void require_fit(std::size_t rows, std::size_t cols, const X& x, const matrix_view<float>& y,
                 row_range range) {
  if (cols != cols_of(x) || y.rows != count_of(x) || y.cols != rows) {
    core::fail("product: a matrix of " + core::shape_text(rows, cols) + " times activations of " +
               core::shape_text(count_of(x), cols_of(x)) + " does not fit an output of " +
               core::shape_text(y.rows, y.cols));
  }
  require_apart(x, y, "product");
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
              const kernel::functions& k) noexcept {
  clear_rows(y, range);
  multiply_rows(k, w, range, {}, x, y.rows, y);
}

template <class X>
void multiply(const mixed_matrix& w, const X& x, const matrix_view<float>& y, row_range range,
              const kernel::functions& k) noexcept {
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
              const kernel::functions& k) noexcept {
  if (w.packed()) return multiply(*w.packed(), x, y, range, k);
  if (w.mixed()) return multiply(*w.mixed(), x, y, range, k);
  // Dense rows take floats alone: require_operands has refused the other kind.
  if constexpr (!std::is_same_v<X, activation_view>) multiply(w.dense(), x, y, range, k);
}

/// Fails where a product of these would be wrong; what passes is multiplied without a check.
template <class W, class X>
void require_product(const W& w, const X& x, const matrix_view<float>& y, row_range range) {
  require_fit(w.rows(), w.cols(), x, y, range);
  require_operands(w, x);
}

/// The rows of a grain that lie in a range.
[[nodiscard]] inline row_range intersection(row_range a, row_range b) noexcept {
  const std::size_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

}  // namespace detail::product

EDGERAZOR_FUNCTION void gemm(const weight_ref& weights, const product_input& input,
                             matrix_view<float> y, const product_options& options) {
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const row_range range = detail::product::rows_of(options, weights.rows());
  weights.visit([&](const auto& w) {
    input.visit([&](const auto& x) {
      detail::product::require_product(w, x, y, range);
      if (!options.executor) return detail::product::multiply(w, x, y, range, k);
      const row_grains grains(weights, y.rows);
      options.executor(grains.count(), [&](std::size_t grain) noexcept {
        const row_range rows = detail::product::intersection(grains[grain], range);
        if (!rows.empty()) detail::product::multiply(w, x, y, rows, k);
      });
    });
  });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
