// SPDX-License-Identifier: Apache-2.0
/// The grid that weights are rounded to: which levels there are, how many columns share a scale and
/// a zero, and how those two are stored.
///
///     value = scale * (level - zero)
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The zero of a group: none (level 0 is the value 0), an integer (a level is the value 0), or any
/// real number (no level need be).
enum class group_zero : std::uint8_t { none, real, integer };

namespace detail::calibrate {
/// clamp(round_half_even(x), low, high); NaN gives low. Clamping comes first, and the addition
/// rounds, as `round_to_level` says.
[[nodiscard]] constexpr int nearest_integer(double x, int low, int high) noexcept {
  constexpr double shift = 0x1.8p52;
  const double least = low, most = high;
  const double above = x > least ? x : least;
  const double clamped = above < most ? above : most;
  return static_cast<int>(std::bit_cast<std::int64_t>(clamped + shift) -
                          std::bit_cast<std::int64_t>(shift));
}

/// By the bits, as `policy::is_finite`.
[[nodiscard]] inline bool is_finite(double x) noexcept {
  return (std::bit_cast<std::uint64_t>(x) & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

/// The number that storage of that kind gives back; the largest finite one in place of infinity.
[[nodiscard]] inline float as_stored(float x, scale_kind kind) noexcept {
  const float largest = largest_scale(kind);
  const float finite = x > largest ? largest : x < -largest ? -largest : x;
  switch (kind) {
    case scale_kind::float16:
      return float16{finite};
    case scale_kind::bfloat16: {
      const float rounded = bfloat16{finite};
      return policy::is_finite(rounded) ? rounded : finite > 0 ? largest : -largest;
    }
    case scale_kind::float32:
      break;
  }
  return finite;
}
}  // namespace detail::calibrate

/// Levels min_level, min_level + level_step, ..., max_level; groups of `group` consecutive columns
/// of a row, the last of which holds those that are left.
///
/// A matrix without zero has signed levels; one with a zero has the codes 0 ... 2^bits - 1.
struct level_grid {
  int min_level = -7;
  int max_level = 7;
  group_zero zero = group_zero::none;
  std::size_t group = 32;  ///< columns; 0: the whole row
  /// Scales and real zeros are rounded to it before levels are chosen, so that an error is that of
  /// what is stored. Not given: they stay floats.
  std::optional<scale_kind> storage{};
  int level_step = 1;  ///< 2 for levels -1 and 1

  /// -m ... m with m = 2^(bits - 1) - 1, without zero; 1 bit: -1 and 1.
  [[nodiscard]] static constexpr level_grid symmetric(
      int bits, std::size_t columns, std::optional<scale_kind> kind = {}) noexcept {
    const int largest = bits == 1 ? 1 : (1 << (bits - 1)) - 1;
    return {-largest, largest, group_zero::none, columns, kind, bits == 1 ? 2 : 1};
  }
  /// 0 ... 2^bits - 1, with a zero.
  [[nodiscard]] static constexpr level_grid with_zero(
      int bits, std::size_t columns, group_zero kind_of_zero = group_zero::real,
      std::optional<scale_kind> kind = {}) noexcept {
    return {0, (1 << bits) - 1, kind_of_zero, columns, kind};
  }
  /// The levels, groups and storage of a policy.
  template <row_quantizer Policy>
  [[nodiscard]] static constexpr level_grid of() noexcept {
    return {Policy::min_level,
            Policy::max_level,
            group_zero::none,
            Policy::granularity::group,
            scale_kind_of<typename Policy::scale_type>,
            detail::policy::level_step<Policy>};
  }

  [[nodiscard]] constexpr bool has_zero() const noexcept { return zero != group_zero::none; }
  /// Columns of a group, the last one of a row apart.
  [[nodiscard]] constexpr std::size_t group_columns(std::size_t cols) const noexcept {
    return group == 0 ? cols : group;
  }
  /// Groups of a row of so many columns.
  [[nodiscard]] constexpr std::size_t groups(std::size_t cols) const noexcept {
    if (cols == 0) return 0;
    const std::size_t columns = group_columns(cols);
    return cols / columns + (cols % columns != 0);
  }

  /// The numbers that storage gives back. An integer zero is one of the levels, none is 0.
  [[nodiscard]] group_fit stored(group_fit fit) const noexcept {
    if (zero == group_zero::none) fit.zero = 0;
    if (zero == group_zero::integer) {
      fit.zero =
          static_cast<float>(detail::calibrate::nearest_integer(fit.zero, min_level, max_level));
    }
    if (storage) {
      fit.scale = detail::calibrate::as_stored(fit.scale, *storage);
      if (zero == group_zero::real) fit.zero = detail::calibrate::as_stored(fit.zero, *storage);
    }
    return fit;
  }

  /// The level nearest to a weight:
  ///
  ///     real zero or none    clamp(round_half_even(w / scale + zero), min_level, max_level)
  ///     integer zero         clamp(round_half_even(w / scale) + zero, min_level, max_level)
  ///     steps above 1        the nearest of them, of two the larger
  ///
  /// A scale of 0 gives the level nearest to the zero.
  [[nodiscard]] int level(double weight, group_fit fit) const noexcept {
    using detail::calibrate::nearest_integer;
    const double position = fit.scale != 0 ? weight / static_cast<double>(fit.scale) : 0.0;
    if (level_step != 1) {
      const double steps = (position + static_cast<double>(fit.zero) - min_level) / level_step;
      const int last = (max_level - min_level) / level_step;
      int below = nearest_integer(steps, 0, last);  // a tie may have gone down
      if (below < last && steps - below >= 0.5) ++below;
      return min_level + level_step * below;
    }
    if (zero == group_zero::integer) {
      const int shift = static_cast<int>(fit.zero);
      return nearest_integer(position, min_level - shift, max_level - shift) + shift;
    }
    return nearest_integer(position + static_cast<double>(fit.zero), min_level, max_level);
  }

  [[nodiscard]] static constexpr double value(int level, group_fit fit) noexcept {
    return static_cast<double>(fit.scale) * (level - static_cast<double>(fit.zero));
  }

  friend constexpr bool operator==(const level_grid&, const level_grid&) = default;
};

/// A rule that fits a group: called as fit(weights, importance, grid), where importance has one
/// number of at least 0 for each weight, or is empty: all count alike. Its numbers are stored as
/// the grid says by whoever asked. `weights` is not empty and finite; rules throw nothing and
/// allocate nothing.
template <class Fit>
concept group_fitter =
    requires(const Fit& fit, std::span<const float> numbers, const level_grid& grid) {
      { fit(numbers, numbers, grid) } noexcept -> std::same_as<group_fit>;
    };

namespace detail::calibrate {
/// Fails where the grid has no two levels, or more than 16 bits of them.
inline void check_grid(const level_grid& grid, const char* function) {
  if (grid.level_step < 1 || grid.min_level >= grid.max_level || grid.min_level < -32768 ||
      grid.max_level > 32767 || (grid.max_level - grid.min_level) % grid.level_step != 0) {
    core::fail(std::string{function} + ": levels " + std::to_string(grid.min_level) + " to " +
               std::to_string(grid.max_level) + " in steps of " + std::to_string(grid.level_step) +
               ": expected two levels or more, of 16 bits");
  }
  if (grid.zero == group_zero::none && (grid.min_level > 0 || grid.max_level < 1)) {
    core::fail(std::string{function} + ": levels " + std::to_string(grid.min_level) + " to " +
               std::to_string(grid.max_level) +
               ": expected some on both sides of 0 where groups have no zero");
  }
}
}  // namespace detail::calibrate

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
