// SPDX-License-Identifier: Apache-2.0
/// The loops over the weights of a group as functions of a table, one table for each instruction
/// set: chosen when the program runs, whatever flags it was built with. All give the bits of the
/// plain functions that the comments name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// Levels low, low + step, ... high, as they decide which weights the clamp moves.
struct level_range {
  int low, high, step;
};

/// What a level is multiplied by, and what is taken from it first or added at last; each operation
/// rounds once (`value_of`).
///
///     add_last false    (level - zero) * unit
///     add_last true     level * unit + zero
struct value_line {
  float unit;
  float zero = 0;
  bool add_last = false;
};

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
    for (const double s : sums) sum = core::ordered(sum + s);
    return sum;
  }
};

/// `count` elements in each; where values go, they may lie exactly where they come from.
struct loops {
  std::string_view name;
  bool (*supported)() noexcept;

  /// Largest of the magnitudes' bits (magnitude.hpp); 0 for no elements. The second is for the bits
  /// of both 16-bit types.
  std::int32_t (*largest_bits)(const float* values, std::size_t count) noexcept;
  std::int32_t (*largest_half_bits)(const std::uint16_t* bits, std::size_t count) noexcept;
  /// Whether all magnitudes are below a limit, which is positive and may be infinity.
  bool (*all_below)(const float* values, std::size_t count, float limit) noexcept;
  /// `max_value`; precondition: count > 0.
  float (*max_value)(const float* values, std::size_t count) noexcept;
  /// Of several zeros the first. Precondition: count > 0, no NaN.
  value_range (*range)(const float* values, std::size_t count) noexcept;
  /// `mean_magnitude`; precondition: count > 0.
  float (*mean_magnitude)(const float* values, std::size_t count) noexcept;

  /// codes[i] = line(values[i]), as a byte.
  void (*codes)(const level_line& line, const float* values, std::size_t count,
                std::uint8_t* codes) noexcept;
  /// out[i] = the value of line(values[i]), rounded to the type of `out`.
  void (*values)(const level_line& line, const value_line& value, const float* values,
                 std::size_t count, float* out) noexcept;
  void (*values_float16)(const level_line& line, const value_line& value, const float* values,
                         std::size_t count, float16* out) noexcept;
  void (*values_bfloat16)(const level_line& line, const value_line& value, const float* values,
                          std::size_t count, bfloat16* out) noexcept;
  /// codes[i] = the level q in [low, high] with values[i] == float(q) * scale, plus `zero_code`.
  /// Returns the index of the first element that has none, `count` where all have one; codes from
  /// its block of 16 on are not written, or not all. Precondition: scale > 0.
  std::size_t (*exact_codes)(level_range levels, float scale, int zero_code, const float* values,
                             std::size_t count, std::uint8_t* codes) noexcept;
  /// grad_in[i] = grad_out[i] where `within_levels`, else 0.
  void (*pass_within)(level_range levels, float scale, const float* values, std::size_t count,
                      const float* grad_out, float* grad_in) noexcept;
  /// `learned_step_gradient`.
  double (*step_gradient)(const level_line& line, level_range levels, const float* values,
                          std::size_t count, const float* grad_out, float* grad_in) noexcept;

  /// core::convert_elements, from 16 bits and to them.
  void (*from_float16)(const float16* in, std::size_t count, float* out) noexcept;
  void (*from_bfloat16)(const bfloat16* in, std::size_t count, float* out) noexcept;
  void (*to_float16)(const float* in, std::size_t count, float16* out) noexcept;
  void (*to_bfloat16)(const float* in, std::size_t count, bfloat16* out) noexcept;
};

/// The tables that this processor can run, fastest first; the last runs everywhere.
[[nodiscard]] EDGERAZOR_FUNCTION std::span<const loops* const> available_loops() noexcept;

/// The fastest of them.
[[nodiscard]] EDGERAZOR_FUNCTION const loops& best_loops() noexcept;

/// `core::convert_elements`, by the fastest loops: for groups.hpp, which knows none.
struct fast_conversion {
  template <real_element From, real_element To>
  void operator()(const From* in, std::size_t count, To* out) const noexcept {
    if constexpr (std::is_same_v<From, float16> && std::is_same_v<To, float>) {
      best_loops().from_float16(in, count, out);
    } else if constexpr (std::is_same_v<From, bfloat16> && std::is_same_v<To, float>) {
      best_loops().from_bfloat16(in, count, out);
    } else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, float16>) {
      best_loops().to_float16(in, count, out);
    } else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, bfloat16>) {
      best_loops().to_bfloat16(in, count, out);
    } else {
      core::convert_elements(in, count, out);
    }
  }
};

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/policy/loops_impl.hpp>
#endif
