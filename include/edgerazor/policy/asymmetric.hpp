// SPDX-License-Identifier: Apache-2.0
/// Grids that are not symmetric: integers with a zero of the group, and 4-bit integers that favour
/// the positive side.
#pragma once

#include <algorithm>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How the zero of a group follows from its smallest and largest weight.
enum class zero_rule {
  real,     ///< any number (SpQR's and HQQ's start)
  integer,  ///< a code, so that 0 has a code (GPTQ, AWQ)
  minimum   ///< the smallest weight itself (GGUF's Q4_1)
};

/// 2^Bits codes from a group's minimum to its maximum. With lo = min(w), hi = max(w), n = 2^Bits -
/// 1:
///
///     real       s = (hi - lo) / n                            z = -lo / s
///                code = clamp(round_half_even(w / s + z), 0, n)           value = s * (code - z)
///     integer    the same with min(lo, 0), max(hi, 0) and     z = round_half_even(-lo / s)
///                code = clamp(round_half_even(w / s) + z, 0, n)
///     minimum    s = (hi - lo) / n                            m = lo
///                code = clamp(round_half_even((w - m) / s), 0, n)         value = s * code + m
///
/// s is at least `epsilon`, and for a real zero at least max|w| / `largest_zero`: a group far from
/// 0 for its width would need a zero that a float16 does not hold. A group of one value v has, with
/// a real zero, s = max(|v|, epsilon) and z = 1 where v < 0, else 0, so that v is a value; with a
/// minimum it has m = v; a group of zeros becomes zeros by every rule.
///
/// Codes follow from s and z as they are here; storing rounds both to `Scale`.
template <int Bits, granularity_policy Granularity = per_group<256>, real_element Scale = float16,
          zero_rule Rule = zero_rule::real>
struct asymmetric {
  static_assert(Bits >= 2 && Bits <= 8, "asymmetric: expected 2 to 8 bits");
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int bits = Bits;
  static constexpr int max_code = (1 << Bits) - 1;
  static constexpr zero_kind zero =
      Rule == zero_rule::minimum ? zero_kind::minimum : zero_kind::point;
  static constexpr bool has_integer_zero = Rule == zero_rule::integer;
  static constexpr float largest_zero = 1024;  ///< float16 holds it to half a code

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] group_fit fit(const Group& group) const noexcept {
    using detail::core::quotient, detail::policy::range_of;
    auto [low, high] = range_of(group);
    if constexpr (Rule == zero_rule::real) {
      if (low == high) return {std::max(std::max(low, -low), epsilon), low < 0 ? 1.0f : 0.0f};
    }
    if constexpr (Rule == zero_rule::integer) {
      low = std::min(low, 0.0f);
      high = std::max(high, 0.0f);
    }
    float scale = std::max(quotient(high - low, static_cast<float>(max_code)), epsilon);
    if constexpr (Rule == zero_rule::minimum) return {scale, low};
    if constexpr (Rule == zero_rule::real)
      scale = std::max(scale, quotient(std::max(high, -low), largest_zero));
    const float place = -quotient(low, scale);
    if constexpr (Rule == zero_rule::real) return {scale, place};
    return {scale, static_cast<float>(detail::policy::round_between(place, 0, max_code))};
  }
  [[nodiscard]] static int code(float weight, const group_fit& fit) noexcept {
    return code_line(fit)(weight);
  }
  /// By which rule codes follow, so that a group has vector loops.
  [[nodiscard]] static detail::policy::level_line code_line(const group_fit& fit) noexcept {
    if constexpr (Rule == zero_rule::minimum) {
      return {.less = fit.zero, .scale = fit.scale, .high = max_code};
    } else if constexpr (Rule == zero_rule::integer) {
      return {.scale = fit.scale,
              .low = -fit.zero,
              .high = max_code - fit.zero,
              .add = static_cast<int>(fit.zero)};
    } else {
      return {.scale = fit.scale, .more = fit.zero, .high = max_code};
    }
  }
};

/// Integers [-8, 7] * s, the largest weight on level 7 (EdgeRazor (Python)
/// weight_quant_uniform_asymmetric_max_..._int4).
///
///     m = max(w);  m = max|w| where m < 0        s = max(m / 7, epsilon)
///     level = clamp(round_half_even(w / s + 8), 0, 15) - 8
///
/// Weights below -8/7 m are clipped. A group of negative weights takes its own max|w|
/// (EdgeRazor (Python) fails where a matrix mixes such groups with others). The 8 is added before
/// rounding, as there: the float sum keeps fewer bits than w / s has, so a ratio just below 1.5
/// becomes the tie 9.5, and level 2.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct int4_asymmetric {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int min_level = -8;
  static constexpr int max_level = 7;
  static constexpr level_rule levels{min_level, max_level, -min_level};

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    const float largest = max_value(group);
    return std::max(detail::core::quotient(largest < 0 ? max_magnitude(group) : largest, 7.0f),
                    epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return levels(weight, scale);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
