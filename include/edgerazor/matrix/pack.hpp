// SPDX-License-Identifier: Apache-2.0
/// Quantize and pack: real numbers to codes and scales in the tile layout.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/loops.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {

/// Whether storing a scale keeps it finite, and not zero unless it was.
inline bool is_storable_scale(float scale, scale_kind kind) noexcept {
  if (scale >= 0x1p-24f && scale <= 65504.0f) return true;  // float16's range, the smallest of all
  const float stored = round_scale(scale, kind);
  return stored <= largest_scale(kind) && (stored > 0 || scale == 0);
}

inline void require_storable_scale(float scale, scale_kind kind, std::size_t row,
                                   std::size_t group) {
  if (is_storable_scale(scale, kind)) return;
  core::fail("pack: the scale " + std::to_string(scale) + " of row " + std::to_string(row) +
             ", group " + std::to_string(group) +
             " is out of the range of its 16-bit type; choose another scale type");
}

inline void require_storable_zero(float zero, scale_kind kind, std::size_t row, std::size_t group) {
  if (policy::is_finite(round_scale(zero, kind))) return;
  core::fail("pack: the zero " + std::to_string(zero) + " of row " + std::to_string(row) +
             ", group " + std::to_string(group) +
             " is out of the range of its type; choose another scale type");
}

/// The rows of real numbers that become consecutive rows of a packed matrix.
template <real_element T, class RowOf>
struct row_selection {
  matrix_view<const T> weights;
  std::size_t first_row;  ///< what sentences call row 0 of `weights`
  std::size_t col_begin;  ///< first column taken
  std::size_t count;      ///< rows taken
  RowOf row_of;           ///< row_of(i): the row of `weights` that is taken as row i

  [[nodiscard]] const T* row(std::size_t i) const noexcept {
    return weights.row(row_of(i)).data() + col_begin;
  }
};

/// `count` elements as floats: in place where they are floats, else in the buffer.
template <real_element T>
[[nodiscard]] const float* as_floats(T* elements, std::size_t count, core::buffer<float>& buffer) {
  using element = std::remove_const_t<T>;
  if constexpr (std::is_same_v<element, float>) {
    return elements;
  } else {
    if (buffer.size() < count) buffer.resize(count);
    policy::fast_conversion{}(static_cast<const element*>(elements), count, buffer.data());
    return buffer.data();
  }
}

/// Numbers that a group's codes follow from: its scale, and its zero or its levels where it has
/// them.
template <group_policy Rule>
inline constexpr std::size_t fit_numbers = table_quantizer<Rule>  ? 1 + table_size
                                           : zero_quantizer<Rule> ? 2
                                                                  : 1;

/// Appends those numbers of every group of the rows, in order, before they are rounded for storage.
/// Fails where an element of `weights` is not finite, else where a scale or
/// zero can't be stored.
template <group_policy Rule, real_element T, class RowOf>
void append_scales(const Rule& rule, const tile_layout& layout,
                   const row_selection<T, RowOf>& source, core::buffer<float>& scales) {
  const std::size_t cols = layout.cols(), group_cols = layout.group_cols();
  const auto require_finite = [&source] {
    policy::check_finite(source.weights, {0, source.weights.rows}, "weight", source.first_row);
  };
  core::buffer<float> buffer;
  scales.reserve(scales.size() + source.count * layout.groups() * fit_numbers<Rule>);
  for (std::size_t i = 0; i < source.count; ++i) {
    // Row by row, so that what is read twice is read from the nearest cache.
    const T* const row = source.row(i);
    if (!policy::all_finite(row, cols)) require_finite();
    const float* const values = as_floats(row, cols, buffer);
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t begin = g * group_cols, count = std::min(group_cols, cols - begin);
      const auto fit = policy::fit_of(rule, std::span{values + begin, count});
      const scale_kind kind = layout.fmt().scale;
      const std::size_t row_named = source.first_row + source.row_of(i),
                        group_named = source.col_begin / group_cols + g;
      if constexpr (zero_quantizer<Rule>) {
        if (!is_storable_scale(fit.scale, kind) ||
            !policy::is_finite(round_scale(fit.zero, kind))) {
          require_finite();
          require_storable_scale(fit.scale, kind, row_named, group_named);
          require_storable_zero(fit.zero, kind, row_named, group_named);
        }
        scales.insert(scales.end(), {fit.scale, fit.zero});
      } else if constexpr (table_quantizer<Rule>) {
        if (!is_storable_scale(fit.scale, kind))
          require_storable_scale(fit.scale, kind, row_named, group_named);
        scales.push_back(fit.scale);
        for (const std::int8_t level : fit.levels) scales.push_back(static_cast<float>(level));
      } else {
        if (!is_storable_scale(fit, kind)) {
          require_finite();
          require_storable_scale(fit, kind, row_named, group_named);
        }
        scales.push_back(fit);
      }
    }
  }
}

