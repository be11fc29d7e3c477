/// Quantize and pack: real numbers to codes and scales in the tile layout.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/core/views.hpp>
#include <edgerazor/pack/packed_matrix.hpp>
#include <edgerazor/pack/row_codes.hpp>
#include <edgerazor/quant/finite.hpp>
#include <edgerazor/quant/quantizer.hpp>

namespace edgerazor::inline v0 {

namespace detail {

/// Fails where storing a scale would turn it into infinity, or into zero although some level is not.
inline void require_storable_scale(float scale, scale_kind kind, std::size_t row, std::size_t group) {
  const float stored = round_scale(scale, kind);
  if (stored <= largest_scale(kind) && (stored > 0 || scale == 0)) return;
  fail("pack: the scale " + std::to_string(scale) + " of row " + std::to_string(row) + ", group " +
       std::to_string(group) + " is out of the range of its 16-bit type; choose another scale type");
}

/// Appends the scale of every group of the rows, in order, before it is rounded for storage. Fails where one can't be
/// stored; `named_row` and `named_group` are what the sentence calls the first of each.
template <quantizer Rule, real_element T>
void append_scales(const Rule& rule, const tile_layout& layout, matrix_view<const T> weights, std::size_t named_row,
                   std::size_t named_group, std::vector<float>& scales) {
  std::vector<float> values(weights.cols);
  for (std::size_t r = 0; r < weights.rows; ++r) {
    std::copy(weights.row(r).begin(), weights.row(r).end(), values.begin());
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t begin = g * layout.group_cols(), count = std::min(layout.group_cols(), values.size() - begin);
      scales.push_back(rule.scale(std::span<const float>{values}.subspan(begin, count)));
      require_storable_scale(scales.back(), layout.fmt().scale, named_row + r, named_group + g);
    }
  }
}

/// Writes levels and scales of the rows into rows [first_row, first_row + weights.rows) of the matrix at `matrix`.
/// The levels follow from the scales before those are rounded for storage, as the reference's do.
template <quantizer Rule, real_element T>
void write_rows(const tile_layout& layout, std::byte* matrix, std::size_t first_row, matrix_view<const T> weights,
                std::span<const float> scales) {
  std::vector<float> values(weights.cols);
  std::vector<std::int8_t> levels(std::min(layout.group_cols(), weights.cols));
  row_codes codes(layout);
  const float* scale = scales.data();
  for (std::size_t r = 0; r < weights.rows; ++r) {
    std::copy(weights.row(r).begin(), weights.row(r).end(), values.begin());
    for (std::size_t g = 0; g < layout.groups(); ++g, ++scale) {
      const std::size_t begin = g * layout.group_cols(), count = std::min(layout.group_cols(), values.size() - begin);
      quantize_levels<Rule>(std::span<const float>{values}.subspan(begin, count), *scale, levels.data());
      codes.set(begin, std::span{levels}.first(count));
      write_scale(matrix + layout.scale_offset(first_row + r, g), layout.fmt().scale, *scale);
    }
    codes.write(matrix, first_row + r);
  }
}

/// Quantizes the rows of `weights` into rows [first_row, first_row + weights.rows) of the matrix at `matrix`.
/// Everything is checked before the first byte is written.
template <quantizer Rule, real_element T>
void pack_rows(const Rule& rule, const tile_layout& layout, std::byte* matrix, std::size_t first_row,
               matrix_view<const T> weights) {
  if (weights.cols != layout.cols() || first_row > layout.rows() || weights.rows > layout.rows() - first_row) {
    fail("pack: " + shape_text(weights.rows, weights.cols) + " weights from row " + std::to_string(first_row) +
         " on do not fit a matrix of " + shape_text(layout.rows(), layout.cols()));
  }
  check_finite(weights, {0, weights.rows}, "weight", first_row);
  std::vector<float> scales;
  scales.reserve(weights.rows * layout.groups());
  append_scales(rule, layout, weights, first_row, 0, scales);
  write_rows<Rule>(layout, matrix, first_row, weights, scales);
}
}  // namespace detail

/// Quantizes `rows x cols` real numbers by the policy and packs them. Scales are stored as `Policy::scale_type`.
/// Fails on NaN or infinity (naming row and column), on a scale out of its type's range, on an empty matrix.
template <quantizer Policy, class Codec = default_codec<Policy>, real_element T>
[[nodiscard]] packed_matrix<Policy, Codec> pack(matrix_view<T> weights, const Policy& policy = {}) {
  packed_matrix<Policy, Codec> result(weights.rows, weights.cols);
  detail::pack_rows(policy, result.view().layout(), result.storage().data(), 0,
                    matrix_view<const std::remove_const_t<T>>{weights});
  return result;
}

/// Quantizes some rows into an existing packed matrix: row 0 of `weights` becomes row `rows.begin`. Threads may fill
/// different rows of one matrix at once. On failure nothing is written.
template <quantizer Policy, class Codec, real_element T>
void pack_rows(packed_matrix<Policy, Codec>& matrix, row_range rows, matrix_view<T> weights,
               const Policy& policy = {}) {
  if (rows.size() != weights.rows) {
    fail("pack_rows: a range of " + std::to_string(rows.size()) + " rows was given " + std::to_string(weights.rows));
  }
  detail::pack_rows(policy, matrix.view().layout(), matrix.storage().data(), rows.begin,
                    matrix_view<const std::remove_const_t<T>>{weights});
}

}  // namespace edgerazor::inline v0
