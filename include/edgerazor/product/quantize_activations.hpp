// SPDX-License-Identifier: Apache-2.0
/// Activations to int8, as the reference's state quantizers do: s = max(max|x|, epsilon) / 127, per
/// group or per token.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/kernels.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::product {

inline activation_view require_room(const matrix_view<const float>& x,
                                    const packed_activations& out) {
  if (x.cols != out.cols()) {
    core::fail("quantize_activations: " + std::to_string(x.cols) +
               " columns do not fit activations of " + std::to_string(out.cols()));
  }
  return out.view(x.rows);
}

/// Tokens [begin, end).
inline void quantize_tokens(const matrix_view<const float>& x, std::size_t begin, std::size_t end,
                            packed_activations& out, activation_scales scales,
                            const kernel::functions& k) noexcept {
  constexpr float max_level = int8<>::max_level, epsilon = int8<>{}.epsilon;
  for (std::size_t t = begin; t < end; ++t) {
    const float* row = x.row(t).data();
    const float of_token = scales == activation_scales::of_token ? k.max_magnitude(row, x.cols) : 0;
    for (std::size_t g = 0; g < out.groups(); ++g) {
      const std::size_t first = g * out.group_cols(),
                        count = std::min(out.group_cols(), x.cols - first);
      const float largest =
          scales == activation_scales::of_token ? of_token : k.max_magnitude(row + first, count);
      const float scale = std::max(largest, epsilon) / max_level;
      out.scales(t)[g] = scale;
      out.sums(t)[g] = k.quantize(row + first, count, scale, out.codes(t) + first);
    }
  }
}

}  // namespace detail::product

/// Quantizes `x` (tokens x cols) into `out` and returns a view of those tokens. No allocation.
/// Fails where the columns differ or `out` holds fewer tokens. Source:
/// state_quant_uniform_symmetric_absmax_per_{block,token}_int8; a NaN becomes -127 times the scale
/// of the others.
inline activation_view quantize_activations(matrix_view<const float> x, packed_activations& out,
                                            activation_scales scales = activation_scales::of_groups,
                                            const kernel& k = best_kernel()) {
  const activation_view result = detail::product::require_room(x, out);
  detail::product::quantize_tokens(x, 0, x.rows, out, scales, k);
  return result;
}
/// The tokens on the executor's threads, see row_executor; a few at once are not worth handing out.
template <class Executor>
activation_view quantize_activations(Executor&& executor, matrix_view<const float> x,
                                     packed_activations& out,
                                     activation_scales scales = activation_scales::of_groups,
                                     const kernel& k = best_kernel()) {
  constexpr std::size_t least = 16 * 1024;  // elements of a grain: some microseconds
  const activation_view result = detail::product::require_room(x, out);
  const std::size_t tokens = std::max<std::size_t>(1, least / x.cols),
                    grains = (x.rows + tokens - 1) / tokens;
  if (grains < 2) {
    detail::product::quantize_tokens(x, 0, x.rows, out, scales, k);
  } else {
    detail::core::execute(executor, grains, [&](std::size_t grain) noexcept {
      detail::product::quantize_tokens(x, grain * tokens, std::min(x.rows, (grain + 1) * tokens),
                                       out, scales, k);
    });
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
