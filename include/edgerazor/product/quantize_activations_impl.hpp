// SPDX-License-Identifier: Apache-2.0
/// What quantize_activations.hpp declares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/policy/activation_policy.hpp>
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

/// A policy's parameters show in what it makes of a zero.
inline void require_policy(const activation_policy& policy, const char* what) {
  if (!policy) return;
  const float value = 0;
  const group_fit fit = policy.fit({&value, 1});
  if (!policy::is_finite(fit.scale) || fit.scale < 0) {
    core::fail(std::string{what} + ": the policy gives a zero the scale " +
               std::to_string(fit.scale) + ", expected a finite one of at least 0");
  }
  if (!(fit.zero >= 0 && fit.zero <= 127) || fit.zero != std::floor(fit.zero)) {
    core::fail(std::string{what} + ": the policy gives a zero the code " +
               std::to_string(fit.zero) + ", expected an integer from 0 to 127");
  }
}

/// How some values of a token are quantized: all that share a scale, or a group of them.
struct value_quantizer {
  const activation_policy& policy;
  const kernel::functions& k;

  [[nodiscard]] group_fit fit(const float* x, std::size_t count) const noexcept {
    constexpr float max_level = int8<>::max_level, epsilon = int8<>{}.epsilon;
    const float largest = k.max_magnitude(x, count);
    if (!policy)
      return {policy::scale_or_nan(core::quotient(std::max(largest, epsilon), max_level)), 0};
    group_fit result{policy::scale_or_nan(largest), 0};
    if (policy::is_finite(largest)) result = policy.fit({x, count});
    result.scale = policy::scale_or_nan(result.scale);
    return result;
  }
  /// Returns the sum of the codes.
  std::int32_t quantize(const float* x, std::size_t count, const group_fit& fit,
                        std::int8_t* codes) const noexcept {
    if (!policy) return k.quantize(x, count, fit.scale, codes);
    if (policy::is_finite(fit.scale)) return policy.quantize({x, count}, fit, codes);
    std::fill_n(codes, count, std::int8_t{0});
    return 0;
  }
};

/// Tokens [begin, end).
inline void quantize_tokens(const matrix_view<const float>& x, std::size_t begin, std::size_t end,
                            const activation_room& out, activation_scales scales,
                            const activation_policy& policy, const kernel::functions& k) noexcept {
  const value_quantizer values{policy, k};
  const bool by_token = scales == activation_scales::of_token;
  for (std::size_t t = begin; t < end; ++t) {
    const float* row = x.row(t).data();
    group_fit fit = by_token ? values.fit(row, x.cols) : group_fit{};
    for (std::size_t g = 0; g < out.groups(); ++g) {
      const std::size_t first = g * out.group_cols,
                        count = std::min(out.group_cols, x.cols - first);
      if (!by_token) fit = values.fit(row + first, count);
      out.scales(t)[g] = fit.scale;
      out.sums(t)[g] = values.quantize(row + first, count, fit, out.codes(t) + first);
    }
    if (t >= out.table_tokens()) continue;  // a view of the first few has them
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
  detail::product::require_policy(options.policy, "quantize_activations");
  const std::size_t tokens =
                        std::max<std::size_t>(1, min_elements / std::max<std::size_t>(1, x.cols)),
                    grains = (x.rows + tokens - 1) / tokens;
  if (!options.executor || grains < 2) {
    detail::product::quantize_tokens(x, 0, x.rows, out.room(), options.scales, options.policy, k);
  } else {
    options.executor(grains, [&](std::size_t grain) noexcept {
      detail::product::quantize_tokens(x, grain * tokens, std::min(x.rows, (grain + 1) * tokens),
                                       out.room(), options.scales, options.policy, k);
    });
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
