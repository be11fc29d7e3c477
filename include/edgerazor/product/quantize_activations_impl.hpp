// SPDX-License-Identifier: Apache-2.0
/// What quantize_activations.hpp declares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/quantize_activations.hpp>

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
                            const activation_room& out, activation_scales scales,
                            const kernel::functions& k) noexcept {
  constexpr float max_level = int8<>::max_level, epsilon = int8<>{}.epsilon;
  for (std::size_t t = begin; t < end; ++t) {
    const float* row = x.row(t).data();
    const float of_token = scales == activation_scales::of_token ? k.max_magnitude(row, x.cols) : 0;
    for (std::size_t g = 0; g < out.groups(); ++g) {
      const std::size_t first = g * out.group_cols,
                        count = std::min(out.group_cols, x.cols - first);
      const float largest =
          scales == activation_scales::of_token ? of_token : k.max_magnitude(row + first, count);
      const float scale =
          policy::scale_or_nan(core::quotient(std::max(largest, epsilon), max_level));
      out.scales(t)[g] = scale;
      out.sums(t)[g] = k.quantize(row + first, count, scale, out.codes(t) + first);
    }
    if (x.rows > out.table_tokens()) continue;
    std::uint8_t* table = out.table(t);
    for (std::size_t first = 0; first < x.cols; first += out.group_cols) {
      const std::size_t count = std::min(out.group_cols, x.cols - first),
                        slots = (count + slot_cols - 1) / slot_cols;
      std::fill_n(out.codes(t) + first + count, slot_cols * slots - count, std::int8_t{0});
      k.triple_tables(out.codes(t) + first, slot_cols * slots, table);
      table += matrix::triples::table_bytes(count);
    }
  }
}

}  // namespace detail::product

EDGERAZOR_FUNCTION activation_view quantize_activations(matrix_view<const float> x,
                                                        packed_activations& out,
                                                        const activation_options& options) {
  constexpr std::size_t min_elements = 16 * 1024;  // of a grain: some microseconds
  const detail::kernel::functions& k = detail::product::functions_of(options.kernel);
  const activation_view result = detail::product::require_room(x, out);
  const std::size_t tokens =
                        std::max<std::size_t>(1, min_elements / std::max<std::size_t>(1, x.cols)),
                    grains = (x.rows + tokens - 1) / tokens;
  if (!options.executor || grains < 2) {
    detail::product::quantize_tokens(x, 0, x.rows, out.room(), options.scales, k);
  } else {
    options.executor(grains, [&](std::size_t grain) noexcept {
      detail::product::quantize_tokens(x, grain * tokens, std::min(x.rows, (grain + 1) * tokens),
                                       out.room(), options.scales, k);
    });
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
