/// Packing values that already lie on a grid, without quantizing them again.
///
/// A checkpoint of the reference holds fake-quantized numbers. Quantizing those once more keeps ternary codes but
/// shrinks the scale (by twice the density of nonzeros), so it must not be done. `pack_exact` finds for each group a
/// scale s of the stored type and levels q with `value == float(q) * s` for every element, bit for bit, or refuses.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/pack/packed_matrix.hpp>
#include <edgerazor/pack/row_codes.hpp>
#include <edgerazor/quant/finite.hpp>

namespace edgerazor::inline v0 {

namespace detail {

/// The neighbours of a stored scale, one unit in the last place away on either side, and itself.
inline std::array<float, 3> scale_candidates(float scale, scale_kind kind) noexcept {
  const float middle = round_scale(scale, kind);
  // An ulp of an 11-, 8- or 24-bit significand, at most; adding it moves to the next value or to the one after.
  const float step = kind == scale_kind::float16    ? std::max(std::ldexp(middle, -11), 0x1p-25f)
                     : kind == scale_kind::bfloat16 ? std::ldexp(middle, -8)
                                                    : std::ldexp(middle, -24);
  return {middle, round_scale(middle + step * 1.01f, kind), round_scale(middle - step * 1.01f, kind)};
}

/// Index of the first element that is no multiple q * scale with q in [low, high]; the size where all are.
inline std::size_t first_off_grid(std::span<const float> group, float scale, int low, int high) noexcept {
  for (std::size_t i = 0; i < group.size(); ++i) {
    const float level = std::nearbyint(group[i] / scale);
    if (!(level >= static_cast<float>(low) && level <= static_cast<float>(high) && level * scale == group[i])) return i;
  }
  return group.size();
}

struct exact_scale {
  float scale = 0;
  std::size_t off_grid = 0;  ///< first element that no candidate explains; the group's size where one explains all
};

/// The largest-magnitude element has some level k; every k is tried from the largest down, so the coarsest grid wins.
inline exact_scale find_exact_scale(std::span<const float> group, scale_kind kind, int low, int high) {
  float largest = 0;
  for (const float value : group) largest = std::max(largest, std::fabs(value));
  if (largest == 0) return {0, group.size()};
  exact_scale best;
  for (int k = std::max(high, -low); k >= 1; --k) {
    for (const float scale : scale_candidates(largest / static_cast<float>(k), kind)) {
      if (!(scale > 0) || scale > largest_scale(kind)) continue;
      const std::size_t off_grid = first_off_grid(group, scale, low, high);
      if (off_grid == group.size()) return {scale, off_grid};
      if (off_grid >= best.off_grid) best = {scale, off_grid};
    }
  }
  return best;
}
}  // namespace detail

/// Packs a fake-quantized matrix without loss: `dequantize` gives every element back, bit for bit. Fails, naming the
/// first element that fits no grid of its group, where that can't be (a scale that the policy's scale type can't hold
/// included). Which of two grids that both explain a group is taken (levels 2, 4, 6 or 1, 2, 3) is not defined; the
/// values are.
template <quantizer Policy, class Codec = default_codec<Policy>, real_element T>
[[nodiscard]] packed_matrix<Policy, Codec> pack_exact(matrix_view<T> values) {
  packed_matrix<Policy, Codec> result(values.rows, values.cols);
  const tile_layout layout = result.view().layout();
  check_finite(values, {0, values.rows}, "pack_exact");
  std::vector<float> row(values.cols);
  detail::row_codes codes(layout);
  for (std::size_t r = 0; r < values.rows; ++r) {
    std::copy(values.row(r).begin(), values.row(r).end(), row.begin());
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t begin = g * layout.group_cols();
      const auto group = std::span<const float>{row}.subspan(begin, std::min(layout.group_cols(), row.size() - begin));
      const detail::exact_scale found =
          detail::find_exact_scale(group, layout.fmt().scale, Policy::min_level, Policy::max_level);
      if (found.off_grid != group.size()) {
        fail("pack_exact: the element at row " + std::to_string(r) + ", column " +
             std::to_string(begin + found.off_grid) + " lies on no " + layout.fmt().name() + " grid of its group");
      }
      for (std::size_t i = 0; i < group.size(); ++i) {
        const float level = found.scale == 0 ? 0.0f : std::nearbyint(group[i] / found.scale);
        codes.set(begin + i, static_cast<int>(level));
      }
      detail::write_scale(result.storage().data() + layout.scale_offset(r, g), layout.fmt().scale, found.scale);
    }
    codes.write(result.storage().data(), r);
  }
  return result;
}

}  // namespace edgerazor::inline v0
