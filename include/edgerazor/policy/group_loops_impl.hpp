// SPDX-License-Identifier: Apache-2.0
/// What group_loops.hpp declares, by vectors; the last weights of a group one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/levels.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

using real_lanes = xsimd::batch<float>;
using level_lanes = xsimd::batch<std::int32_t>;
/// Weights whose codes or 16-bit values are converted at once.
inline constexpr std::size_t lanes_at_once = real_lanes::size < 16 ? 16 : real_lanes::size;

/// clamp(round_half_even(x), low, high) in every lane; NaN gives low. See `round_to_level`.
[[nodiscard]] EDGERAZOR_INLINE level_lanes round_lanes(const real_lanes& x, const real_lanes& low,
                                                       const real_lanes& high) noexcept {
  const real_lanes shift{12582912.0f};
  // x where x > low, else low, so also where x is NaN: on x86 its one instruction for a maximum;
  // other machines, and vectors that are emulated (arrays), give NaN or the number there.
  real_lanes above = x;
  if constexpr (EDGERAZOR_X86 != 0 && is_register<xsimd::default_arch>) {
    above = xsimd::max(x, low);
  } else {
    above = xsimd::select(x > low, x, low);
  }
  return xsimd::bitwise_cast<std::int32_t>(xsimd::min(above, high) + shift) -
         xsimd::bitwise_cast<std::int32_t>(shift);
}

/// The levels of a rule for one scale. Each kind of rule is a type of its own, so that loops hold
/// no question.
struct rounded_lanes {
  real_lanes scale, low, high;

  EDGERAZOR_INLINE rounded_lanes(const level_rule& rule, float group_scale) noexcept
      : scale(group_scale),
        low(static_cast<float>(rule.min_level)),
        high(static_cast<float>(rule.max_level)) {}
  EDGERAZOR_INLINE level_lanes operator()(const real_lanes& weights) const noexcept {
    return round_lanes(quotient(weights, scale), low, high);
  }
};
struct offset_lanes {
  real_lanes scale, offset, low, high;
  level_lanes whole_offset;

  EDGERAZOR_INLINE offset_lanes(const level_rule& rule, float group_scale) noexcept
      : scale(group_scale),
        offset(static_cast<float>(rule.offset)),
        low(static_cast<float>(rule.min_level + rule.offset)),
        high(static_cast<float>(rule.max_level + rule.offset)),
        whole_offset(rule.offset) {}
  EDGERAZOR_INLINE level_lanes operator()(const real_lanes& weights) const noexcept {
    return round_lanes(quotient(weights, scale) + offset, low, high) - whole_offset;
  }
};
struct sign_lanes {
  EDGERAZOR_INLINE sign_lanes(const level_rule&, float) noexcept {}
  EDGERAZOR_INLINE level_lanes operator()(const real_lanes& weights) const noexcept {
    const level_lanes zero{0};
    return xsimd::select(zero - xsimd::bitwise_cast<std::int32_t>(weights) > zero, level_lanes{-1},
                         level_lanes{1});
  }
};

/// use(levels of vectors) for the kind of rule.
template <class Use>
EDGERAZOR_INLINE auto with_lanes(const level_rule& rule, float scale, const Use& use) noexcept {
  if (rule.by_sign) return use(sign_lanes(rule, scale));
  if (rule.offset != 0) return use(offset_lanes(rule, scale));
  return use(rounded_lanes(rule, scale));
}

/// The codes of whole vectors from weight i on, Count weights at once; returns where it ended. By
/// value throughout: a byte that is written may be any object that something points to.
template <std::size_t Count, class Level>
[[nodiscard]] EDGERAZOR_INLINE std::size_t write_codes(const Level level,
                                                       const std::span<const float> weights,
                                                       std::size_t i, const level_lanes zero_codes,
                                                       std::uint8_t* const codes) noexcept {
  for (; i + Count <= weights.size(); i += Count) {
    std::int32_t wide[Count];
    EDGERAZOR_UNROLL
    for (std::size_t j = 0; j < Count; j += real_lanes::size) {
      (level(real_lanes::load_unaligned(weights.data() + i + j)) + zero_codes)
          .store_unaligned(wide + j);
    }
    for (std::size_t j = 0; j < Count; ++j) codes[i + j] = static_cast<std::uint8_t>(wide[j]);
  }
  return i;
}

EDGERAZOR_FUNCTION void rule_codes(const level_rule& rule, std::span<const float> weights,
                                   float scale, int zero_code, std::uint8_t* codes) noexcept {
  const std::size_t done = with_lanes(rule, scale, [=](const auto& level) {
    const level_lanes zero_codes{zero_code};
    const std::size_t most = write_codes<lanes_at_once>(level, weights, 0, zero_codes, codes);
    return write_codes<real_lanes::size>(level, weights, most, zero_codes, codes);
  });
  for (std::size_t i = done; i < weights.size(); ++i)
    codes[i] = static_cast<std::uint8_t>(rule(weights[i], scale) + zero_code);
}

