// SPDX-License-Identifier: Apache-2.0
/// Where every code and scale of a packed matrix lies: one layout for every instruction set.
///
/// A tile is 16 rows, a slot 4 columns. Of a code of row r (0..15) in its tile, column c, the digit
/// in a plane (codec.hpp) with `fields` digits a byte is at
///
///     slot = c / 4    chunk = slot / fields    field = slot % fields
///     byte = 64 * chunk + 4 * r + c % 4
///
/// A 64-byte chunk is then 16 rows x 4 columns x fields: a 512-bit register holds it, a 256-bit one
/// 8 of its rows, a 128-bit one 4, and a dot product with 4 broadcast activations never sums across
/// lanes.
///
///     matrix = tile 0 | tile 1 | ...
///     tile   = group 0 | group 1 | ..., zero-padded to 64 bytes
///            | table 0 | table 1 | ... (of a codec with tables)
///            | plane 0 | plane 1 (where there is one)
///     group  = scales[16 rows] | zeros[16 rows] (where the format has them)
///     group  = codes[16 rows] | ss, sz, zs, zz         (of a format with two levels: 24 bytes)
///     table  = codes[16 rows][4]                       (one a group: 64 bytes)
///     plane  = chunk 0 | chunk 1 | ...
///
/// A digit d of row r in group g stands for the code in byte 4 * r + d of table g; packers write
/// the codes that occur there, ascending, and the largest again in the places that are left.
///
/// Where codes are stored in threes, their chunks (triples.hpp), zero-padded to 64 bytes, take the
/// place of the planes.
///
/// Columns past the last are the level zero (of `binary`, which has none, the level -1; of table2
/// the first of the table; where groups have zeros, the code 0, which may stand for any value:
/// products read no padding, since activations past the last column are zeros); rows past the last
/// are that with a scale and a zero of 0, and a table of zero levels. Nothing depends on the
/// address, but whole cache lines are read where it is a multiple of 64.
///
/// Two levels: a row's byte is code_s + 8 * code_z, each of 3 bits, and its scale and zero are,
/// with the four float16 numbers that the 16 rows of the tile share,
///
///     scale = ss * (code_s - sz)          zero = zs * (code_z - zz)
///
/// each operation rounded to float. Of any byte, code_s is the byte modulo 8, and code_z the byte
/// as a signed one, shifted right by 3.
///
/// In base 3 (five fields) a chunk can hold slots of two groups, because no group is a multiple of
/// 20 columns. That keeps one formula and 1.6 bits for any shape; a kernel multiplies the slots of
/// the other group by zero activations.
#pragma once

#include <cstddef>
#include <limits>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/matrix/triples.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Rows of a tile: one 512-bit register is 16 rows x 4 columns.
inline constexpr std::size_t tile_rows = 16;
/// Columns of a slot.
inline constexpr std::size_t slot_cols = 4;
/// Bytes of a chunk: one byte, of one or several digits, for each row and column of a slot.
inline constexpr std::size_t chunk_bytes = tile_rows * slot_cols;
static_assert(table_size == slot_cols, "a table is as large as a chunk");

namespace detail::matrix {
/// Of a format with two levels: bytes of a group, 16 codes and four numbers.
inline constexpr std::size_t two_level_bytes = tile_rows + 4 * sizeof(float16);
/// Values of a code of a scale or a zero.
inline constexpr int two_level_codes = 8;
}  // namespace detail::matrix

