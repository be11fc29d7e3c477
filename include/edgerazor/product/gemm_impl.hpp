// SPDX-License-Identifier: Apache-2.0
/// What gemm.hpp declares, and the checked product of each kind of matrix that fused products
/// share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <variant>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/look_up_product.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>
#include <edgerazor/product/product_grains.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

[[nodiscard]] inline row_range rows_of(const product_options& options, std::size_t rows) noexcept {
  return options.rows.value_or(row_range{0, rows});
}

inline std::size_t cols_of(const activation_view& x) noexcept { return x.cols; }
inline std::size_t cols_of(const matrix_view<const float>& x) noexcept { return x.cols; }
inline std::size_t cols_of(const prepared_input& x) noexcept { return x.cols(); }
inline std::size_t count_of(const prepared_input& x) noexcept { return x.tokens(); }
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

/// A matrix and an input of two kinds that can't be multiplied fail.
inline void require_operands(const matrix_part& w, const one_input& x) {
  const auto* const int8 = std::get_if<activation_view>(&x);
  if (!int8) return;
  if (w.code_group() != 0) return require_same_groups(w.code_group(), *int8);
  const std::string what =
      w.dense() ? "matrix of " + std::string{name_of(w.dense()->element)} : "sparse matrix";
  core::fail("product: a " + what + " takes float activations, not int8");
}

/// The inputs of a sum, by their numbers in it: what a prepared input calls them. Another input is
/// number 0 alone.
struct input_numbers {
  std::size_t of[matrix_format::most + 1] = {};

  input_numbers(const matrix_sum& w, const product_input& x) noexcept {
    const prepared_input* const prepared = x.prepared();
    std::size_t i = 0;
    for (const matrix_sum::stage& stage : w.stages()) {
      const std::size_t from = of[stage.from];
      of[++i] = prepared && from != no_input ? prepared->number_of(stage, from) : no_input;
    }
  }
};

