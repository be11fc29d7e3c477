// SPDX-License-Identifier: Apache-2.0
/// What products multiply: any weight matrix, and activations in int8 or as they are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <variant>

#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A matrix of weights that can be multiplied.
template <class W>
concept weight_matrix = std::is_convertible_v<const W&, packed_view> ||
                        std::is_same_v<W, mixed_matrix> || std::is_same_v<W, any_matrix>;

/// Any weight matrix by reference: a packed_view, packed_matrix, mixed_matrix or any_matrix, which
/// must live as long.
class weight_ref {
 public:
  template <class W>
    requires(!std::is_same_v<W, weight_ref>)
  weight_ref(const W& w) {
    static_assert(weight_matrix<W>,
                  "a product takes a packed_view, packed_matrix, mixed_matrix or any_matrix of "
                  "weights; real numbers are multiplied as an any_matrix (f32, f16, bf16)");
    if constexpr (std::is_convertible_v<const W&, packed_view>) {
      matrix_ = packed_view(w);
    } else if constexpr (weight_matrix<W>) {
      matrix_ = &w;
    }
  }

  /// use(matrix), of a packed_view, mixed_matrix or any_matrix.
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    if (const auto* packed = std::get_if<packed_view>(&matrix_)) return use(*packed);
    if (const auto* mixed = std::get_if<const mixed_matrix*>(&matrix_)) return use(**mixed);
    return use(**std::get_if<const any_matrix*>(&matrix_));
  }
  [[nodiscard]] std::size_t rows() const noexcept {
    return visit([](const auto& w) { return w.rows(); });
  }
  [[nodiscard]] std::size_t cols() const noexcept {
    return visit([](const auto& w) { return w.cols(); });
  }
  /// Columns that share a scale; all of them for a dense matrix.
  [[nodiscard]] std::size_t group_cols() const noexcept {
    return visit([](const auto& w) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(w)>, packed_view>) {
        return w.layout().group_cols();
      } else {
        return w.group_cols();
      }
    });
  }
  /// Bytes of all weights.
  [[nodiscard]] std::size_t bytes() const noexcept {
    return visit([](const auto& w) { return w.bytes().size(); });
  }
  [[nodiscard]] bool is_dense() const noexcept {
    const auto* any = std::get_if<const any_matrix*>(&matrix_);
    return any && (*any)->is_dense();
  }
  /// Rows at whose multiples the product can be cut without computing anything twice. Of a mixed
  /// matrix whose mask has no period the result is a guess: a tile that is cut is computed twice.
  [[nodiscard]] std::size_t row_unit() const noexcept;

 private:
  std::variant<packed_view, const mixed_matrix*, const any_matrix*> matrix_;
};

/// Activations that stay real numbers (W-A16, W-A32): one row a token. 16-bit activations are
/// converted by the host.
struct unquantized {
  matrix_view<const float> tokens;
  unquantized(matrix_view<const float> x) : tokens(x) {}
};

/// What weights are multiplied with: int8 activations (W-A8), whose groups are the weights', or
/// float ones.
class product_input {
 public:
  product_input(const activation_view& x) noexcept : x_(x) {}
  product_input(const unquantized& x) noexcept : x_(x.tokens) {}

  /// use(x), of an activation_view or a matrix_view<const float>.
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    if (const auto* quantized = std::get_if<activation_view>(&x_)) return use(*quantized);
    return use(*std::get_if<matrix_view<const float>>(&x_));
  }

 private:
  std::variant<activation_view, matrix_view<const float>> x_;
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
inline std::size_t row_unit(const any_matrix& w) noexcept {
  if (w.is_dense()) return dense_rows;
  return w.mixed() ? row_unit(*w.mixed()) : tile_rows;
}

}  // namespace detail::product

inline std::size_t weight_ref::row_unit() const noexcept {
  return visit([](const auto& w) { return detail::product::row_unit(w); });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