/// Geometry of a packed `rows x cols` matrix. Sizes are bytes where they say so, else counts.
class tile_layout {
 public:
  tile_layout() = default;
  /// Fails where rows or cols is zero, the group is not a multiple of 4 or over 65,536 columns, the
  /// codec has no form with a zero of the group where the format has one, or the size overflows.
  tile_layout(format fmt, std::size_t rows, std::size_t cols)
      : fmt_(fmt), rows_(rows), cols_(cols), group_bytes_(bytes_of_group(fmt)) {
    if (rows == 0 || cols == 0)
      detail::core::fail("packed matrix: expected at least one row and column, got " +
                         detail::core::shape_text(rows, cols));
    if (fmt.group % format::group_multiple != 0) {
      detail::core::fail("packed matrix: expected a group of a multiple of 4 columns, got " +
                         std::to_string(fmt.group));
    }
    if (group_cols() > format::largest_group) {
      detail::core::fail("packed matrix: expected at most 65536 columns a group, got " +
                         std::to_string(group_cols()));
    }
    if (fmt.zero != zero_kind::none && !codec_of(fmt.code).has_zero_form()) {
      detail::core::fail("packed matrix: " + std::string{codec_of(fmt.code).name} +
                         " has no form with a zero of the group");
    }
    if (fmt.two_level && (fmt.zero == zero_kind::none || fmt.scale != scale_kind::float16)) {
      detail::core::fail(
          "packed matrix: two-level statistics are of float16 and of formats with zeros, got " +
          fmt.name());
    }
    // No product below exceeds this one: a tile's bytes for each of its 16 rows are at most 3 a
    // column and a few chunks of padding.
    constexpr std::size_t padding = 4 * chunk_bytes, factor = 256;
    if (cols > std::numeric_limits<std::size_t>::max() - padding ||
        !detail::core::checked_product(rows, cols + padding, factor)) {
      detail::core::fail("packed matrix: " + detail::core::shape_text(rows, cols) +
                         " is too large");
    }
  }