/// use(matrix, input) of each part in order; the input is nothing where x does not have it.
template <class Use>
void for_each_part(const weight_ref& w, const product_input& x, const Use& use) {
  if (!w.sum()) return use(w.part(), x.input(0, w.part().code_group()));
  const input_numbers numbers(*w.sum(), x);
  for (const matrix_sum::part& p : w.sum()->parts())
    use(p.matrix, x.input(numbers.of[p.input], p.matrix.code_group()));
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
inline void require_apart(const prepared_input& x, const matrix_view<float>& y, const char* what) {
  require_apart(x.x(), y, what);
}

inline void require_fit(std::size_t rows, std::size_t cols, std::size_t tokens, std::size_t x_cols,
                        const matrix_view<float>& y, row_range range) {
  if (cols != x_cols || y.rows != tokens || y.cols != rows) {
    core::fail("product: a matrix of " + core::shape_text(rows, cols) + " times activations of " +
               core::shape_text(tokens, x_cols) + " does not fit an output of " +
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

/// y += w x.
template <class X>
void add(const packed_view& w, const X& x, const matrix_view<float>& y, row_range range,
         const kernel::functions& k) noexcept {
  multiply_rows(k, w, range, {}, x, y.rows, y);
}

template <class X>
void add(const mixed_matrix& w, const X& x, const matrix_view<float>& y, row_range range,
         const kernel::functions& k) noexcept {
  for (const mixed_matrix::segment& part : w.segments()) {
    const auto begin = std::lower_bound(part.rows.begin(), part.rows.end(), range.begin);
    const auto end = std::lower_bound(begin, part.rows.end(), range.end);
    const row_range rows{static_cast<std::size_t>(begin - part.rows.begin()),
                         static_cast<std::size_t>(end - part.rows.begin())};
    multiply_rows(k, w.view(part), rows, {part.rows.data()},
                  part_of_cols(x, part.col_begin, part.layout.cols()), y.rows, y);
  }
}

/// Rows of a tile that lie in a range.
[[nodiscard]] inline row_range rows_of_tile(std::size_t tile, row_range range) noexcept {
  return {std::max(tile * tile_rows, range.begin), std::min((tile + 1) * tile_rows, range.end)};
}

/// Tokens one by one.
inline void add_tokens(const sparse_view& w, const matrix_view<const float>& x,
                       const matrix_view<float>& y, row_range range,
                       const kernel::functions& k) noexcept {
  for (std::size_t tile = range.begin / tile_rows; tile * tile_rows < range.end; ++tile) {
    const std::span<const sparse_step> steps = w.steps(tile);
    const row_range rows = rows_of_tile(tile, range);
    for (std::size_t t = 0; t < x.rows && !steps.empty(); ++t) {
      float sums[tile_rows] = {};
      float *const from = y.row(t).data() + rows.begin, *const at = sums + rows.begin % tile_rows;
      std::copy_n(from, rows.size(), at);
      k.sparse_sums(steps.data(), steps.size(), x.row(t).data(), sums);
      std::copy_n(at, rows.size(), from);
    }
  }
}

/// 16 tokens at a time: a block of them stays in the second-level cache while all tiles pass over
/// it.
inline void add_columns(const sparse_view& w, const float_tokens& x, const matrix_view<float>& y,
                        row_range range, const kernel::functions& k) noexcept {
  constexpr std::size_t most = kernel::sparse_tokens;
  for (std::size_t begin = x.first; begin < x.first + x.rows.rows;) {
    const std::size_t block = begin / most * most,
                      end = std::min(block + most, x.first + x.rows.rows);
    for (std::size_t tile = range.begin / tile_rows; tile * tile_rows < range.end; ++tile) {
      const std::span<const sparse_step> steps = w.steps(tile);
      if (steps.empty()) continue;
      const row_range rows = rows_of_tile(tile, range);
      const std::size_t count = rows.size();
      float sums[tile_rows * most] = {};
      float* const first = sums + most * (rows.begin % tile_rows);
      for (std::size_t t = begin; t < end; ++t) {
        const float* const row = y.row(t - x.first).data() + rows.begin;
        for (std::size_t r = 0; r < count; ++r) first[most * r + t - block] = row[r];
      }
      k.sparse_panel(steps.data(), steps.size(), x.columns + block * w.cols(), sums);
      for (std::size_t t = begin; t < end; ++t) {
        float* const row = y.row(t - x.first).data() + rows.begin;
        for (std::size_t r = 0; r < count; ++r) row[r] = first[most * r + t - block];
      }
    }
    begin = end;
  }
}

inline void add(const sparse_view& w, const float_tokens& x, const matrix_view<float>& y,
                row_range range, const kernel::functions& k) noexcept {
  if (x.columns) return add_columns(w, x, y, range, k);
  add_tokens(w, x.rows, y, range, k);
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

/// y = w x.
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

/// A row's dot product is made apart, in its own order, and then added.
inline void add(const dense_view& w, const matrix_view<const float>& x, const matrix_view<float>& y,
                row_range range, const kernel::functions& k) noexcept {
  constexpr std::size_t tokens = 16;
  float products[dense_rows * tokens];
  const std::size_t row_bytes = w.cols * scale_size(w.element);
  for (std::size_t t = 0; t < x.rows; t += tokens) {
    const auto some = x.rows_between(t, std::min(t + tokens, x.rows));
    for (std::size_t r = range.begin; r < range.end; r += dense_rows) {
      const std::size_t rows = std::min(dense_rows, range.end - r);
      const dense_view block{static_cast<const std::byte*>(w.data) + r * row_bytes, w.element, rows,
                             w.cols};
      multiply(block, some, {products, some.rows, rows}, {0, rows}, k);
      for (std::size_t i = 0; i < some.rows; ++i) {
        float* const to = y.row(t + i).data() + r;
        for (std::size_t j = 0; j < rows; ++j) to[j] = to[j] + products[i * rows + j];
      }
    }
  }
}

/// One matrix with its own form of an input: what require_operands has let pass is multiplied, the
/// rest is never asked for.
template <class Multiply>
void with_operands(const matrix_part& w, const one_input& x, const Multiply& multiply) {
  w.visit([&](const auto& matrix) {
    using kind = std::remove_cvref_t<decltype(matrix)>;
    if (const auto* const floats = std::get_if<float_tokens>(&x)) {
      if constexpr (std::is_same_v<kind, sparse_view>) {
        multiply(matrix, *floats);
      } else {
        multiply(matrix, floats->rows);
      }
    } else if constexpr (std::is_same_v<kind, packed_view> || std::is_same_v<kind, mixed_matrix>) {
      multiply(matrix, *std::get_if<activation_view>(&x));
    }
  });
}

/// y += w x, parts in order, of operands that require_product has let pass.
inline void add(const weight_ref& w, const product_input& input, const matrix_view<float>& y,
                row_range range, const kernel::functions& k) noexcept {
  for_each_part(w, input, [&](const matrix_part& part, const std::optional<one_input>& own) {
    with_operands(part, *own, [&](const auto& m, const auto& x) { add(m, x, y, range, k); });
  });
}
/// y = w x of such.
inline void multiply(const weight_ref& w, const product_input& input, const matrix_view<float>& y,
                     row_range range, const kernel::functions& k) noexcept {
  // Of real numbers alone the sum is the dot product itself.
  if (w.is_dense()) {
    const std::optional<one_input> x = input.input(0, 0);
    return multiply(*w.part().dense(), std::get_if<float_tokens>(&*x)->rows, y, range, k);
  }
  clear_rows(y, range);
  add(w, input, y, range, k);
}

/// Fails where a product of these would be wrong; what passes is multiplied without a check.
inline void require_product(const weight_ref& w, const product_input& input,
                            const matrix_view<float>& y, row_range range) {
  input.visit([&](const auto& x) {
    require_fit(w.rows(), w.cols(), count_of(x), cols_of(x), y, range);
    require_apart(x, y, "product");
  });
  for_each_part(w, input, [&](const matrix_part& part, const std::optional<one_input>& own) {
    if (!own && input.prepared()) {
      core::fail("product: the input was not prepared for " +
                 (part.code_group() == 0
                      ? std::string{"one of the matrices"}
                      : "weights in groups of " + std::to_string(part.code_group()) + " columns"));
    }
    if (!own ||
        (w.sum() && part.code_group() == 0 && std::holds_alternative<activation_view>(*own)))
      core::fail(
          "product: a sum of matrices that take different inputs needs one that was "
          "prepared for it");
    require_operands(part, *own);
  });
}

}  // namespace detail::product

EDGERAZOR_FUNCTION void gemm(const weight_ref& w, const product_input& x, matrix_view<float> y,
                             const product_options& options) {
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const row_range range = detail::product::rows_of(options, w.rows());
  detail::product::require_product(w, x, y, range);
  if (!options.executor) return detail::product::multiply(w, x, y, range, k);
  const detail::product::product_grains grains(k, w, y.rows);
  options.executor(grains.count(), [&](std::size_t grain) noexcept {
    grains.visit(grain, range, [&](row_range rows, std::size_t begin, std::size_t end) {
      detail::product::multiply(w, detail::product::tokens_of(x, begin, end),
                                y.rows_between(begin, end), rows, k);
    });
  });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