/// Columns [begin, end) of a row into `codes`; `values` begins with column `begin`, `scales` with
/// the row's first group.
template <group_policy Rule>
void quantize_columns(const tile_layout& layout, const float* values, std::size_t begin,
                      std::size_t end, const float* scales, row_codes& codes) noexcept {
  [[maybe_unused]] const int zero_code = layout.zero_code();
  const std::size_t group_cols = layout.group_cols(), group = begin / group_cols;
  scales += group * fit_numbers<Rule>;
  std::size_t group_end = (group + 1) * group_cols;
  for (std::size_t col = begin; col < end; group_end += group_cols) {
    const std::size_t count = std::min(end, group_end) - col;
    if constexpr (zero_quantizer<Rule>) {
      policy::quantize_codes<Rule>(values, count, group_fit{scales[0], scales[1]}, codes.at(col));
    } else if constexpr (table_quantizer<Rule>) {
      table_fit fit{scales[0], {}};
      for (std::size_t k = 0; k < table_size; ++k)
        fit.levels[k] = static_cast<std::int8_t>(scales[1 + k]);
      policy::quantize_codes<Rule>(values, count, fit, zero_code, codes.at(col));
    } else {
      policy::quantize_codes<Rule>(values, count, *scales, zero_code, codes.at(col));
    }
    scales += fit_numbers<Rule>;
    values += count;
    col += count;
  }
}

/// The scales of one row, and zeros in turn with them where the format has them, rounded to a
/// matrix's scale type; `first` is where the scale of group 0 belongs. All lie 16 numbers apart.
template <real_element Scale>
void write_scales(const float* scales, std::size_t numbers, std::byte* first) noexcept {
  constexpr std::size_t block = 64;
  Scale rounded[block];
  for (std::size_t n = 0; n < numbers; n += block) {
    const std::size_t count = std::min(block, numbers - n);
    core::convert_elements(scales + n, count, rounded);
    for (std::size_t i = 0; i < count; ++i, first += tile_rows * sizeof(Scale)) {
      std::memcpy(first, rounded + i, sizeof(Scale));
    }
  }
}

inline void write_scales(const tile_layout& layout, std::byte* matrix, std::size_t row,
                         const float* scales) noexcept {
  std::byte* const first = matrix + layout.scale_offset(row, 0);
  switch (layout.fmt().scale) {
    case scale_kind::float16:
      return write_scales<float16>(scales, layout.numbers(), first);
    case scale_kind::bfloat16:
      return write_scales<bfloat16>(scales, layout.numbers(), first);
    case scale_kind::float32:
      return write_scales<float>(scales, layout.numbers(), first);
  }
}

