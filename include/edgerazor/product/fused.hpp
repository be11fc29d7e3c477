// SPDX-License-Identifier: Apache-2.0
/// Several products with the same activations as one job, and the gated product of a feed-forward
/// layer.
///
/// Query, key and value, or gate and up, have one input: it is quantized once, and their rows are
/// handed out together, so that threads meet once and not three times. All forms take int8
/// activations (activation_view) or float ones (unquantized) as gemm does, allocate nothing, and
/// give the bits of the products one by one.
#pragma once

#include <cstddef>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/product/kernels.hpp>
#include <edgerazor/product/operands.hpp>
#include <edgerazor/product/options.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One of several products with the same activations: y = w x.
struct fused_product {
  weight_ref w;
  matrix_view<float> y;

  fused_product(const weight_ref& weights, const matrix_view<float>& out) : w(weights), y(out) {}
  /// Of one token.
  fused_product(const weight_ref& weights, std::span<float> out)
      : w(weights), y(out.data(), 1, out.size()) {}
};

/// Rows of all matrices, one after the other.
[[nodiscard]] inline std::size_t fused_rows(std::span<const fused_product> products) noexcept {
  std::size_t sum = 0;
  for (const fused_product& p : products) sum += p.w.rows();
  return sum;
}

/// Several products. `options.rows` are numbered through all matrices: after the last row of one
/// comes the first of the next. The matrices may differ in format and rows; columns and groups are
/// the activations'. Fails where one of them does not fit, naming it, or the range. On an executor:
/// in grains of each matrix, at most 16 matrices.
EDGERAZOR_FUNCTION void gemm_fused(std::span<const fused_product> products, const product_input& x,
                                   const product_options& options = {});

/// out[i] = gate[i] / (1 + e^-gate[i]) * up[i]: SiLU of the gate, times up; with the exponential of
/// kernel/exponential.hpp, the same bits from every kernel. Gates below -88.7 give zero. All three
/// have one size, else it fails; out may be gate or up.
EDGERAZOR_FUNCTION void silu_product(std::span<const float> gate, std::span<const float> up,
                                     std::span<float> out, const kernel_options& options = {});

/// The gated product: y[t][r] = silu(gate[r] . x[t]) * (up[r] . x[t]), with the bits of two gemms
/// and a silu_product. The two matrices have one shape; formats may differ. `y`: tokens x rows, of
/// which only the columns `options.rows` are written. Fails where they do not fit.
///
/// For many tokens it saves writing and reading two matrices of tokens x rows. For one token it
/// saves a job and a few KiB, and costs what reading two streams in turn costs: where weights come
/// from DRAM, gemm_fused and a silu_product are as fast or faster.
EDGERAZOR_FUNCTION void gemm_gated(const weight_ref& gate, const weight_ref& up,
                                   const product_input& x, matrix_view<float> y,
                                   const product_options& options = {});

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/fused_impl.hpp>
#endif
