// SPDX-License-Identifier: Apache-2.0
/// The search for the scale of a group of exact multiples, which pack_exact.hpp declares.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/pack_exact.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/group_loops_impl.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/magnitude.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// The neighbours of a stored scale, one unit in the last place away on either side, and itself.
inline std::array<float, 3> scale_candidates(float scale, scale_kind kind) noexcept {
  const float middle = round_scale(scale, kind);
  // An ulp of an 11-, 8- or 24-bit significand, at most; adding it moves to the next value or to
  // the one after.
  const float step = kind == scale_kind::float16    ? std::max(std::ldexp(middle, -11), 0x1p-25f)
                     : kind == scale_kind::bfloat16 ? std::ldexp(middle, -8)
                                                    : std::ldexp(middle, -24);
  return {middle, round_scale(middle + core::exact(step * 1.01f), kind),
          round_scale(middle - core::exact(step * 1.01f), kind)};
}

/// codes[i] = the level q with group[i] == float(q) * scale, plus `zero_code`. Returns the index of
/// the first element that has none on the grid, the size where all have one;
/// codes from that element's vector on are not written.
///
/// The quotient of such an element is within a unit in the last place of its level, so rounding
/// finds that; clamping changes no element that has a level, and gives none to another.
inline std::size_t put_exact_codes(policy::level_range grid, std::span<const float> group,
                                   float scale, int zero_code, std::uint8_t* codes) noexcept {
  using reals = xsimd::batch<float>;
  constexpr std::size_t step = reals::size < 16 ? 16 : reals::size;
  const reals low{static_cast<float>(grid.low)}, high{static_cast<float>(grid.high)};
  std::size_t i = 0;
  for (; i + step <= group.size(); i += step) {
    std::int32_t levels[step];
    bool exact = true;
    for (std::size_t j = 0; j < step; j += reals::size) {
      const reals values = reals::load_unaligned(group.data() + i + j);
      const auto level = policy::round_lanes(policy::quotient(values, reals{scale}), low, high);
      exact = exact && xsimd::all(xsimd::to_float(level) * reals{scale} == values);
      if (grid.step == 2) exact = exact && xsimd::all(((level - grid.low) & 1) == 0);
      level.store_unaligned(levels + j);
    }
    if (!exact) break;
    for (std::size_t j = 0; j < step; ++j)
      codes[i + j] = static_cast<std::uint8_t>(levels[j] + zero_code);
  }
  for (; i < group.size(); ++i) {
    const int level = policy::round_between(core::quotient(group[i], scale), grid.low, grid.high);
    if (static_cast<float>(level) * scale != group[i] || (level - grid.low) % grid.step != 0)
      return i;
    codes[i] = static_cast<std::uint8_t>(level + zero_code);
  }
  return i;
}

EDGERAZOR_FUNCTION exact_scale find_exact_scale(policy::level_range grid,
                                                std::span<const float> group, scale_kind kind,
                                                int zero_code, std::uint8_t* codes) noexcept {
  const float largest = max_magnitude(group);
  if (largest == 0) {
    // Any level times a scale of zero; without a level zero the one above it.
    std::fill_n(codes, group.size(),
                static_cast<std::uint8_t>(zero_code + (grid.step == 2 ? 1 : 0)));
    return {0, group.size()};
  }
  exact_scale best;
  for (int k = std::max(grid.high, -grid.low); k >= 1; k -= grid.step) {
    for (const float scale :
         scale_candidates(core::quotient(largest, static_cast<float>(k)), kind)) {
      if (!(scale > 0) || scale > largest_scale(kind)) continue;
      const std::size_t off_grid = put_exact_codes(grid, group, scale, zero_code, codes);
      if (off_grid == group.size()) return {scale, off_grid};
      if (off_grid >= best.off_grid) best = {scale, off_grid};
    }
  }
  return best;
}

}  // namespace detail::matrix
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
