// SPDX-License-Identifier: Apache-2.0
/// The search for the scale of a group of exact multiples, which pack_exact.hpp declares.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/pack_exact.hpp>
#include <edgerazor/policy/loops.hpp>

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

EDGERAZOR_FUNCTION exact_scale find_exact_scale(policy::level_range grid,
                                                std::span<const float> group, scale_kind kind,
                                                int zero_code, std::uint8_t* codes) noexcept {
  const policy::loops& loops = policy::best_loops();
  const float largest = std::bit_cast<float>(loops.largest_bits(group.data(), group.size()));
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
      const std::size_t off_grid =
          loops.exact_codes(grid, scale, zero_code, group.data(), group.size(), codes);
      if (off_grid == group.size()) return {scale, off_grid};
      if (off_grid >= best.off_grid) best = {scale, off_grid};
    }
  }
  return best;
}

}  // namespace detail::matrix
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
