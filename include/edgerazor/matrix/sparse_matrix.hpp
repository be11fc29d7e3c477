// SPDX-License-Identifier: Apache-2.0
/// A sparse matrix of fp16 values: what few weights of a matrix are more than its codes say. It
/// adds to a product, so it holds differences: of a weight kept in 16 bits, the weight less the
/// value that the codes give.
///
/// Rows are in tiles of 16, as in tile_layout.hpp. Step k of a tile is the k-th entry of each of
/// its rows, by column:
///
///     bytes = u32 begin[tiles + 1] | zeros to a multiple of 64 | step 0 | step 1 | ...
///     step  = u16 column[16 rows] | fp16 value[16 rows]                              64 bytes
///
/// Tile t has the steps [begin[t], begin[t + 1]), as many as its longest row has entries. What a
/// shorter row lacks is filled with column 0 and value +0. An entry of value 0 adds nothing,
/// whatever the input holds: no other is stored with it, and a product leaves it out, so that a
/// padded entry changes neither the sign of a zero nor meets a NaN in column 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/storage.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/tile_layout.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One weight of a sparse matrix.
struct sparse_entry {
  std::size_t row = 0, col = 0;
  float value = 0;
};

/// One entry of each row of a tile.
struct sparse_step {
  std::uint16_t columns[tile_rows];
  float16 values[tile_rows];
};
static_assert(sizeof(sparse_step) == 64 && alignof(sparse_step) == 2);

/// A sparse matrix in memory someone else owns, a mapped file for instance. See above.
class sparse_view {
 public:
  /// A column is a number of 16 bits.
  static constexpr std::size_t max_cols = 65536;

  sparse_view() = default;
  /// Fails as try_from_bytes() does, with its sentence.
  [[nodiscard]] static sparse_view from_bytes(std::size_t rows, std::size_t cols,
                                              std::span<const std::byte> bytes) {
    std::string error;
    const std::optional<sparse_view> result = try_from_bytes(rows, cols, bytes, error);
    if (!result) detail::core::fail(error);
    return *result;
  }
  /// Nothing, and a sentence, where the bytes are no sparse matrix of this shape: another size,
  /// tiles out of order, a column that the matrix has not, an odd address. All are read once.
  /// Whether the values are numbers and the columns in order is for find_fault() to say.
  [[nodiscard]] static EDGERAZOR_FUNCTION std::optional<sparse_view> try_from_bytes(
      std::size_t rows, std::size_t cols, std::span<const std::byte> bytes, std::string& error);

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] std::size_t tiles() const noexcept { return (rows_ + tile_rows - 1) / tile_rows; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// The steps of one tile.
  [[nodiscard]] std::span<const sparse_step> steps(std::size_t tile) const noexcept {
    return {reinterpret_cast<const sparse_step*>(data_ + header_bytes(tiles())) + begin(tile),
            begin(tile + 1) - begin(tile)};
  }
  /// Entries of the matrix, padding not counted.
  [[nodiscard]] std::size_t entries() const noexcept {
    std::size_t count = 0;
    for (std::size_t t = 0; t < tiles(); ++t) {
      for (const sparse_step& step : steps(t)) {
        for (const float16 value : step.values) count += (value.bits & 0x7fff) != 0 ? 1 : 0;
      }
    }
    return count;
  }

  /// Bytes in front of the steps.
  [[nodiscard]] static constexpr std::size_t header_bytes(std::size_t tiles) noexcept {
    return ((tiles + 1) * sizeof(std::uint32_t) + 63) / 64 * 64;
  }

 private:
  friend class sparse_matrix;
  sparse_view(std::size_t rows, std::size_t cols, std::span<const std::byte> bytes) noexcept
      : data_(bytes.data()), size_(bytes.size()), rows_(rows), cols_(cols) {}

  [[nodiscard]] std::size_t begin(std::size_t tile) const noexcept {
    std::uint32_t step;
    std::memcpy(&step, data_ + tile * sizeof step, sizeof step);
    return step;
  }

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0, rows_ = 0, cols_ = 0;
};

/// An owned sparse matrix. Moved from, it has no rows.
class sparse_matrix {
 public:
  sparse_matrix() = default;
  /// Of entries in any order. Values are rounded to fp16; those that become 0 are left out. Fails
  /// where there are no rows or columns or more than 65,536 columns, and, naming the place, where
  /// an entry is outside, stands twice, is NaN or infinite, or beyond fp16. `memory`: where the
  /// bytes come from, see byte_storage.
  sparse_matrix(std::size_t rows, std::size_t cols, std::span<const sparse_entry> entries,
                std::pmr::memory_resource* memory = nullptr) {
    build(rows, cols, entries, memory);
  }
  /// The values of a dense matrix that a mask marks: rows * cols entries, row-major, not zero for
  /// those that are kept. Fails as above, or where the mask has another size.
  [[nodiscard]] static EDGERAZOR_FUNCTION sparse_matrix
  marked(matrix_view<const float> values, std::span<const std::uint8_t> mask,
         std::pmr::memory_resource* memory = nullptr);
  /// The values of a dense matrix whose magnitude is above a threshold, which is at least 0. Fails
  /// as above; a NaN is refused wherever it stands.
  [[nodiscard]] static EDGERAZOR_FUNCTION sparse_matrix
  above(matrix_view<const float> values, float threshold,
        std::pmr::memory_resource* memory = nullptr);

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] sparse_view view() const noexcept {
    return {rows_, cols_, {storage_.data(), storage_.size()}};
  }
  operator sparse_view() const noexcept { return view(); }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return view().bytes(); }

 private:
  EDGERAZOR_FUNCTION void build(std::size_t rows, std::size_t cols,
                                std::span<const sparse_entry> entries,
                                std::pmr::memory_resource* memory);

  detail::core::moved_along<std::size_t> rows_, cols_;
  byte_storage storage_;
};

/// What is wrong with a sparse matrix, in a sentence that names the first place; nothing where all
/// values are finite, the columns of a row ascend, and what pads it is column 0 and value +0.
[[nodiscard]] EDGERAZOR_FUNCTION std::optional<std::string> find_fault(const sparse_view& matrix);

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/sparse_matrix_impl.hpp>
#endif
