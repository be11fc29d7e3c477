// SPDX-License-Identifier: Apache-2.0
/// The packed layouts of EdgeRazor (Python)'s checkpoint plugin for vLLM: written from real numbers
/// or from our matrices, read into our matrices by copying codes.
///
/// Everything is row-major. A row of `cols` levels q and its bfloat16 scales, one for each
/// `scale_block` columns:
///
///     int4   cols / 2 bytes   byte i = (q[2i] + 8) << 4 | (q[2i + 1] + 8)          q in -8 .. 7
///     int2   cols / 4 bytes   byte i = sum over p < 4 of (q[4i + p] + 2) << 2p     q in -2 .. 1
///     mixed  an int4 matrix of some rows, an int2 matrix of the others, both in ascending order,
///            and `inverse_perm`: row r of the whole is row inverse_perm[r] of the two, int4 first
///
/// Ternary weights are int2 levels -1 .. 1. Where weights were quantized in larger blocks than
/// `scale_block`, each block's scale is stored several times. The plugin's defaults: blocks of 256;
/// a scale for 32 columns, for 256 in pure int2. At 1.88 bits rows r % 8 < 1 are int4, at 2.79 bits
/// rows r % 8 < 4.
///
/// Source: edgerazor.vllm.quant_ops, version 1.3.5. It computes in the weights' type; here bfloat16
/// weights are converted to float first, so their levels can differ from the plugin's where
/// bfloat16 arithmetic rounds across a boundary.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/codec.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/precision_map.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class checkpoint_code : std::uint8_t { int4, int2 };

/// The rows that the plugin keeps in int4 at 1.88 and at 2.79 bits.
inline constexpr rows_modulo checkpoint_rows_1_88{8, 1}, checkpoint_rows_2_79{8, 4};

namespace detail::io {
[[nodiscard]] constexpr std::size_t levels_per_byte(checkpoint_code code) noexcept {
  return code == checkpoint_code::int4 ? 2 : 4;
}
[[nodiscard]] constexpr int checkpoint_zero_code(checkpoint_code code) noexcept {
  return code == checkpoint_code::int4 ? 8 : 2;
}
/// Levels are -zero_code .. zero_code - 1.
[[nodiscard]] constexpr bool holds_levels(checkpoint_code code, const codec_info& codec) noexcept {
  const int zero_code = checkpoint_zero_code(code);
  return codec.min_level >= -zero_code && codec.max_level() < zero_code;
}
/// Lowest bit of the level of a column.
[[nodiscard]] constexpr unsigned checkpoint_shift(checkpoint_code code, std::size_t col) noexcept {
  return static_cast<unsigned>(code == checkpoint_code::int4 ? 4 * (1 - col % 2) : 2 * (col % 4));
}
}  // namespace detail::io

/// An int4 or int2 matrix in memory someone else owns: the tensors `qweight` and `qweight_scale`.
struct checkpoint_view {
  checkpoint_code code = checkpoint_code::int4;
  std::size_t rows = 0, cols = 0;
  std::size_t scale_block = 32;                ///< columns a stored scale
  std::span<const std::uint8_t> qweight = {};  ///< rows x cols / 2 (int4) or cols / 4 (int2)
  std::span<const bfloat16> scales = {};       ///< rows x cols / scale_block

  [[nodiscard]] int level(std::size_t row, std::size_t col) const noexcept {
    const std::size_t fields = detail::io::levels_per_byte(code);
    const unsigned byte = qweight[row * (cols / fields) + col / fields];
    const unsigned mask = code == checkpoint_code::int4 ? 15 : 3;
    return static_cast<int>(byte >> detail::io::checkpoint_shift(code, col) & mask) -
           detail::io::checkpoint_zero_code(code);
  }
  [[nodiscard]] float scale(std::size_t row, std::size_t block) const noexcept {
    return scales[row * (cols / scale_block) + block];
  }
};

/// An owned one.
struct checkpoint_matrix {
  checkpoint_code code = checkpoint_code::int4;
  std::size_t rows = 0, cols = 0;
  std::size_t scale_block = 32;
  std::vector<std::uint8_t> qweight;
  std::vector<bfloat16> scales;