  /// The format, and its codec's row in codec_list.
  [[nodiscard]] const format& fmt() const noexcept { return fmt_; }
  [[nodiscard]] const codec_info& codec() const noexcept { return codec_of(fmt_.code); }
  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }

  /// Counts over the whole matrix, a row, a group: the last tile, group and slot may be partly
  /// filled.
  [[nodiscard]] std::size_t tiles() const noexcept { return (rows_ + tile_rows - 1) / tile_rows; }
  [[nodiscard]] std::size_t group_cols() const noexcept {
    return fmt_.group == 0 ? cols_ : fmt_.group;
  }
  [[nodiscard]] std::size_t groups() const noexcept {
    return (cols_ + group_cols() - 1) / group_cols();
  }
  [[nodiscard]] std::size_t slots() const noexcept { return (cols_ + slot_cols - 1) / slot_cols; }
  [[nodiscard]] std::size_t group_slots() const noexcept {
    return (group_cols() + slot_cols - 1) / slot_cols;
  }
  /// Chunks of plane p in a tile.
  [[nodiscard]] std::size_t chunks(std::size_t p) const noexcept {
    return (slots() + codec().plane(p).fields() - 1) / codec().plane(p).fields();
  }
  /// Columns of a row, up to a whole number of chunks of every plane.
  [[nodiscard]] std::size_t padded_cols() const noexcept {
    const std::size_t step = slot_cols * codec().chunk_slots();
    return (cols_ + step - 1) / step * step;
  }

  /// Of codes in threes: pairs of units of a group, of a row, and the bytes of their chunks in a
  /// tile. A last, shorter group has as many as it needs.
  [[nodiscard]] std::size_t group_pairs() const noexcept {
    return detail::matrix::triples::pairs_of(slot_cols * group_slots());
  }
  [[nodiscard]] std::size_t pairs() const noexcept {
    const std::size_t before = groups() - 1;
    return before * group_pairs() +
           detail::matrix::triples::pairs_of(slot_cols * (slots() - before * group_slots()));
  }
  [[nodiscard]] std::size_t triple_bytes() const noexcept {
    namespace triples = detail::matrix::triples;
    const std::size_t chunks = (pairs() + triples::chunk_pairs - 1) / triples::chunk_pairs;
    return (chunks * triples::chunk_bytes + 63) / 64 * 64;
  }
  /// Byte offset of a row's first unit.
  [[nodiscard]] std::size_t triple_offset(std::size_t row) const noexcept {
    return row / tile_rows * tile_bytes() + scale_bytes() + row % tile_rows;
  }

  /// What is taken off a stored code before it is multiplied by the scale: nothing where the group
  /// has a zero of its own. Also the code of padding.
  [[nodiscard]] int zero_code() const noexcept {
    return fmt_.zero == zero_kind::none ? codec().zero_code : 0;
  }
  [[nodiscard]] bool has_zeros() const noexcept { return fmt_.zero != zero_kind::none; }
  [[nodiscard]] bool two_level() const noexcept { return fmt_.two_level; }
  /// Numbers of a row beside its codes: a scale a group, or a scale and a zero.
  [[nodiscard]] std::size_t numbers() const noexcept { return groups() * (has_zeros() ? 2 : 1); }
  /// Bytes of the scales and zeros of a group, for the 16 rows of a tile.
  [[nodiscard]] std::size_t group_bytes() const noexcept { return group_bytes_; }
  /// Bytes of all scales and zeros of a tile, padding included.
  [[nodiscard]] std::size_t scale_bytes() const noexcept {
    return (groups() * group_bytes() + 63) / 64 * 64;
  }
  /// Bytes of all tables of a tile, of a codec that has them.
  [[nodiscard]] std::size_t table_bytes() const noexcept {
    return codec().of_table() ? groups() * chunk_bytes : 0;
  }
  /// Byte offset of plane p from the beginning of its tile; past the last plane the tile's size.
  [[nodiscard]] std::size_t plane_offset(std::size_t p) const noexcept {
    std::size_t offset = scale_bytes() + table_bytes();
    for (std::size_t i = 0; i < p; ++i) offset += chunks(i) * chunk_bytes;
    return offset;
  }
  [[nodiscard]] std::size_t tile_bytes() const noexcept {
    return plane_offset(codec().plane_count) + (codec().of_triples() ? triple_bytes() : 0);
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return tiles() * tile_bytes(); }
  /// Stored bits for each weight, scales and padding included.
  [[nodiscard]] double bits_per_weight() const noexcept {
    return 8.0 * static_cast<double>(bytes()) /
           (static_cast<double>(rows_) * static_cast<double>(cols_));
  }

  /// Byte offset of the scales and zeros of a group, in the tile of a row.
  [[nodiscard]] std::size_t group_offset(std::size_t row, std::size_t group) const noexcept {
    return row / tile_rows * tile_bytes() + group * group_bytes();
  }
  /// Byte offset of the scale of a row's group. Not of a format with two levels.
  [[nodiscard]] std::size_t scale_offset(std::size_t row, std::size_t group) const noexcept {
    return group_offset(row, group) + row % tile_rows * scale_size(fmt_.scale);
  }
  /// Byte offset of the zero of a row's group, of a format that has zeros, but not two levels.
  [[nodiscard]] std::size_t zero_offset(std::size_t row, std::size_t group) const noexcept {
    return scale_offset(row, group) + tile_rows * scale_size(fmt_.scale);
  }
  /// Byte offset of the table of a row's group, table_size bytes, of a codec that has tables.
  [[nodiscard]] std::size_t table_offset(std::size_t row, std::size_t group) const noexcept {
    return row / tile_rows * tile_bytes() + scale_bytes() + chunk_bytes * group +
           table_size * (row % tile_rows);
  }
  /// Byte offset of the first of a row's digits in plane p; slot s is the 4 bytes at
  /// `+ chunk_bytes * (s / fields)`.
  [[nodiscard]] std::size_t row_offset(std::size_t row, std::size_t p) const noexcept {
    return row / tile_rows * tile_bytes() + plane_offset(p) + slot_cols * (row % tile_rows);
  }

 private:
  [[nodiscard]] static constexpr std::size_t bytes_of_group(const format& fmt) noexcept {
    return fmt.two_level
               ? detail::matrix::two_level_bytes
               : tile_rows * scale_size(fmt.scale) * (fmt.zero == zero_kind::none ? 1 : 2);
  }

  format fmt_;
  std::size_t rows_ = 0, cols_ = 0, group_bytes_ = bytes_of_group(format{});
};

/// Bytes that a packed `rows x cols` matrix takes.
[[nodiscard]] inline std::size_t packed_bytes(format fmt, std::size_t rows, std::size_t cols) {
  return tile_layout(fmt, rows, cols).bytes();
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
