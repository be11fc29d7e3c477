// SPDX-License-Identifier: Apache-2.0
/// Product of a weight matrix with one token: y[r] = sum over c of w[r][c] * x[c]. A gemm of one
/// token, bit for bit.
#pragma once

#include <cstddef>
#include <span>

#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Rows [range) of w times one token's int8 activations; y has w.rows() elements, of which those
/// are written.
template <weight_matrix W>
void gemv(const W& w, const activation_view& x, std::span<float> y, row_range range,
          const kernel& k = best_kernel()) {
  gemm(w, x, matrix_view<float>{y.data(), 1, y.size()}, range, k);
}
template <weight_matrix W>
void gemv(const W& w, const activation_view& x, std::span<float> y,
          const kernel& k = best_kernel()) {
  gemv(w, x, y, row_range{0, w.rows()}, k);
}

/// The same for float activations.
template <weight_matrix W>
void gemv(const W& w, const unquantized& x, std::span<float> y, row_range range,
          const kernel& k = best_kernel()) {
  gemm(w, x, matrix_view<float>{y.data(), 1, y.size()}, range, k);
}
template <weight_matrix W>
void gemv(const W& w, const unquantized& x, std::span<float> y, const kernel& k = best_kernel()) {
  gemv(w, x, y, row_range{0, w.rows()}, k);
}

/// The convenient form: quantizes x to int8 in the weights' groups, then multiplies. It allocates
/// room for the int8 activations; where a token meets several matrices, or several threads,
/// quantize once and call the form above. A dense any_matrix takes x as it is.
template <weight_matrix W>
void gemv(const W& w, std::span<const float> x, std::span<float> y, row_range range,
          const kernel& k = best_kernel()) {
  if constexpr (std::is_same_v<W, any_matrix>) {
    if (w.is_dense()) return gemv(w, unquantized{x}, y, range, k);
  }
  detail::product::require_fit(w.rows(), w.cols(), matrix_view<const float>{x.data(), 1, x.size()},
                               matrix_view<float>{y.data(), 1, y.size()}, range);
  std::size_t group_cols = 0;
  if constexpr (std::is_convertible_v<const W&, packed_view>) {
    group_cols = packed_view(w).layout().group_cols();
  } else {
    group_cols = w.group_cols();
  }
  packed_activations x8(x.size(), group_cols);
  gemv(w, quantize_activations({x.data(), 1, x.size()}, x8, activation_scales::of_groups, k), y,
       range, k);
}
template <weight_matrix W>
void gemv(const W& w, std::span<const float> x, std::span<float> y,
          const kernel& k = best_kernel()) {
  gemv(w, x, y, row_range{0, w.rows()}, k);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
