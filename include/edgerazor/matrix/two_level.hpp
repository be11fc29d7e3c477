// SPDX-License-Identifier: Apache-2.0
/// Two-level statistics: the scales, or the zeros, that the 16 rows of a tile have in a group
/// become codes of 3 bits under two float16 numbers.
///
/// With the 16 numbers v (fewer in the last tile), lo = min(v), hi = max(v), all in float:
///
///     unit = float16(max((hi - lo) / 7, max|v| / 1024, 2^-24))        zero = float16(-lo / unit)
///     code = clamp(round_half_even(v / unit + zero), 0, 7)            v' = unit * (code - zero)
///
/// That is SpQR's second level (arXiv 2306.03078), except that its unit is rounded before the zero
/// is made of it, so that the smallest number stays, and that numbers near each other get a unit
/// whose zero a float16 holds. Numbers that are all one v have unit |v|, zero 1 where v < 0, else
/// 0; zeros stay zeros.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/tile_layout.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
/// One column of at most 16 numbers, as it is stored.
struct two_level_fit {
  float16 unit{}, zero{};
  std::array<std::uint8_t, tile_rows> codes{};

  /// Of the rows of `numbers`, which are a tile's; in column g.
  two_level_fit(const matrix_view<const float>& numbers, std::size_t g) noexcept {
    float low = numbers.row(0)[g], high = low;
    for (std::size_t r = 1; r < numbers.rows; ++r) {
      const float v = numbers.row(r)[g];
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    const float largest = std::max(high, -low);
    constexpr float least = 0x1p-24f;
    if (low == high) {
      unit = float16{std::max(largest, least)};
      zero = float16{low < 0 ? 1.0f : 0.0f};
    } else {
      constexpr float top = two_level_codes - 1;
      unit = float16{std::max({core::quotient(high - low, top), largest / 1024, least})};
      zero = float16{-core::quotient(low, float{unit})};
    }
    for (std::size_t r = 0; r < numbers.rows; ++r) {
      const float place = core::quotient(numbers.row(r)[g], float{unit}) + float{zero};
      codes[r] = static_cast<std::uint8_t>(policy::round_between(place, 0, two_level_codes - 1));
    }
  }
  [[nodiscard]] float value(std::size_t r) const noexcept {
    return policy::value_of<zero_kind::point>(codes[r], unit, zero);
  }
};
}  // namespace detail::matrix

/// Replaces scales, or zeros, by what a format with two levels keeps of them: `numbers` are all
/// rows of a matrix by its groups. `pack_levels`, given the numbers before, stores these. A number
/// that is not finite makes those of its tile and group of no use; `pack_levels` refuses it.
inline void round_to_two_levels(matrix_view<float> numbers) noexcept {
  for (std::size_t tile = 0; tile < numbers.rows; tile += tile_rows) {
    const matrix_view<float> rows =
        numbers.rows_between(tile, std::min(tile + tile_rows, numbers.rows));
    for (std::size_t g = 0; g < numbers.cols; ++g) {
      const detail::matrix::two_level_fit fit(rows, g);
      for (std::size_t r = 0; r < rows.rows; ++r) rows.row(r)[g] = fit.value(r);
    }
  }
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
