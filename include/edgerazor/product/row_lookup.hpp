// SPDX-License-Identifier: Apache-2.0
/// One row of a weight matrix as floats: an embedding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/product/operands.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::product {
/// Codes first, digit by digit, as floats, which hold them exactly; then levels times scales.
inline void copy_row(const packed_view& w, std::size_t row, float* out) noexcept {
  const tile_layout& layout = w.layout();
  const codec_info& codec = layout.codec();
  const std::size_t cols = layout.cols();
  std::fill_n(out, cols, static_cast<float>(-layout.zero_code()));
  for (std::size_t p = 0; p < codec.plane_count; ++p) {
    const std::byte* plane = w.bytes().data() + layout.row_offset(row, p);
    const std::size_t fields = codec.plane(p).fields();
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t slot = c / slot_cols;
      const std::byte byte = plane[chunk_bytes * (slot / fields) + c % slot_cols];
      const unsigned digit = codec.plane(p).digit(std::to_integer<std::uint8_t>(byte),
                                                  static_cast<unsigned>(slot % fields));
      out[c] += static_cast<float>(digit << codec.digits[p].shift);
    }
  }
  for (std::size_t c = 0; c < cols && codec.of_triples(); ++c)
    out[c] += static_cast<float>(matrix::code_at(layout, w.bytes().data(), row, c));
  for (std::size_t g = 0, c = 0; g < layout.groups(); ++g) {
    const float scale = scale_at(w, row, g);
    const std::size_t end = std::min((g + 1) * layout.group_cols(), cols);
    if (layout.has_zeros()) {
      const float zero = zero_at(w, row, g);
      policy::with_zero_kind(layout.fmt().zero, [&](auto kind) {
        for (std::size_t i = c; i < end; ++i)
          out[i] = policy::value_of<kind.kind>(out[i], scale, zero);
      });
      c = end;
    }
    for (; c < end; ++c) out[c] *= scale;
  }
}

inline void copy_row(const mixed_matrix& w, std::size_t row, float* out) noexcept {
  for (const mixed_matrix::segment& part : w.segments()) {
    const auto found = std::lower_bound(part.rows.begin(), part.rows.end(), row);
    if (found == part.rows.end() || *found != row) continue;
    copy_row(w.view(part), static_cast<std::size_t>(found - part.rows.begin()),
             out + part.col_begin);
  }
}

inline void copy_row(const dense_view& w, std::size_t row, float* out) noexcept {
  const std::byte* from =
      static_cast<const std::byte*>(w.data) + row * w.cols * scale_size(w.element);
  for (std::size_t c = 0; c < w.cols; ++c)
    out[c] = matrix::read_scale(from + c * scale_size(w.element), w.element);
}

inline void copy_row(const sparse_view& w, std::size_t row, float* out) noexcept {
  std::fill_n(out, w.cols(), 0.0f);
  for (const sparse_step& step : w.steps(row / tile_rows))
    out[step.columns[row % tile_rows]] += float{step.values[row % tile_rows]};
}

/// Parts in order. Where column c of a part meets h[c] x[p[c]], its weight times h[c] is one of
/// column p[c].
inline void copy_row(const matrix_sum& w, std::size_t row, float* out) {
  std::fill_n(out, w.cols(), 0.0f);
  std::vector<float> values;
  for (const matrix_sum::part& p : w.parts()) {
    const auto add = [&](std::size_t c, float value) {
      for (std::size_t input = p.input; input != 0; input = w.stages()[input - 1].from) {
        const matrix_sum::stage& stage = w.stages()[input - 1];
        if (stage.kind == input_stage::scaled) {
          value *= stage.factors[c];
        } else {
          c = stage.columns[c];
        }
      }
      out[c] += value;
    };
    if (const sparse_view* const sparse = p.matrix.sparse()) {
      for (const sparse_step& step : sparse->steps(row / tile_rows))
        add(step.columns[row % tile_rows], step.values[row % tile_rows]);
      continue;
    }
    const bool direct = &p == w.parts().data() && p.input == 0;
    if (!direct) values.resize(w.cols());
    p.matrix.visit([&](const auto& m) {
      if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(m)>, sparse_view>)
        copy_row(m, row, direct ? out : values.data());
    });
    for (std::size_t c = 0; c < values.size() && !direct; ++c) add(c, values[c]);
  }
}
}  // namespace detail::product

/// out[c] = the value of column c in row `row`, exactly what `dequantize` gives. Fails where there
/// is no such row, or out has not w.cols() elements. No allocation. Of a sum: the weight of x[c] in
/// it, parts added in order; it allocates a row where a part of codes or numbers is not the first,
/// or has an input stage.
inline void look_up_row(const weight_ref& w, std::size_t row, std::span<float> out) {
  if (row >= w.rows() || out.size() != w.cols()) {
    detail::core::fail("look_up_row: row " + std::to_string(row) + " into " +
                       std::to_string(out.size()) + " elements, of a matrix of " +
                       detail::core::shape_text(w.rows(), w.cols()));
  }
  w.visit([&](const auto& matrix) { detail::product::copy_row(matrix, row, out.data()); });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
