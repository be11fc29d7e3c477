// SPDX-License-Identifier: Apache-2.0
/// What products multiply: any weight matrix, and activations in int8, as they are, or prepared.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <variant>

#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/matrix_part.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/product/prepared_input.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A matrix of weights that can be multiplied.
template <class W>
concept weight_matrix =
    std::is_convertible_v<const W&, packed_view> || std::is_convertible_v<const W&, sparse_view> ||
    std::is_base_of_v<matrix_sum, W> || std::is_same_v<W, mixed_matrix> ||
    std::is_same_v<W, any_matrix>;

/// Any weight matrix by reference: a packed_view, packed_matrix, mixed_matrix, sparse_matrix,
/// any_matrix, or what is composed of them (matrix_sum.hpp), which must live as long.
class weight_ref {
 public:
  template <class W>
    requires(!std::is_same_v<W, weight_ref>)
  weight_ref(const W& w) {
    static_assert(weight_matrix<W>,
                  "a product takes a packed_view, packed_matrix, mixed_matrix or any_matrix of "
                  "weights, a sparse_matrix or a sum of such; real numbers are multiplied as an "
                  "any_matrix (f32, f16, bf16)");
    if constexpr (std::is_convertible_v<const W&, packed_view>) {
      part_ = packed_view(w);
    } else if constexpr (std::is_convertible_v<const W&, sparse_view>) {
      part_ = sparse_view(w);
    } else if constexpr (std::is_base_of_v<matrix_sum, W>) {
      sum_ = &w;
    } else if constexpr (std::is_same_v<W, mixed_matrix>) {
      part_ = w;
    } else if constexpr (weight_matrix<W>) {
      sum_ = w.sum();
      if (!sum_) part_ = w.part();
    }
  }

  explicit weight_ref(const matrix_part& one) noexcept : part_(one) {}

  /// use(matrix), of a packed_view, mixed_matrix, sparse_view, dense_view or matrix_sum.
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    if (sum_) return use(*sum_);
    return part_.visit(use);
  }
  [[nodiscard]] std::size_t rows() const noexcept { return sum_ ? sum_->rows() : part_.rows(); }
  [[nodiscard]] std::size_t cols() const noexcept { return sum_ ? sum_->cols() : part_.cols(); }
  /// Columns that share a scale; all of them for a dense matrix, a sparse one or a sum.
  [[nodiscard]] std::size_t group_cols() const noexcept {
    const std::size_t group = sum_ ? 0 : part_.code_group();
    return group == 0 ? cols() : group;
  }
  /// What activations should bring with them (activations.hpp).
  [[nodiscard]] activation_tables tables() const noexcept {
    if (!sum_) return part_.tables();
    for (const matrix_sum::part& p : sum_->parts()) {
      if (p.matrix.tables() != activation_tables::none) return p.matrix.tables();
    }
    return activation_tables::none;
  }
  /// Bytes of all weights.
  [[nodiscard]] std::size_t bytes() const noexcept {
    return sum_ ? sum_->bytes() : part_.bytes().size();
  }
  [[nodiscard]] bool is_dense() const noexcept { return !sum_ && part_.dense(); }
  /// Its parts, of a sum; null for one matrix.
  [[nodiscard]] const matrix_sum* sum() const noexcept { return sum_; }
  /// The matrix, where it is one.
  [[nodiscard]] const matrix_part& part() const noexcept { return part_; }
  /// Rows at whose multiples the product can be cut without computing anything twice. Of a mixed
  /// matrix whose mask has no period the result is a guess: a tile that is cut is computed twice.
  [[nodiscard]] std::size_t row_unit() const noexcept;

 private:
  matrix_part part_;
  const matrix_sum* sum_ = nullptr;
};

/// Activations that stay real numbers (W-A16, W-A32): one row a token. 16-bit activations are
/// converted by the host.
struct unquantized {
  matrix_view<const float> tokens;
  unquantized(matrix_view<const float> x) : tokens(x) {}
};

/// What weights are multiplied with: int8 activations (W-A8), whose groups are the weights', float
/// ones, or what was prepared for them.
class product_input {
 public:
  product_input(const activation_view& x) noexcept : x_(x) {}
  product_input(const unquantized& x) noexcept : x_(x.tokens) {}
  product_input(const prepared_input& x) noexcept : x_(x) {}

  /// use(x), of an activation_view, a matrix_view<const float> or a prepared_input.
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    if (const auto* quantized = std::get_if<activation_view>(&x_)) return use(*quantized);
    if (const auto* floats = std::get_if<matrix_view<const float>>(&x_)) return use(*floats);
    return use(*std::get_if<prepared_input>(&x_));
  }
  /// Null where it is none.
  [[nodiscard]] const prepared_input* prepared() const noexcept {
    return std::get_if<prepared_input>(&x_);
  }
  /// What a matrix of that group of codes (0: of floats) is multiplied with, of the input of that
  /// number: see prepared_input. Activations are number 0 alone, and of one kind.
  [[nodiscard]] std::optional<detail::product::one_input> input(std::size_t number,
                                                                std::size_t group) const noexcept {
    if (const prepared_input* p = prepared()) return p->input(number, group);
    if (number != 0) return std::nullopt;
    if (const auto* quantized = std::get_if<activation_view>(&x_)) return *quantized;
    return detail::product::float_tokens{*std::get_if<matrix_view<const float>>(&x_)};
  }

 private:
  std::variant<activation_view, matrix_view<const float>, prepared_input> x_;
};

namespace detail::product {

/// Rows of a dense matrix that share the tokens passing over them: about what the second-level
/// cache holds.
inline constexpr std::size_t dense_rows = 32;

inline std::size_t row_unit(const packed_view&) noexcept { return tile_rows; }
/// A part's second tile begins at row rows[16] of the matrix; every nth row in the higher precision
/// makes that 16 n, where the other part's tiles end too.
inline std::size_t row_unit(const mixed_matrix& w) noexcept {
  std::size_t unit = tile_rows;
  for (const mixed_matrix::segment& part : w.segments()) {
    if (part.rows.size() > tile_rows)
      unit = std::max<std::size_t>(unit, part.rows[tile_rows] - part.rows[0]);
  }
  return (unit + tile_rows - 1) / tile_rows * tile_rows;
}
inline std::size_t row_unit(const sparse_view&) noexcept { return tile_rows; }
inline std::size_t row_unit(const dense_view&) noexcept { return dense_rows; }
inline std::size_t row_unit(const matrix_sum& w) noexcept {
  std::size_t unit = tile_rows;
  for (const matrix_sum::part& p : w.parts())
    unit = std::max(unit, p.matrix.visit([](const auto& m) { return row_unit(m); }));
  return unit;
}

}  // namespace detail::product

inline std::size_t weight_ref::row_unit() const noexcept {
  return visit([](const auto& w) { return detail::product::row_unit(w); });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