  checkpoint_matrix() = default;
  /// Bytes and scales zero, to be written. Fails where the columns are not whole bytes and whole
  /// blocks.
  checkpoint_matrix(checkpoint_code levels, std::size_t row_count, std::size_t col_count,
                    std::size_t block)
      : code(levels), rows(row_count), cols(col_count), scale_block(block) {
    const std::size_t fields = detail::io::levels_per_byte(code);
    if (cols == 0 || cols % fields != 0 || block == 0 || cols % block != 0) {
      detail::core::fail("checkpoint layout: " + std::to_string(cols) +
                         " columns are no multiple of " + std::to_string(fields) +
                         " and of a scale's block of " + std::to_string(block));
    }
    qweight.resize(detail::core::size_product("checkpoint layout", rows, cols / fields));
    scales.resize(detail::core::size_product("checkpoint layout", rows, cols / block));
  }
  checkpoint_matrix(const checkpoint_matrix&) = default;
  checkpoint_matrix& operator=(const checkpoint_matrix&) = default;
  /// One that is moved from has no rows and no columns.
  checkpoint_matrix(checkpoint_matrix&& other) noexcept { *this = std::move(other); }
  checkpoint_matrix& operator=(checkpoint_matrix&& other) noexcept {
    if (this == &other) return *this;
    code = other.code, scale_block = other.scale_block;
    const std::size_t row_count = std::exchange(other.rows, 0),
                      col_count = std::exchange(other.cols, 0);
    rows = row_count, cols = col_count;
    qweight = std::move(other.qweight);
    scales = std::move(other.scales);
    return *this;
  }
  ~checkpoint_matrix() = default;

  operator checkpoint_view() const noexcept {
    return {code, rows, cols, scale_block, qweight, scales};
  }

  /// `level` is one that the code has; its bits are zero before.
  void put_level(std::size_t row, std::size_t col, int level) noexcept {
    const std::size_t fields = detail::io::levels_per_byte(code);
    const auto bits = static_cast<unsigned>(level + detail::io::checkpoint_zero_code(code));
    std::uint8_t& byte = qweight[row * (cols / fields) + col / fields];
    byte = static_cast<std::uint8_t>(byte | bits << detail::io::checkpoint_shift(code, col));
  }
  /// One scale for the columns [begin, end), which are whole blocks.
  void put_scale(std::size_t row, std::size_t begin, std::size_t end, float scale) noexcept {
    const auto first = scales.begin() + static_cast<std::ptrdiff_t>(row * (cols / scale_block));
    std::fill(first + static_cast<std::ptrdiff_t>(begin / scale_block),
              first + static_cast<std::ptrdiff_t>(end / scale_block), bfloat16{scale});
  }
};

/// A matrix of int4 and int2 rows: the tensors `qweight_int4`, `qweight_int2`, their scales, and
/// `inverse_perm`.
struct checkpoint_mixed_view {
  checkpoint_view int4, int2;
  std::span<const std::int64_t> inverse_perm;
};

struct checkpoint_mixed_matrix {
  checkpoint_matrix int4, int2;
  std::vector<std::int64_t> inverse_perm;

  operator checkpoint_mixed_view() const noexcept { return {int4, int2, inverse_perm}; }
};

