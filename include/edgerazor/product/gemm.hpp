// SPDX-License-Identifier: Apache-2.0
/// Products of a weight matrix with several tokens: y[t][r] = sum over c of w[r][c] * x[t][c].
///
/// A token's row of the result does not depend on the other tokens, on the range of rows, on the
/// kernel or on the number of threads: it has the same bits in every case, those of the reference
/// implementation (kernel/portable/scalar.hpp).
#pragma once

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `w`: rows x cols, a packed_view, packed_matrix, mixed_matrix or any_matrix, a sparse_matrix or a
/// sum of such. `x`: tokens x cols, an activation_view (W-A8: integer dot products, one float
/// epilogue), unquantized (weights are dequantized on the fly, in registers), or what was prepared
/// for w (linear_operator.hpp): a sum whose parts differ in what they take needs that. `y`: tokens
/// x rows, of which only the columns `options.rows` are written. Shapes, groups and range are
/// checked before anything is written: a mismatch fails, naming both; so do int8 activations of a
/// dense or sparse matrix, and float activations that `y` overlaps. Nothing here allocates. A NaN
/// among float activations reaches every row, of a sparse matrix those with an entry in its column;
/// int8 ones carry it in their scale.
EDGERAZOR_FUNCTION void gemm(const weight_ref& w, const product_input& x, matrix_view<float> y,
                             const product_options& options = {});

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/gemm_impl.hpp>
#endif
