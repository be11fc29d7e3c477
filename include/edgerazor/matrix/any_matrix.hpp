// SPDX-License-Identifier: Apache-2.0
/// A weight matrix whose format is known at run time: real numbers, packed, mixed, or a sum of such
/// and of sparse ones; owned or in a mapped file.
///
/// A sum is one block of bytes: what its name (matrix_format.hpp) lists, stages before parts, each
/// at a multiple of 64, and in front where each lies.
///
///     bytes    = u64 offset, u64 bytes of each stage, then of each part | stage 0 ... | part 0 ...
///     scaled   = float[cols]
///     permuted = u32[cols], each column once
///     rotated  = none
///     low_rank = V's own bytes; cols of what is inside it are V's rows
///     part     = its own bytes, see formats.md
///
/// with zeros in between.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/matrix/matrix_format.hpp>
#include <edgerazor/matrix/matrix_part.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/policy/precision_map.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// See above. Made by `empty` and filled by `pack_rows`, by `pack` in one step, by `joined` of what
/// was composed, or by `from_bytes`. Moved from, it is one of no rows.
class any_matrix {
 public:
  any_matrix() = default;

  /// An owned matrix of zeros. `memory`: where the bytes come from, see byte_storage. Fails where
  /// rows or cols is zero, a mixed format does not say which rows are which, or it is a sum, whose
  /// parts are made first.
  [[nodiscard]] static any_matrix empty(const matrix_format& fmt, std::size_t rows,
                                        std::size_t cols,
                                        std::pmr::memory_resource* memory = nullptr) {
    any_matrix result(fmt, rows, cols);
    if (fmt.type == matrix_format::kind::sum)
      detail::core::fail("any_matrix: " + fmt.name() + " is joined of its parts, not filled");
    if (fmt.type == matrix_format::kind::dense) {
      result.storage_ = byte_storage(
          detail::core::size_product("any_matrix", rows, cols, scale_size(fmt.element)), memory);
      *result.bytes_ = {result.storage_.data(), result.storage_.size()};
    } else if (fmt.type == matrix_format::kind::packed) {
      result.take(packed_storage(tile_layout(fmt.first, rows, cols), memory));
    } else {
      if (fmt.map.n == 0)
        detail::core::fail("any_matrix: " + fmt.name() +
                           " does not say which rows have which format");
      const std::size_t groups = tile_layout(fmt.first, rows, cols).groups();
      detail::core::buffer<std::uint8_t> mask(
          detail::core::size_product("any_matrix", rows, groups));
      rows_modulo{fmt.map.n, fmt.map.below}(matrix_view<const float>{nullptr, rows, cols},
                                            fmt.first.group, mask);
      *result.content_ = mixed_matrix(fmt.first, fmt.second, rows, cols, mask, memory);
      *result.bytes_ = std::get<mixed_matrix>(*result.content_).bytes();
    }
    return result;
  }

  /// The owner of a packed matrix that is there already.
  [[nodiscard]] static any_matrix owner_of(packed_storage storage) {
    const tile_layout layout = storage.layout();
    any_matrix result(matrix_format{layout.fmt()}, layout.rows(), layout.cols());
    result.take(std::move(storage));
    return result;
  }

  /// Quantizes (or, for a dense format, rounds) a whole matrix by the format's default rule. Fails
  /// as `pack_rows` does.
  template <real_element T>
  [[nodiscard]] static any_matrix pack(const matrix_format& fmt, matrix_view<T> weights,
                                       std::pmr::memory_resource* memory = nullptr) {
    any_matrix result = empty(fmt, weights.rows, weights.cols, memory);
    result.pack_rows(0, matrix_view<const std::remove_const_t<T>>{weights});
    return result;
  }

  /// What was composed, copied into one block. Of one packed, mixed or dense matrix, that matrix.
  /// Fails where it has no parts.
  [[nodiscard]] static EDGERAZOR_FUNCTION any_matrix
  joined(const matrix_sum& sum, std::pmr::memory_resource* memory = nullptr);

