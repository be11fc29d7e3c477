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
#include <edgerazor/core/exact.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/hadamard.hpp>
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
  for (std::size_t p = 0; p < codec.plane_count && !codec.of_table(); ++p) {
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
  for (std::size_t c = 0; c < cols && (codec.of_triples() || codec.of_table()); ++c)
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

inline void copy_row(const matrix_part& w, std::size_t row, float* out) noexcept {
  w.visit([&](const auto& m) { copy_row(m, row, out); });
}

/// Weights of what a stage makes, to weights of what it is made of.
[[nodiscard]] inline std::vector<float> before_stage(const matrix_sum::stage& stage,
                                                     const std::vector<float>& weights) {
  std::vector<float> result(stage.kind == input_stage::projected ? stage.matrix.cols()
                                                                 : weights.size());
  if (stage.kind == input_stage::scaled) {
    for (std::size_t c = 0; c < result.size(); ++c) result[c] = weights[c] * stage.factors[c];
  } else if (stage.kind == input_stage::permuted) {
    for (std::size_t c = 0; c < result.size(); ++c) result[stage.columns[c]] = weights[c];
  } else if (stage.kind == input_stage::rotated) {
    result = weights;
    hadamard(stage.block).transform_back(result);
  } else {
    std::vector<float> v(result.size());
    for (std::size_t k = 0; k < weights.size(); ++k) {
      copy_row(stage.matrix, k, v.data());
      for (std::size_t c = 0; c < result.size(); ++c)
        result[c] = core::ordered(result[c] + core::exact(weights[k] * v[c]));
    }
  }
  return result;
}

/// Parts in order. Where column c of a part meets h[c] x[p[c]], its weight times h[c] is one of
/// column p[c]; where it meets row c of V x, its weight is one of each column of V's row.
inline void copy_row(const matrix_sum& w, std::size_t row, float* out) {
  std::fill_n(out, w.cols(), 0.0f);
  for (const matrix_sum::part& p : w.parts()) {
    if (&p == w.parts().data() && p.input == 0) {
      copy_row(p.matrix, row, out);
      continue;
    }
    std::vector<float> weights(p.matrix.cols());
    copy_row(p.matrix, row, weights.data());
    for (std::size_t input = p.input; input != 0; input = w.stages()[input - 1].from)
      weights = before_stage(w.stages()[input - 1], weights);
    for (std::size_t c = 0; c < weights.size(); ++c) out[c] += weights[c];
  }
}
}  // namespace detail::product

/// out[c] = the value of column c in row `row`, exactly what `dequantize` gives. Fails where there
/// is no such row, or out has not w.cols() elements. No allocation. Of a sum: the weight of x[c] in
/// it, parts added in order; it allocates some rows for a part that is not the
/// first, or has an input stage, and reads all of V for a row of a low-rank part.
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