namespace detail::io {

/// What a policy quantizes to before it is copied: scales stay float until they are rounded once,
/// to bfloat16.
template <row_quantizer Policy>
format checkpoint_quantize_format(std::size_t cols, std::size_t scale_block) {
  constexpr code_type code = default_codec<Policy>::type;
  static_assert(holds_levels(checkpoint_code::int4, codec_of(code)),
                "the checkpoint layout holds levels of at most 4 bits");
  const std::size_t group = group_columns<typename Policy::granularity>(cols),
                    block = std::max(group, scale_block);
  if (scale_block == 0 || block % scale_block != 0 || cols % block != 0) {
    core::fail("checkpoint layout: groups of " + std::to_string(group) + " and scales of " +
               std::to_string(scale_block) + " columns do not divide each other and " +
               std::to_string(cols) + " columns");
  }
  return {code, matrix::group_of_format(block == cols ? 0 : block), scale_kind::float32};
}

/// `codes` of whole bytes, level + offset each, as a checkpoint packs them.
template <checkpoint_code Code>
inline void put_bytes(const std::uint8_t* codes, std::size_t bytes, int offset,
                      std::uint8_t* out) noexcept {
  constexpr std::size_t fields = levels_per_byte(Code);
  for (std::size_t i = 0; i < bytes; ++i, codes += fields) {
    unsigned byte = 0;
    for (std::size_t p = 0; p < fields; ++p) {
      byte |= static_cast<unsigned>(codes[p] - offset + checkpoint_zero_code(Code))
              << checkpoint_shift(Code, p);
    }
    out[i] = static_cast<std::uint8_t>(byte);
  }
}

/// Copies a row of ours: levels as they are, scales rounded to bfloat16.
inline void copy_row_to_checkpoint(const packed_view& matrix, std::size_t from,
                                   matrix::row_codes& codes, checkpoint_matrix& out, std::size_t to,
                                   std::size_t named_row) {
  if (matrix.layout().has_zeros()) {
    core::fail("checkpoint layout: " + matrix.layout().fmt().name() +
               " has a zero for each group, which the layout has not");
  }
  codes.read(matrix.bytes().data(), from);
  const int low = -checkpoint_zero_code(out.code), high = out.code == checkpoint_code::int4 ? 7 : 1;
  for (std::size_t c = 0; c < matrix.cols(); ++c) {
    const int level = codes.level(c);
    if (level < low || level > high) {
      core::fail("checkpoint layout: the level " + std::to_string(level) + " at row " +
                 std::to_string(named_row) + ", column " + std::to_string(c) +
                 " is out of its range");
    }
  }
  const int zero_code = matrix.layout().zero_code();
  const std::size_t bytes = out.cols / levels_per_byte(out.code);
  std::uint8_t* const row = out.qweight.data() + to * bytes;
  if (out.code == checkpoint_code::int4) {
    put_bytes<checkpoint_code::int4>(codes.at(0), bytes, zero_code, row);
  } else {
    put_bytes<checkpoint_code::int2>(codes.at(0), bytes, zero_code, row);
  }
  const std::size_t group_cols = matrix.layout().group_cols();
  for (std::size_t g = 0; g < matrix.layout().groups(); ++g) {
    const float scale = scale_at(matrix, from, g);
    matrix::require_storable_scale(scale, scale_kind::bfloat16, named_row, g);
    out.put_scale(to, g * group_cols, std::min((g + 1) * group_cols, matrix.cols()), scale);
  }
}

/// int2 where it holds every level of the codec, else int4; levels that do not fit that either are
/// refused one by one.
[[nodiscard]] constexpr checkpoint_code checkpoint_code_for(code_type code) noexcept {
  return holds_levels(checkpoint_code::int2, codec_of(code)) ? checkpoint_code::int2
                                                             : checkpoint_code::int4;
}

inline void require_whole_blocks(std::size_t group_cols, std::size_t scale_block) {
  if (scale_block != 0 && group_cols % scale_block == 0) return;
  core::fail("checkpoint layout: groups of " + std::to_string(group_cols) +
             " columns are no multiple of a scale's block of " + std::to_string(scale_block));
}

inline void require_whole(const checkpoint_view& matrix) {
  const std::size_t fields = levels_per_byte(matrix.code), cols = matrix.cols,
                    block = matrix.scale_block;
  const bool whole = cols != 0 && cols % fields == 0 && block != 0 && cols % block == 0;
  if (whole && matrix.qweight.size() % (cols / fields) == 0 &&
      matrix.qweight.size() / (cols / fields) == matrix.rows &&
      matrix.scales.size() % (cols / block) == 0 &&
      matrix.scales.size() / (cols / block) == matrix.rows) {
    return;
  }
  core::fail("checkpoint layout: " + std::to_string(matrix.qweight.size()) + " bytes and " +
             std::to_string(matrix.scales.size()) + " scales are no matrix of " +
             core::shape_text(matrix.rows, cols) + " with a scale for " + std::to_string(block) +
             " columns");
}

/// The scale of the columns [begin, end) of a row for storage as `kind`. It must be one for all of
/// them, finite, and exact in that type; where all levels are zero its value is free.
inline float copied_scale(const checkpoint_view& matrix, std::size_t row, std::size_t begin,
                          std::size_t end, scale_kind kind, std::size_t named_row) {
  const auto refuse = [&](const char* why) {
    core::fail("checkpoint layout: the scale of row " + std::to_string(named_row) + ", columns " +
               std::to_string(begin) + " to " + std::to_string(end) + ' ' + why);
  };
  const float scale = matrix.scale(row, begin / matrix.scale_block);
  for (std::size_t block = begin / matrix.scale_block; block * matrix.scale_block < end; ++block) {
    if (!std::isfinite(matrix.scale(row, block))) refuse("is not finite");
    if (matrix.scale(row, block) != scale) refuse("is not one: choose a smaller group");
  }
  if (matrix::round_scale(scale, kind) == scale) return scale;
  for (std::size_t c = begin; c < end; ++c) {
    if (matrix.level(row, c) != 0)
      refuse("is not exact in the stored type; choose another scale type");
  }
  return 0;
}

/// Copies a row of a checkpoint's matrix into row `to` of a packed one.
inline void copy_row_from_checkpoint(const checkpoint_view& matrix, std::size_t from,
                                     const tile_layout& layout, matrix::row_codes& codes,
                                     std::byte* out, std::size_t to, std::size_t named_row) {
  const codec_info& codec = layout.codec();
  for (std::size_t c = 0; c < matrix.cols; ++c) {
    const int level = matrix.level(from, c);
    if (level < codec.min_level || level > codec.max_level()) {
      core::fail("checkpoint layout: the level " + std::to_string(level) + " at row " +
                 std::to_string(named_row) + ", column " + std::to_string(c) + " is none of " +
                 layout.fmt().name());
    }
    codes.set(c, level);
  }
  for (std::size_t g = 0; g < layout.groups(); ++g) {
    const std::size_t begin = g * layout.group_cols(),
                      end = std::min(begin + layout.group_cols(), matrix.cols);
    const float scale = copied_scale(matrix, from, begin, end, layout.fmt().scale, named_row);
    matrix::write_scale(out + layout.scale_offset(to, g), layout.fmt().scale, scale);
  }
  codes.write(out, to);
}

inline void copy_from_checkpoint(const checkpoint_view& matrix, const tile_layout& layout,
                                 std::byte* out) {
  require_whole(matrix);
  matrix::row_codes codes(layout);
  for (std::size_t r = 0; r < matrix.rows; ++r)
    copy_row_from_checkpoint(matrix, r, layout, codes, out, r, r);
}
}  // namespace detail::io