  /// A matrix in memory someone else owns, which must outlive it. Fails unless the bytes have the
  /// size, and where they say more the content, of this format and shape, and are aligned for a
  /// dense format's element, or a sum's numbers.
  [[nodiscard]] static any_matrix from_bytes(const matrix_format& fmt, std::size_t rows,
                                             std::size_t cols, std::span<const std::byte> bytes) {
    std::string error;
    std::optional<any_matrix> result = try_from_bytes(fmt, rows, cols, bytes, error);
    if (!result) detail::core::fail(error);
    return std::move(*result);
  }
  /// As from_bytes(), but gives the sentence through `error` and returns nothing: for bytes from a
  /// file. Only a shape that no tile_layout has still fails.
  [[nodiscard]] static std::optional<any_matrix> try_from_bytes(const matrix_format& fmt,
                                                                std::size_t rows, std::size_t cols,
                                                                std::span<const std::byte> bytes,
                                                                std::string& error) {
    any_matrix result(fmt, rows, cols);
    result.bytes_ = bytes;
    if (fmt.type == matrix_format::kind::dense) {
      const std::size_t size = scale_size(fmt.element);
      if (bytes.size() % size != 0 || bytes.size() / size / cols != rows ||
          bytes.size() / size % cols != 0 ||
          reinterpret_cast<std::uintptr_t>(bytes.data()) % size != 0) {
        error = "any_matrix: " + std::to_string(bytes.size()) + " bytes are no aligned " +
                fmt.name() + " matrix of " + detail::core::shape_text(rows, cols);
        return std::nullopt;
      }
    } else if (fmt.type == matrix_format::kind::packed) {
      const tile_layout layout(fmt.first, rows, cols);
      if (bytes.size() != layout.bytes()) {
        error = "packed matrix " + fmt.name() + " of " + detail::core::shape_text(rows, cols) +
                ": expected " + std::to_string(layout.bytes()) + " bytes, got " +
                std::to_string(bytes.size());
        return std::nullopt;
      }
      *result.content_ = packed_view(layout, bytes);
    } else if (fmt.type == matrix_format::kind::sum) {
      if (!result.read_sum(error)) return std::nullopt;
    } else {
      std::optional<mixed_matrix> mixed =
          mixed_matrix::try_from_bytes(fmt.first, fmt.second, rows, cols, bytes, error);
      if (!mixed) return std::nullopt;
      const rows_modulo map{fmt.map.n, fmt.map.below};
      for (const mixed_matrix::segment& part : mixed->segments()) {
        const auto other = [&](std::uint32_t row) { return map.row_is_high(row) != part.high; };
        if (fmt.map.n == 0 || std::none_of(part.rows.begin(), part.rows.end(), other)) continue;
        error = "mixed matrix " + fmt.name() + " of " + detail::core::shape_text(rows, cols) +
                ": its rows are not those of its name";
        return std::nullopt;
      }
      *result.content_ = std::move(*mixed);
    }
    return result;
  }

  /// Quantizes some rows of an owned matrix by the format's default rule: row 0 of `weights`
  /// becomes row `first_row`. Threads may fill different rows at once. Fails, before anything is
  /// written, on NaN or infinity, naming row and column, on numbers that a 16-bit type can't hold,
  /// where the rows do not fit, and where it is a sum.
  void pack_rows(std::size_t first_row, matrix_view<const float> weights);
  void pack_rows(std::size_t first_row, matrix_view<const float16> weights);
  void pack_rows(std::size_t first_row, matrix_view<const bfloat16> weights);

  [[nodiscard]] const matrix_format& fmt() const noexcept { return *fmt_; }
  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  /// Columns that share a scale; the whole row for a dense matrix or a sum.
  [[nodiscard]] std::size_t group_cols() const noexcept {
    return is_dense() || sum() || fmt_->first.group == 0 ? *cols_ : fmt_->first.group;
  }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] double bits_per_weight() const noexcept {
    return 8.0 * static_cast<double>(bytes_->size()) /
           (static_cast<double>(rows()) * static_cast<double>(cols()));
  }

  /// What it is: null for the kinds that it is not.
  [[nodiscard]] const packed_view* packed() const noexcept {
    return std::get_if<packed_view>(&*content_);
  }
  [[nodiscard]] const mixed_matrix* mixed() const noexcept {
    return std::get_if<mixed_matrix>(&*content_);
  }
  [[nodiscard]] const matrix_sum* sum() const noexcept {
    const auto* const joined = std::get_if<std::vector<parts>>(&*content_);
    return joined ? &joined->front().sum : nullptr;
  }
  [[nodiscard]] bool is_dense() const noexcept { return fmt_->type == matrix_format::kind::dense; }
  [[nodiscard]] dense_view dense() const noexcept {
    return {bytes_->data(), fmt_->element, rows_, cols_};
  }
  /// As a part of a composition, which refers to it.
  operator matrix_sum() const {
    if (sum()) return *sum();
    return {part(), fmt_->map};
  }
  /// As one matrix. Precondition: it is no sum.
  [[nodiscard]] matrix_part part() const noexcept {
    if (packed()) return *packed();
    if (mixed()) return *mixed();
    return dense();
  }

 private:
  /// A sum, and what it refers to: one of a vector, whose elements stay where they are.
  struct parts {
    std::vector<mixed_matrix> mixed;
    matrix_sum sum;
  };
  using content = std::variant<std::monostate, packed_view, mixed_matrix, std::vector<parts>>;

  /// Fills `content_` from the bytes of a sum; false, and a sentence, where they are none.
  EDGERAZOR_FUNCTION bool read_sum(std::string& error);

  any_matrix(const matrix_format& fmt, std::size_t rows, std::size_t cols)
      : fmt_(fmt), rows_(rows), cols_(cols) {
    // Any format's layout checks the shape: neither rows nor cols is zero, and the size does not
    // overflow.
    (void)tile_layout(format{code_type::int8, format::group_multiple, scale_kind::float32}, rows,
                      cols);
  }

  void take(packed_storage storage) {
    *content_ = storage.view();
    *bytes_ = storage.view().bytes();
    storage_ = std::move(storage).release();
  }

  template <real_element T>
  void pack_real_rows(std::size_t first_row, const matrix_view<const T>& source);
  /// Writes rows of a dense matrix of `To`.
  template <real_element To, real_element T>
  void put_rows(std::size_t first_row, const matrix_view<const T>& source) noexcept;

  detail::core::moved_along<matrix_format> fmt_;
  detail::core::moved_along<std::size_t> rows_, cols_;
  byte_storage storage_;  ///< of an owned dense or packed matrix
  detail::core::moved_along<std::span<const std::byte>> bytes_;
  detail::core::moved_along<content> content_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/any_matrix_impl.hpp>
#endif
