// SPDX-License-Identifier: Apache-2.0
/// The loops over the weights of a group whose scale is known: codes, values, gradients. By vectors
/// where a policy's levels follow a rule, else one weight at a time; the same bits either way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// codes[i] = rule(weights[i], scale) + zero_code, as a byte.
EDGERAZOR_FUNCTION void rule_codes(const level_rule& rule, std::span<const float> weights,
                                   float scale, int zero_code, std::uint8_t* codes) noexcept;

/// out[i] = rule(values[i], scale) * unit, for values that may lie exactly where out does: each is
/// read before it is written.
EDGERAZOR_FUNCTION void rule_values(const level_rule& rule, std::span<const float> values,
                                    float scale, float unit, float* out) noexcept;
EDGERAZOR_FUNCTION void rule_values(const level_rule& rule, std::span<const float> values,
                                    float scale, float unit, float16* out) noexcept;
EDGERAZOR_FUNCTION void rule_values(const level_rule& rule, std::span<const float> values,
                                    float scale, float unit, bfloat16* out) noexcept;

/// Levels low, low + step, ... high, as they decide which weights the clamp moves.
struct level_range {
  int low, high, step;
};
template <quantizer Q>
inline constexpr level_range levels_of{Q::min_level, Q::max_level, level_step<Q>};

/// grad_in[i] = grad_out[i] where rounding alone gives a level (`within_levels`), else 0. The two
/// may be the same memory.
EDGERAZOR_FUNCTION void pass_within_levels(level_range levels, std::span<const float> weights,
                                           float scale, const float* grad_out,
                                           float* grad_in) noexcept;

/// `learned_step_gradient` of a policy whose levels follow a rule.
[[nodiscard]] EDGERAZOR_FUNCTION double rule_step_gradient(const level_rule& rule,
                                                           level_range levels,
                                                           std::span<const float> weights,
                                                           float scale, const float* grad_out,
                                                           float* grad_in) noexcept;

/// codes[i] = level of weights[i] at a given scale, plus `zero_code`.
template <quantizer Q>
void quantize_codes(const float* weights, std::size_t count, float scale, int zero_code,
                    std::uint8_t* codes) noexcept {
  if constexpr (has_level_rule<Q>) {
    rule_codes(Q::levels, {weights, count}, scale, zero_code, codes);
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

/// out[i] = level(values[i]) * scale, for values that may lie exactly where out does.
template <quantizer Q, real_element U>
void write_values(const float* values, std::size_t count, float scale, U* out) noexcept {
  const float unit = value_scale<Q>(scale);
  if constexpr (has_level_rule<Q>) {
    rule_values(Q::levels, {values, count}, scale, unit, out);
  } else {
    for (std::size_t i = 0; i < count; ++i)
      out[i] = U{static_cast<float>(Q::level(values[i], scale)) * unit};
  }
}

/// One weight of a learned scale's gradient: writes the weight's own gradient and returns d.
///
/// Outside (n, p) the clamp makes the level n or p itself, so d = level - (v inside, 0 outside)
/// everywhere.
[[nodiscard]] inline float step_slope(float position, int level, level_range levels, float g,
                                      float& grad_in) noexcept {
  const bool inside =
      position > static_cast<float>(levels.low) && position < static_cast<float>(levels.high);
  grad_in = inside ? g : 0.0f;
  return static_cast<float>(level) - (inside ? position : 0.0f);
}

/// Sum of g * d. A product of two floats is exact in double; sixteen sums (column modulo 16), added
/// in order, give the same bits whatever the vectors' length.
struct slope_sums {
  static constexpr std::size_t width = 16;
  double sums[width] = {};

  void add(std::size_t i, float g, float slope) noexcept {
    sums[i % width] += static_cast<double>(g) * static_cast<double>(slope);
  }
  [[nodiscard]] double total() const noexcept {
    double sum = 0;
    for (const double s : sums) sum += s;
    return sum;
  }
};

/// Learned step size: writes the weights' gradients of one group (which may lie where grad_out
/// does) and returns sum of g * d.
template <quantizer Q>
[[nodiscard]] double learned_step_gradient(std::span<const float> weights, float scale,
                                           const float* grad_out, float* grad_in) noexcept {
  if constexpr (has_level_rule<Q>) {
    return rule_step_gradient(Q::levels, levels_of<Q>, weights, scale, grad_out, grad_in);
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

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/policy/group_loops_impl.hpp>
#endif
