// SPDX-License-Identifier: Apache-2.0
/// What gemv.hpp declares.
#pragma once

#include <span>

#include <edgerazor/product/gemm_impl.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

EDGERAZOR_FUNCTION void gemv(const weight_ref& w, std::span<const float> x, std::span<float> y,
                             const product_options& options) {
  const unquantized token{x};
  if (w.is_dense()) return gemv(w, token, y, options);
  const matrix_view<float> out{y.data(), 1, y.size()};
  detail::product::require_fit(w.rows(), w.cols(), 1, x.size(), out,
                               detail::product::rows_of(options, w.rows()));
  detail::product::require_apart(token.tokens, out, "product");
  if (w.sum() || w.part().sparse()) {
    byte_storage room(input_bytes(w, 1));
    const prepared_input input = prepare(w, token.tokens, {room.data(), room.size()},
                                         {.kernel = options.kernel, .executor = options.executor});
    return gemv(w, input, y, options);
  }
  packed_activations x8(x.size(), w.group_cols(), 1, nullptr, w.tables());
  gemv(w, quantize_activations(token.tokens, x8, {.kernel = options.kernel}), y, options);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
