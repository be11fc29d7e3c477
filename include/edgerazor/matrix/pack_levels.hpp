// SPDX-License-Identifier: Apache-2.0
/// Packed matrices of levels, scales and zeros that somebody else chose: error feedback, a scale
/// search, another library's file.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/matrix/two_level.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
/// The levels of a format: low, low + step, ..., high; its codes, where groups have zeros.
[[nodiscard]] inline policy::level_range levels_of(const format& fmt) noexcept {
  const codec_info& codec = codec_of(fmt.code);
  if (fmt.zero != zero_kind::none) return {0, static_cast<int>(codec.largest_code()), 1};
  return {codec.min_level, codec.max_level(), codec.level_step};
}

inline void require_groups(const tile_layout& layout, const matrix_view<const float>& numbers,
                           const char* what) {
  if (numbers.rows == layout.rows() && numbers.cols == layout.groups()) return;
  core::fail("pack_levels: expected " + std::string{what} + " of " +
             core::shape_text(layout.rows(), layout.groups()) + " groups, got " +
             core::shape_text(numbers.rows, numbers.cols));
}

/// Fails where a scale or a zero becomes infinite by being stored, or is not finite as it is, or a
/// scale becomes zero that was not. A scale may have either sign.
inline void require_storable(const tile_layout& layout, const matrix_view<const float>& scales,
                             const matrix_view<const float>& zeros) {
  const scale_kind kind = layout.fmt().scale;
  const auto refuse = [](const char* what, float number, std::size_t row, std::size_t group) {
    core::fail("pack_levels: the " + std::string{what} + " of row " + std::to_string(row) +
               ", group " + std::to_string(group) + " is " + std::to_string(number) +
               ", expected a finite number in the range of the type that stores it");
  };
  for (std::size_t r = 0; r < layout.rows(); ++r) {
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const float scale = scales.row(r)[g], stored = round_scale(scale, kind);
      if (!policy::is_finite(stored) ||
          (!layout.two_level() && policy::magnitude_bits(stored) == 0 &&
           policy::magnitude_bits(scale) != 0))
        refuse("scale", scale, r, g);
      if (layout.has_zeros() && !policy::is_finite(round_scale(zeros.row(r)[g], kind)))
        refuse("zero", zeros.row(r)[g], r, g);
    }
  }
}
/// The scales and zeros of a format with two levels.
inline void write_two_levels(const tile_layout& layout, std::byte* matrix,
                             const matrix_view<const float>& scales,
                             const matrix_view<const float>& zeros) noexcept {
  for (std::size_t tile = 0; tile < layout.rows(); tile += tile_rows) {
    const std::size_t end = std::min(tile + tile_rows, layout.rows());
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const two_level_fit scale(scales.rows_between(tile, end), g),
          zero(zeros.rows_between(tile, end), g);
      std::byte* const at = matrix + layout.group_offset(tile, g);
      for (std::size_t r = 0; r < tile_rows; ++r)
        at[r] = static_cast<std::byte>(scale.codes[r] + two_level_codes * zero.codes[r]);
      const float16 numbers[] = {scale.unit, scale.zero, zero.unit, zero.zero};
      std::memcpy(at + tile_rows, numbers, sizeof numbers);
    }
  }
}

/// Fails where a group of a row has more different levels than a table holds.
template <class Level>
void require_few_levels(const tile_layout& layout, const matrix_view<Level>& levels) {
  for (std::size_t r = 0; r < levels.rows; ++r) {
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t first = g * layout.group_cols(),
                        past = std::min(first + layout.group_cols(), layout.cols());
      std::uint32_t seen = 0;
      for (std::size_t c = first; c < past; ++c)
        seen |= 1u << (static_cast<int>(levels.row(r)[c]) + layout.zero_code());
      if (std::popcount(seen) <= layout.codec().most_levels()) continue;
      core::fail("pack_levels: row " + std::to_string(r) + ", group " + std::to_string(g) +
                 " has " + std::to_string(std::popcount(seen)) +
                 " different levels, expected at most " +
                 std::to_string(layout.codec().most_levels()) + " for " + layout.fmt().name());
    }
  }
}
}  // namespace detail::matrix

/// Packs levels, scales and zeros, each rounded to the format's scale type.
///
///     levels    rows x cols: of a format without zeros the levels of its codec; of one with zeros
///               the codes 0 .. 2^bits - 1; of table2 at most four different ones in a group
///     scales    rows x groups
///     zeros     rows x groups, z or m as the format has them (format.hpp); none where it has none
///
/// Of a format with two levels (`_q3`) scales and zeros are fitted by 16 rows, as two_level.hpp
/// says; codes should have been chosen for what `round_to_two_levels` makes of them.
///
/// Values are then level * scale, scale * (code - z) or scale * code + m, as `dequantize` gives
/// them. Fails, before anything is made, where the shapes differ, a level is none of the format's
/// (naming row and column), a group has too many of them, a scale or zero is not finite or out of
/// its type's range (naming row and group). Scales may be negative. `memory`: where the bytes come
/// from, see byte_storage.
template <class Level>
  requires std::integral<Level> && (sizeof(Level) <= 4)
[[nodiscard]] any_matrix pack_levels(const format& fmt, matrix_view<Level> levels,
                                     matrix_view<const float> scales,
                                     matrix_view<const float> zeros = {},
                                     std::pmr::memory_resource* memory = nullptr) {
  const tile_layout layout(fmt, levels.rows, levels.cols);
  detail::matrix::require_groups(layout, scales, "scales");
  if (layout.has_zeros()) {
    detail::matrix::require_groups(layout, zeros, "zeros");
  } else if (zeros.rows != 0) {
    detail::core::fail("pack_levels: " + fmt.name() + " has no zeros, got " +
                       detail::core::shape_text(zeros.rows, zeros.cols));
  }
  const detail::policy::level_range range = detail::matrix::levels_of(fmt);
  for (std::size_t r = 0; r < levels.rows; ++r) {
    for (std::size_t c = 0; c < levels.cols; ++c) {
      const auto level = static_cast<std::int64_t>(levels.row(r)[c]);
      if (level >= range.low && level <= range.high && (level - range.low) % range.step == 0)
        continue;
      detail::core::fail("pack_levels: the level at row " + std::to_string(r) + ", column " +
                         std::to_string(c) + " is " + std::to_string(level) + ", expected " +
                         std::to_string(range.low) + " to " + std::to_string(range.high) +
                         (range.step == 1 ? "" : " in steps of " + std::to_string(range.step)) +
                         " for " + fmt.name());
    }
  }
  if (layout.codec().of_table()) detail::matrix::require_few_levels(layout, levels);
  detail::matrix::require_storable(layout, scales, zeros);

  packed_storage storage(layout, memory);
  detail::matrix::row_codes codes(layout);
  std::vector<float> numbers(layout.numbers());
  for (std::size_t r = 0; r < levels.rows; ++r) {
    for (std::size_t c = 0; c < levels.cols; ++c) codes.set(c, static_cast<int>(levels.row(r)[c]));
    codes.write(storage.data(), r);
    if (layout.two_level()) continue;
    const std::size_t step = layout.has_zeros() ? 2 : 1;
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      numbers[step * g] = scales.row(r)[g];
      if (layout.has_zeros()) numbers[step * g + 1] = zeros.row(r)[g];
    }
    detail::matrix::write_scales(layout, storage.data(), r, numbers.data());
  }
  if (layout.two_level()) detail::matrix::write_two_levels(layout, storage.data(), scales, zeros);
  return any_matrix::owner_of(std::move(storage));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