template <real_element U>
void rule_values_of(const level_rule& rule, std::span<const float> values, float scale, float unit,
                    U* out) noexcept {
  with_lanes(rule, scale, [&](const auto& level) {
    constexpr bool plain = std::is_same_v<U, float>;
    constexpr std::size_t step = plain ? real_lanes::size : lanes_at_once;
    const real_lanes units{unit};
    std::size_t i = 0;
    for (; i + step <= values.size(); i += step) {
      float block[step];
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < step; j += real_lanes::size) {
        const real_lanes quantized =
            xsimd::to_float(level(real_lanes::load_unaligned(values.data() + i + j))) * units;
        if constexpr (plain) {
          quantized.store_unaligned(out + i);
        } else {
          quantized.store_unaligned(block + j);
        }
      }
      if constexpr (!plain) core::convert_elements(block, step, out + i);
    }
    for (; i < values.size(); ++i) out[i] = U{static_cast<float>(rule(values[i], scale)) * unit};
  });
}

EDGERAZOR_FUNCTION void rule_values(const level_rule& rule, std::span<const float> values,
                                    float scale, float unit, float* out) noexcept {
  rule_values_of(rule, values, scale, unit, out);
}
EDGERAZOR_FUNCTION void rule_values(const level_rule& rule, std::span<const float> values,
                                    float scale, float unit, float16* out) noexcept {
  rule_values_of(rule, values, scale, unit, out);
}
EDGERAZOR_FUNCTION void rule_values(const level_rule& rule, std::span<const float> values,
                                    float scale, float unit, bfloat16* out) noexcept {
  rule_values_of(rule, values, scale, unit, out);
}

EDGERAZOR_FUNCTION void pass_within_levels(level_range levels, std::span<const float> weights,
                                           float scale, const float* grad_out,
                                           float* grad_in) noexcept {
  const bool rounds = levels.step == 1;
  const int half = levels.step / 2;
  const real_lanes scales{scale}, zero{0.0f};
  const real_lanes least{static_cast<float>(levels.low - half)},
      most{static_cast<float>(levels.high + half)};
  const real_lanes below{static_cast<float>(levels.low - 1)},
      above{static_cast<float>(levels.high + 1)};
  const std::size_t whole = weights.size() - weights.size() % real_lanes::size;
  const auto loop = [&](const auto& rounded) {
    for (std::size_t i = 0; i < whole; i += real_lanes::size) {
      const real_lanes position =
          rounded(quotient(real_lanes::load_unaligned(weights.data() + i), scales));
      const auto inside = (position >= least) & (position <= most);
      xsimd::select(inside, real_lanes::load_unaligned(grad_out + i), zero)
          .store_unaligned(grad_in + i);
    }
  };
  if (rounds) {
    loop([&](const real_lanes& x) { return xsimd::to_float(round_lanes(x, below, above)); });
  } else {
    loop([](const real_lanes& x) { return x; });
  }
  for (std::size_t i = whole; i < weights.size(); ++i) {
    const bool inside = within_levels(weights[i], scale, levels.low, levels.high, levels.step);
    grad_in[i] = inside ? grad_out[i] : 0.0f;
  }
}

EDGERAZOR_FUNCTION double rule_step_gradient(const level_rule& rule, level_range levels,
                                             std::span<const float> weights, float scale,
                                             const float* grad_out, float* grad_in) noexcept {
  constexpr std::size_t width = slope_sums::width;
  static_assert(width % real_lanes::size == 0);
  return with_lanes(rule, scale, [=, &rule](const auto& level) {
    const real_lanes scales{scale}, zero{0.0f}, low{static_cast<float>(levels.low)},
        high{static_cast<float>(levels.high)};
    slope_sums sums;
    std::size_t i = 0;
    for (; i + width <= weights.size(); i += width) {
      float gradients[width], slopes[width];
      for (std::size_t j = 0; j < width; j += real_lanes::size) {
        const real_lanes w = real_lanes::load_unaligned(weights.data() + i + j),
                         g = real_lanes::load_unaligned(grad_out + i + j), v = quotient(w, scales);
        const auto inside = (v > low) & (v < high);
        g.store_unaligned(gradients + j);
        (xsimd::to_float(level(w)) - xsimd::select(inside, v, zero)).store_unaligned(slopes + j);
        xsimd::select(inside, g, zero).store_unaligned(grad_in + i + j);
      }
      for (std::size_t j = 0; j < width; ++j) sums.add(j, gradients[j], slopes[j]);
    }
    for (; i < weights.size(); ++i) {
      const float g = grad_out[i];
      sums.add(i, g,
               step_slope(core::quotient(weights[i], scale), rule(weights[i], scale), levels, g,
                          grad_in[i]));
    }
    return sums.total();
  });
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