/// Writes levels and scales of the rows into rows [first, first + count) of the matrix at `matrix`.
/// The levels follow from the scales before those are rounded for storage, as EdgeRazor (Python)'s
/// do.
///
/// All rows of a tile share its cache lines, so they are written to a number of chunks that stays
/// in a core's cache before any is written to the next. A smaller number would cut the rows, which
/// are read from memory, into short runs.
template <group_policy Rule, real_element T, class RowOf>
void write_rows(const Rule&, const tile_layout& layout, std::byte* matrix, std::size_t first,
                const row_selection<T, RowOf>& source, const float* scales) {
  const std::size_t step = slot_cols * layout.codec().chunk_slots(),
                    numbers = layout.groups() * fit_numbers<Rule>;
  // 64 KiB of the widest plane. Triples are written whole, for their units do not end with a slot;
  // so are groups with tables, which follow from all their codes.
  const bool whole = layout.codec().of_triples() || layout.codec().of_table();
  const std::size_t block = whole ? layout.padded_cols() : 1024 * step;
  core::buffer<float> buffer, stored(fit_numbers<Rule> > 2 ? layout.groups() : 0);
  row_codes codes(layout);
  for (std::size_t i = 0; i < source.count;) {
    const std::size_t end = std::min(source.count, i + tile_rows - (first + i) % tile_rows);
    for (std::size_t col = 0; col < layout.cols(); col += block) {
      const std::size_t padded_end = std::min(col + block, layout.padded_cols());
      const std::size_t col_end = std::min(padded_end, layout.cols());
      for (std::size_t r = i; r < end; ++r) {
        const float* const values = as_floats(source.row(r) + col, col_end - col, buffer);
        quantize_columns<Rule>(layout, values, col, col_end, scales + r * numbers, codes);
        codes.write(matrix, first + r, col, padded_end);
      }
    }
    for (; i < end; ++i) {
      const float* own = scales + i * numbers;
      if constexpr (table_quantizer<Rule>) {
        for (std::size_t g = 0; g < layout.groups(); ++g) stored[g] = own[fit_numbers<Rule> * g];
        own = stored.data();
      }
      write_scales(layout, matrix, first + i, own);
    }
  }
}

/// Quantizes the rows of `weights` into rows [first_row, first_row + weights.rows) of the matrix at
/// `matrix`. Everything is checked before the first byte is written.
template <group_policy Rule, real_element T>
void pack_rows(const Rule& rule, const tile_layout& layout, std::byte* matrix,
               std::size_t first_row, matrix_view<const T> weights) {
  if (weights.cols != layout.cols() || first_row > layout.rows() ||
      weights.rows > layout.rows() - first_row) {
    core::fail("pack: " + core::shape_text(weights.rows, weights.cols) + " weights from row " +
               std::to_string(first_row) + " on do not fit a matrix of " +
               core::shape_text(layout.rows(), layout.cols()));
  }
  const auto same = [](std::size_t row) { return row; };
  const row_selection<T, decltype(same)> source{weights, first_row, 0, weights.rows, same};
  core::buffer<float> scales;
  append_scales(rule, layout, source, scales);
  write_rows(rule, layout, matrix, first_row, source, scales.data());
}
}  // namespace detail::matrix

/// Quantizes `rows x cols` real numbers by the policy and packs them. Scales and zeros are stored
/// as `Policy::scale_type`. Fails on NaN or infinity (naming row and column), on a scale or zero
/// out of its type's range, on an empty matrix.
template <group_policy Policy, class Codec = default_codec<Policy>, real_element T>
[[nodiscard]] packed_matrix<Policy, Codec> pack(matrix_view<T> weights, const Policy& policy = {}) {
  packed_matrix<Policy, Codec> result(weights.rows, weights.cols);
  detail::matrix::pack_rows(policy, result.view().layout(), result.storage().data(), 0,
                            matrix_view<const std::remove_const_t<T>>{weights});
  return result;
}

/// Quantizes some rows into an existing packed matrix: row 0 of `weights` becomes row `rows.begin`.
/// Threads may fill different rows of one matrix at once. On failure nothing is written.
template <group_policy Policy, class Codec, real_element T>
void pack_rows(packed_matrix<Policy, Codec>& matrix, row_range rows, matrix_view<T> weights,
               const Policy& policy = {}) {
  if (rows.size() != weights.rows) {
    detail::core::fail("pack_rows: a range of " + std::to_string(rows.size()) + " rows was given " +
                       std::to_string(weights.rows));
  }
  detail::matrix::pack_rows(policy, matrix.view().layout(), matrix.storage().data(), rows.begin,
                            matrix_view<const std::remove_const_t<T>>{weights});
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
