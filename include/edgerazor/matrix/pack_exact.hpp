// SPDX-License-Identifier: Apache-2.0
/// Packing values that already lie on a grid, without quantizing them again.
///
/// A checkpoint of EdgeRazor (Python) holds fake-quantized numbers. Quantizing those once more
/// keeps ternary codes but shrinks the scale (by twice the density of nonzeros), so it must not be
/// done. `pack_exact` finds for each group a scale s of the stored type and levels q with `value ==
/// float(q) * s` for every element, bit for bit, or refuses.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <xsimd/xsimd.hpp>

#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/lanes.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/vector_group.hpp>

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
  return {middle, round_scale(middle + step * 1.01f, kind),
          round_scale(middle - step * 1.01f, kind)};
}

/// codes[i] = the level q with group[i] == float(q) * scale, plus `zero_code`. Returns the index of
/// the first element that has none among Low, Low + Step, ..., High, the size where all have one;
/// codes from that element's vector on are not written.
///
/// The quotient of such an element is within a unit in the last place of its level, so rounding
/// finds that; clamping changes no element that has a level, and gives none to another.
template <int Low, int High, int Step>
inline std::size_t put_exact_codes(std::span<const float> group, float scale, int zero_code,
                                   std::uint8_t* codes) noexcept {
  using reals = xsimd::batch<float>;
  constexpr std::size_t step = reals::size < 16 ? 16 : reals::size;
  std::size_t i = 0;
  for (; i + step <= group.size(); i += step) {
    std::int32_t levels[step];
    bool exact = true;
    for (std::size_t j = 0; j < step; j += reals::size) {
      const reals values = reals::load_unaligned(group.data() + i + j);
      const auto level = policy::round_lanes<Low, High>(values / reals{scale});
      exact = exact && xsimd::all(xsimd::to_float(level) * reals{scale} == values);
      if constexpr (Step == 2) exact = exact && xsimd::all(((level - Low) & 1) == 0);
      level.store_unaligned(levels + j);
    }
    if (!exact) break;
    for (std::size_t j = 0; j < step; ++j)
      codes[i + j] = static_cast<std::uint8_t>(levels[j] + zero_code);
  }
  for (; i < group.size(); ++i) {
    const int level = round_to_level<Low, High>(group[i] / scale);
    if (static_cast<float>(level) * scale != group[i] || (level - Low) % Step != 0) return i;
    codes[i] = static_cast<std::uint8_t>(level + zero_code);
  }
  return i;
}

struct exact_scale {
  float scale = 0;
  std::size_t off_grid =
      0;  ///< first element that no candidate explains; the group's size where one explains all
};

/// The largest-magnitude element has some level k; every k is tried from the largest down, so the
/// coarsest grid wins. Codes are written by that grid, or are of no use.
template <int Low, int High, int Step>
inline exact_scale find_exact_scale(std::span<const float> group, scale_kind kind, int zero_code,
                                    std::uint8_t* codes) noexcept {
  const float largest = max_magnitude(policy::vector_group<xsimd::default_arch>{group});
  if (largest == 0) {
    // Any level times a scale of zero; without a level zero the one above it.
    std::fill_n(codes, group.size(), static_cast<std::uint8_t>(zero_code + (Step == 2 ? 1 : 0)));
    return {0, group.size()};
  }
  exact_scale best;
  static_assert(Step == 1 || Step == 2);
  for (int k = std::max(High, -Low); k >= 1; k -= Step) {
    for (const float scale : scale_candidates(largest / static_cast<float>(k), kind)) {
      if (!(scale > 0) || scale > largest_scale(kind)) continue;
      const std::size_t off_grid = put_exact_codes<Low, High, Step>(group, scale, zero_code, codes);
      if (off_grid == group.size()) return {scale, off_grid};
      if (off_grid >= best.off_grid) best = {scale, off_grid};
    }
  }
  return best;
}
}  // namespace detail::matrix

/// Packs a fake-quantized matrix without loss: `dequantize` gives every element back, bit for bit.
/// Fails, naming the first element that fits no grid of its group, where that can't be (a scale
/// that the policy's scale type can't hold included). Which of two grids that both explain a group
/// is taken (levels 2, 4, 6 or 1, 2, 3) is not defined; the values are.
template <quantizer Policy, class Codec = default_codec<Policy>, real_element T>
[[nodiscard]] packed_matrix<Policy, Codec> pack_exact(matrix_view<T> values) {
  packed_matrix<Policy, Codec> result(values.rows, values.cols);
  const tile_layout layout = result.view().layout();
  detail::policy::check_finite(values, {0, values.rows}, "pack_exact");
  std::vector<float> buffer;
  detail::matrix::row_codes codes(layout);
  for (std::size_t r = 0; r < values.rows; ++r) {
    const float* const row = detail::matrix::as_floats(values.row(r).data(), values.cols, buffer);
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t begin = g * layout.group_cols(),
                        count = std::min(layout.group_cols(), values.cols - begin);
      const detail::matrix::exact_scale found =
          detail::matrix::find_exact_scale<Policy::min_level, Policy::max_level,
                                           detail::policy::level_step<Policy>>(
              std::span{row + begin, count}, layout.fmt().scale, layout.codec().zero_code,
              codes.at(begin));
      if (found.off_grid != count) {
        detail::core::fail("pack_exact: the element at row " + std::to_string(r) + ", column " +
                           std::to_string(begin + found.off_grid) + " lies on no " +
                           layout.fmt().name() + " grid of its group");
      }
      detail::matrix::write_scale(result.storage().data() + layout.scale_offset(r, g),
                                  layout.fmt().scale, found.scale);
    }
    codes.write(result.storage().data(), r);
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
