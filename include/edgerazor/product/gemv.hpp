// SPDX-License-Identifier: Apache-2.0
/// Product of a weight matrix with one token: y[r] = sum over c of w[r][c] * x[c]. A gemm of one
/// token, bit for bit.
#pragma once

#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `x`: one token, an activation_view or unquantized; `y`: w.rows() elements, of which those in
/// `options.rows` are written. See gemm.
inline void gemv(const weight_ref& w, const product_input& x, std::span<float> y,
                 const product_options& options = {}) {
  gemm(w, x, matrix_view<float>{y.data(), 1, y.size()}, options);
}

/// The convenient form: quantizes x (w.cols() elements) to int8 in the weights' groups, then
/// multiplies. It allocates room for the int8 activations; where a token meets several matrices, or
/// several calls with ranges of rows, quantize once and call the form above. A dense any_matrix
/// takes x as it is; a sum of matrices is prepared for, see linear_operator.hpp.
EDGERAZOR_FUNCTION void gemv(const weight_ref& w, std::span<const float> x, std::span<float> y,
                             const product_options& options = {});

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/gemv_impl.hpp>
#endif
