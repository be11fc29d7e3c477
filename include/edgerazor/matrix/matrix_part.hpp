// SPDX-License-Identifier: Apache-2.0
/// One matrix of any kind, by reference: packed, mixed, sparse, or of real numbers. What a product
/// and the parts of a sum (matrix_sum.hpp) come down to.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <variant>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Row-major real numbers of a type known at run time.
struct dense_view {
  const void* data = nullptr;
  scale_kind element = scale_kind::float32;
  std::size_t rows = 0, cols = 0;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(data), rows * cols * scale_size(element)};
  }
};

/// See above. The matrix, or the memory of a view, must live as long.
class matrix_part {
 public:
  matrix_part() = default;
  matrix_part(const packed_view& matrix) noexcept : matrix_(matrix) {}
  matrix_part(const mixed_matrix& matrix) noexcept : matrix_(&matrix) {}
  matrix_part(const sparse_view& matrix) noexcept : matrix_(matrix) {}
  matrix_part(const dense_view& matrix) noexcept : matrix_(matrix) {}

  /// use(matrix), of a packed_view, mixed_matrix, sparse_view or dense_view.
  template <class Use>
  decltype(auto) visit(Use&& use) const {
    if (const auto* packed = std::get_if<packed_view>(&matrix_)) return use(*packed);
    if (const auto* mixed = std::get_if<const mixed_matrix*>(&matrix_)) return use(**mixed);
    if (const auto* sparse = std::get_if<sparse_view>(&matrix_)) return use(*sparse);
    return use(*std::get_if<dense_view>(&matrix_));
  }
  [[nodiscard]] const packed_view* packed() const noexcept {
    return std::get_if<packed_view>(&matrix_);
  }
  [[nodiscard]] const mixed_matrix* mixed() const noexcept {
    const auto* mixed = std::get_if<const mixed_matrix*>(&matrix_);
    return mixed ? *mixed : nullptr;
  }
  [[nodiscard]] const sparse_view* sparse() const noexcept {
    return std::get_if<sparse_view>(&matrix_);
  }
  [[nodiscard]] const dense_view* dense() const noexcept {
    return std::get_if<dense_view>(&matrix_);
  }

  [[nodiscard]] std::size_t rows() const noexcept {
    return visit([](const auto& m) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, dense_view>) {
        return m.rows;
      } else {
        return m.rows();
      }
    });
  }
  [[nodiscard]] std::size_t cols() const noexcept {
    return visit([](const auto& m) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(m)>, dense_view>) {
        return m.cols;
      } else {
        return m.cols();
      }
    });
  }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return visit([](const auto& m) { return m.bytes(); });
  }
  /// Columns that share a scale, and so the int8 activations that are multiplied with them; 0 of a
  /// sparse matrix or one of real numbers, which take floats.
  [[nodiscard]] std::size_t code_group() const noexcept {
    if (const packed_view* m = packed()) return m->layout().group_cols();
    if (const mixed_matrix* m = mixed()) return m->group_cols();
    return 0;
  }
  /// Whether it looks products up in tables of the activations: has codes in threes.
  [[nodiscard]] activation_tables tables() const noexcept {
    bool any = false;
    if (const packed_view* m = packed()) any = m->layout().codec().of_triples();
    if (const mixed_matrix* m = mixed()) {
      for (const mixed_matrix::segment& part : m->segments())
        any = any || part.layout.codec().of_triples();
    }
    return any ? activation_tables::of_triples : activation_tables::none;
  }

 private:
  std::variant<packed_view, const mixed_matrix*, sparse_view, dense_view> matrix_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
