// SPDX-License-Identifier: Apache-2.0
/// The loops over the weights of a group whose scale is known: codes, values, gradients. By the
/// loops of the processor (loops.hpp) where a policy's levels follow a rule, else one weight at a
/// time; the same bits either way.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/groups.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/loops.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// `for_each_group`, elements of 16 bits converted by the fastest loops.
template <class Grouping, real_element T, class Visit>
void visit_groups(const Grouping& grouping, const matrix_view<T>& matrix, row_range rows,
                  const Visit& visit) {
  for_each_group(grouping, matrix, rows, visit, fast_conversion{});
}

template <quantizer Q>
inline constexpr level_range levels_of{Q::min_level, Q::max_level, level_step<Q>};

/// grad_in[i] = grad_out[i] where rounding alone gives a level (`within_levels`), else 0. The two
/// may be the same memory.
inline void pass_within_levels(level_range levels, std::span<const float> weights, float scale,
                               const float* grad_out, float* grad_in) noexcept {
  best_loops().pass_within(levels, scale, weights.data(), weights.size(), grad_out, grad_in);
}

/// codes[i] = level of weights[i] at a given scale, plus `zero_code`.
template <quantizer Q>
void quantize_codes(const float* weights, std::size_t count, float scale, int zero_code,
                    std::uint8_t* codes) noexcept {
  if constexpr (has_level_rule<Q>) {
    best_loops().codes(line_of(Q::levels, scale, zero_code), weights, count, codes);
  } else {
    for (std::size_t i = 0; i < count; ++i)
      codes[i] = static_cast<std::uint8_t>(Q::level(weights[i], scale) + zero_code);
  }
}
/// levels[i] = level of weights[i] at a given scale.
template <quantizer Q>
void quantize_codes(const float* weights, std::size_t count, float scale,
                    std::int8_t* levels) noexcept {
  quantize_codes<Q>(weights, count, scale, 0, reinterpret_cast<std::uint8_t*>(levels));
}

/// A policy with zeros that says by which rule its codes follow (`level_line`).
template <class Q>
concept has_code_line = zero_quantizer<Q> && requires(const group_fit& fit) {
  { Q::code_line(fit) } noexcept -> std::same_as<level_line>;
};
/// codes[i] = code of weights[i] in a group of that fit.
template <zero_quantizer Q>
void quantize_codes(const float* weights, std::size_t count, const group_fit& fit,
                    std::uint8_t* codes) noexcept {
  if constexpr (has_code_line<Q>) {
    best_loops().codes(Q::code_line(fit), weights, count, codes);
  } else {
    for (std::size_t i = 0; i < count; ++i)
      codes[i] = static_cast<std::uint8_t>(Q::code(weights[i], fit));
  }
}

/// codes[i] = level of weights[i] in a group of that fit, plus `zero_code`.
template <table_quantizer Q>
void quantize_codes(const float* weights, std::size_t count, const table_fit& fit, int zero_code,
                    std::uint8_t* codes) noexcept {
  const table_line line(fit);
  for (std::size_t i = 0; i < count; ++i)
    codes[i] = static_cast<std::uint8_t>(line(weights[i]) + zero_code);
}

/// `loops::values` by the type of `out`.
inline void line_values(const level_line& line, const value_line& value, const float* values,
                        std::size_t count, float* out) noexcept {
  best_loops().values(line, value, values, count, out);
}
inline void line_values(const level_line& line, const value_line& value, const float* values,
                        std::size_t count, float16* out) noexcept {
  best_loops().values_float16(line, value, values, count, out);
}
inline void line_values(const level_line& line, const value_line& value, const float* values,
                        std::size_t count, bfloat16* out) noexcept {
  best_loops().values_bfloat16(line, value, values, count, out);
}

/// out[i] = level(values[i]) * scale, for values that may lie exactly where out does.
template <quantizer Q, real_element U>
void write_values(const float* values, std::size_t count, float scale, U* out) noexcept {
  const float unit = value_scale<Q>(scale);
  if constexpr (has_level_rule<Q>) {
    line_values(line_of(Q::levels, scale), {.unit = unit}, values, count, out);
  } else {
    for (std::size_t i = 0; i < count; ++i)
      out[i] = U{static_cast<float>(Q::level(values[i], scale)) * unit};
  }
}
/// out[i] = value of the code of values[i], the same way.
template <zero_quantizer Q, real_element U>
void write_values(const float* values, std::size_t count, const group_fit& fit, U* out) noexcept {
  const group_fit stored = stored_fit<Q>(fit);
  if constexpr (has_code_line<Q>) {
    const value_line value{stored.scale, stored.zero, Q::zero == zero_kind::minimum};
    line_values(Q::code_line(fit), value, values, count, out);
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      const auto code = static_cast<float>(Q::code(values[i], fit));
      out[i] = U{value_of<Q::zero>(code, stored.scale, stored.zero)};
    }
  }
}

/// out[i] = level(values[i]) * scale, the same way.
template <table_quantizer Q, real_element U>
void write_values(const float* values, std::size_t count, const table_fit& fit, U* out) noexcept {
  const table_line line(fit);
  const float unit = value_scale<Q>(fit.scale);
  for (std::size_t i = 0; i < count; ++i) out[i] = U{static_cast<float>(line(values[i])) * unit};
}

/// Learned step size: writes the weights' gradients of one group (which may lie where grad_out
/// does) and returns sum of g * d.
template <quantizer Q>
[[nodiscard]] double learned_step_gradient(std::span<const float> weights, float scale,
                                           const float* grad_out, float* grad_in) noexcept {
  if constexpr (has_level_rule<Q>) {
    return best_loops().step_gradient(line_of(Q::levels, scale), levels_of<Q>, weights.data(),
                                      weights.size(), grad_out, grad_in);
  } else {
    slope_sums sums;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const float g = grad_out[i];
      const float slope = step_slope(core::quotient(weights[i], scale), Q::level(weights[i], scale),
                                     levels_of<Q>, g, grad_in[i]);
      sums.add(i, g, slope);
    }
    return sums.total();
  }
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
