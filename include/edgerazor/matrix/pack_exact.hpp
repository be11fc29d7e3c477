// SPDX-License-Identifier: Apache-2.0
/// Packing values that already lie on a grid, without quantizing them again.
///
/// A checkpoint of EdgeRazor (Python) holds fake-quantized numbers. Quantizing those once more
/// keeps ternary codes but shrinks the scale (by twice the density of nonzeros), so it must not be
/// done. `pack_exact` finds for each group a scale s of the stored type and levels q with `value ==
/// float(q) * s` for every element, bit for bit, or refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/matrix/row_codes.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {

struct exact_scale {
  float scale = 0;
  std::size_t off_grid =
      0;  ///< first element that no candidate explains; the group's size where one explains all
};

/// The largest-magnitude element has some level k; every k is tried from the largest down, so the
/// coarsest grid wins. Codes are written by that grid, or are of no use.
[[nodiscard]] EDGERAZOR_FUNCTION exact_scale find_exact_scale(policy::level_range levels,
                                                              std::span<const float> group,
                                                              scale_kind kind, int zero_code,
                                                              std::uint8_t* codes) noexcept;
}  // namespace detail::matrix

/// Packs a fake-quantized matrix without loss: `dequantize` gives every element back, bit for bit,
/// but for -0, which comes back as 0. Fails, naming the first element that fits no grid of its
/// group, where that can't be (a scale that the policy's scale type can't hold included). Which of
/// two grids that both explain a group is taken (levels 2, 4, 6 or 1, 2, 3) is not defined; the
/// values are.
template <quantizer Policy, class Codec = default_codec<Policy>, real_element T>
[[nodiscard]] packed_matrix<Policy, Codec> pack_exact(matrix_view<T> values) {
  packed_matrix<Policy, Codec> result(values.rows, values.cols);
  const tile_layout layout = result.view().layout();
  detail::policy::check_finite(values, {0, values.rows}, "pack_exact");
  detail::core::buffer<float> buffer;
  detail::matrix::row_codes codes(layout);
  for (std::size_t r = 0; r < values.rows; ++r) {
    const float* const row = detail::matrix::as_floats(values.row(r).data(), values.cols, buffer);
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t begin = g * layout.group_cols(),
                        count = std::min(layout.group_cols(), values.cols - begin);
      const detail::matrix::exact_scale found = detail::matrix::find_exact_scale(
          detail::policy::levels_of<Policy>, std::span{row + begin, count}, layout.fmt().scale,
          layout.codec().zero_code, codes.at(begin));
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

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/matrix/pack_exact_impl.hpp>
#endif