/// Our packed matrix in the checkpoint's layout: ternary codes to int2, others to int4. Levels are
/// copied; scales are rounded to bfloat16, which float16 and float ones may not survive exactly.
/// Fails where a level is out of the layout's range (int8 codes), the group is no multiple of
/// `scale_block`, a scale overflows bfloat16.
[[nodiscard]] inline checkpoint_matrix to_checkpoint_layout(const packed_view& matrix,
                                                            std::size_t scale_block) {
  detail::io::require_whole_blocks(matrix.layout().group_cols(), scale_block);
  checkpoint_matrix result(detail::io::checkpoint_code_for(matrix.layout().fmt().code),
                           matrix.rows(), matrix.cols(), scale_block);
  detail::matrix::row_codes codes(matrix.layout());
  for (std::size_t r = 0; r < matrix.rows(); ++r)
    detail::io::copy_row_to_checkpoint(matrix, r, codes, result, r, r);
  return result;
}

/// The same for a matrix of two precisions. Fails where a row is not wholly of one of them.
[[nodiscard]] inline checkpoint_mixed_matrix to_checkpoint_layout(const mixed_matrix& matrix,
                                                                  std::size_t scale_block) {
  detail::io::require_whole_blocks(matrix.group_cols(), scale_block);
  checkpoint_mixed_matrix result;
  std::size_t high_rows = 0;
  for (const mixed_matrix::segment& part : matrix.segments()) {
    if (part.layout.cols() != matrix.cols())
      detail::core::fail("checkpoint layout: a row of the mixed matrix has two precisions");
    if (part.high) high_rows = part.rows.size();
  }
  result.int4 = {checkpoint_code::int4, high_rows, matrix.cols(), scale_block};
  result.int2 = {checkpoint_code::int2, matrix.rows() - high_rows, matrix.cols(), scale_block};
  result.inverse_perm.resize(matrix.rows());
  for (const mixed_matrix::segment& part : matrix.segments()) {
    const packed_view view = matrix.view(part);
    detail::matrix::row_codes codes(part.layout);
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      detail::io::copy_row_to_checkpoint(view, i, codes, part.high ? result.int4 : result.int2, i,
                                         part.rows[i]);
      result.inverse_perm[part.rows[i]] = static_cast<std::int64_t>(part.high ? i : high_rows + i);
    }
  }
  return result;
}

/// Quantizes real numbers as the plugin does (quantize_weight_per_block_int4 and _int2): ternary
/// policies to the int2 layout, others of up to 4 bits to int4. The policy's group is the training
/// block, the scale's block where that is larger. Fails where the columns are not whole groups, the
/// two sizes do not divide each other, a weight is NaN or infinite.
template <row_quantizer Policy, real_element T>
[[nodiscard]] checkpoint_matrix quantize_to_checkpoint(matrix_view<T> weights,
                                                       std::size_t scale_block,
                                                       const Policy& policy = {}) {
  const format fmt = detail::io::checkpoint_quantize_format<Policy>(weights.cols, scale_block);
  packed_storage packed{tile_layout(fmt, weights.rows, weights.cols)};
  detail::matrix::pack_rows(policy, packed.layout(), packed.data(), 0,
                            matrix_view<const std::remove_const_t<T>>{weights});
  return to_checkpoint_layout(packed.view(), scale_block);
}

