/// Activations to int8, as the reference's state quantizers do: s = max(max|x|, epsilon) / 127, per group or per token.
#pragma once

#include <algorithm>
#include <cstddef>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/kernel/dispatch.hpp>
#include <edgerazor/pack/activations.hpp>
#include <edgerazor/quant/symmetric.hpp>

namespace edgerazor::inline v0 {

/// Quantizes `x` (tokens x cols) into `out` and returns a view of those tokens. No allocation. Fails where the columns
/// differ or `out` holds fewer tokens. Source: state_quant_uniform_symmetric_absmax_per_{block,token}_int8; a NaN
/// becomes -127 times the scale of the others.
inline activation_view quantize_activations(matrix_view<const float> x, packed_activations& out,
                                            activation_scales scales = activation_scales::of_groups,
                                            const kernel& k = best_kernel()) {
  if (x.cols != out.cols()) {
    fail("quantize_activations: " + std::to_string(x.cols) + " columns do not fit activations of " +
         std::to_string(out.cols()));
  }
  const activation_view result = out.view(x.rows);
  constexpr float max_level = int8<>::max_level, epsilon = int8<>{}.epsilon;
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float* row = x.row(t).data();
    const float of_token = scales == activation_scales::of_token ? k.max_magnitude(row, x.cols) : 0;
    for (std::size_t g = 0; g < out.groups(); ++g) {
      const std::size_t begin = g * out.group_cols(), count = std::min(out.group_cols(), x.cols - begin);
      const float largest = scales == activation_scales::of_token ? of_token : k.max_magnitude(row + begin, count);
      const float scale = std::max(largest, epsilon) / max_level;
      out.scales(t)[g] = scale;
      out.sums(t)[g] = k.quantize(row + begin, count, scale, out.codes(t) + begin);
    }
  }
  return result;
}

}  // namespace edgerazor::inline v0