/// The mixed form (quantize_weight_mixed_precision): rows that the map marks in int4, the others in
/// int2. Fails likewise.
template <row_quantizer High, mixable_quantizers<High> Low, real_element T, row_precision_map Map>
[[nodiscard]] checkpoint_mixed_matrix quantize_to_checkpoint_mixed(matrix_view<T> weights,
                                                                   const Map& map,
                                                                   std::size_t scale_block,
                                                                   const High& high = {},
                                                                   const Low& low = {}) {
  const format high_format =
      detail::io::checkpoint_quantize_format<High>(weights.cols, scale_block);
  const format low_format = detail::io::checkpoint_quantize_format<Low>(weights.cols, scale_block);
  static_assert(default_codec<High>::type == code_type::int4 &&
                    default_codec<Low>::type == code_type::ternary2,
                "the checkpoint layout mixes rows of int4 with rows of int2");
  std::vector<std::uint8_t> mask(weights.rows *
                                 tile_layout(high_format, weights.rows, weights.cols).groups());
  map(matrix_view<const float>{nullptr, weights.rows, weights.cols}, high_format.group, mask);
  mixed_matrix packed(high_format, low_format, weights.rows, weights.cols, mask);
  packed.pack_rows(0, matrix_view<const std::remove_const_t<T>>{weights}, high, low);
  return to_checkpoint_layout(packed, scale_block);
}

/// A checkpoint's matrix in our layout, without quantizing again: levels and scales are copied, so
/// `dequantize` gives the plugin's level * scale bit for bit. The format's group may be smaller
/// than the stored block, or larger where the blocks in it hold one scale. Fails where the sizes do
/// not fit the shape, and, naming the place, where a level is none of the format's or a scale is
/// not finite, not one, or not exact in the format's scale type (bfloat16 and float always are;
/// float16 from 2^-17 to 65504).
[[nodiscard]] inline packed_storage from_checkpoint_layout(const checkpoint_view& matrix,
                                                           const format& fmt) {
  packed_storage result{tile_layout(fmt, matrix.rows, matrix.cols)};
  detail::io::copy_from_checkpoint(matrix, result.layout(), result.data());
  return result;
}

/// The same, typed.
template <quantizer Policy, class Codec = default_codec<Policy>>
[[nodiscard]] packed_matrix<Policy, Codec> from_checkpoint_layout(const checkpoint_view& matrix) {
  packed_matrix<Policy, Codec> result(matrix.rows, matrix.cols);
  detail::io::copy_from_checkpoint(matrix, result.view().layout(), result.storage().data());
  return result;
}

/// The same for the mixed form. Fails also where inverse_perm is no permutation of the rows.
[[nodiscard]] inline mixed_matrix from_checkpoint_layout(const checkpoint_mixed_view& matrix,
                                                         const format& high, const format& low) {
  detail::io::require_whole(matrix.int4);
  detail::io::require_whole(matrix.int2);
  const std::size_t rows = matrix.inverse_perm.size(), high_rows = matrix.int4.rows,
                    cols = matrix.int4.cols;
  if (matrix.int2.cols != cols || high_rows > rows || matrix.int2.rows != rows - high_rows) {
    detail::core::fail("checkpoint layout: int4 rows of " +
                       detail::core::shape_text(high_rows, cols) + ", int2 rows of " +
                       detail::core::shape_text(matrix.int2.rows, matrix.int2.cols) +
                       " and a permutation of " + std::to_string(rows) + " rows");
  }
  std::vector<bool> seen(rows);
  for (const std::int64_t source : matrix.inverse_perm) {
    const auto index = static_cast<std::size_t>(source);
    if (index >= rows || seen[index])
      detail::core::fail("checkpoint layout: inverse_perm is no permutation of its rows");
    seen[index] = true;
  }
  const std::size_t groups = tile_layout(high, rows, cols).groups();
  std::vector<std::uint8_t> mask(detail::core::size_product("checkpoint layout", rows, groups));
  for (std::size_t i = 0; i < mask.size(); ++i) {
    mask[i] = static_cast<std::size_t>(matrix.inverse_perm[i / groups]) < high_rows;
  }
  mixed_matrix result(high, low, rows, cols, mask);
  for (const mixed_matrix::segment& part : result.segments()) {
    detail::matrix::row_codes codes(part.layout);
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      const auto source = static_cast<std::size_t>(matrix.inverse_perm[part.rows[i]]);
      detail::io::copy_row_from_checkpoint(part.high ? matrix.int4 : matrix.int2,
                                           part.high ? source : source - high_rows, part.layout,
                                           codes, result.data(part), i, part.rows[i]);
    }
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
