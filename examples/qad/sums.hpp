// SPDX-License-Identifier: Apache-2.0
/// Sums whose order is fixed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <edgerazor/core/views.hpp>

namespace qad {

namespace er = edgerazor;

/// Sum of squares, the same wherever the numbers lie.
[[nodiscard]] inline double squared_norm(std::span<const float> values) {
  constexpr std::size_t lanes = 16, stretch = 4096;
  double sum = 0;
  for (std::size_t begin = 0; begin < values.size(); begin += stretch) {
    const std::span<const float> part =
        values.subspan(begin, std::min(stretch, values.size() - begin));
    float squares[lanes] = {};
    std::size_t i = 0;
    for (; i + lanes <= part.size(); i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane)
        squares[lane] += part[i + lane] * part[i + lane];
    }
    for (; i < part.size(); ++i) squares[i % lanes] += part[i] * part[i];
    for (const float one : squares) sum += static_cast<double>(one);
  }
  return sum;
}

/// The mean square of the rows that `counted` does not give 0; 0 where there is none. Precondition:
/// rows follow one another without a gap.
[[nodiscard]] inline double mean_square(er::matrix_view<const float> rows,
                                        std::span<const std::uint8_t> counted) {
  double square = 0;
  std::size_t elements = 0;
  for (std::size_t i = 0, end = 0; i < rows.rows; i = end) {
    end = i + 1;
    while (end < rows.rows && (counted[end] != 0) == (counted[i] != 0)) ++end;
    if (counted[i] == 0) continue;
    const std::span<const float> stretch{rows.row(i).data(), (end - i) * rows.cols};
    square += squared_norm(stretch);
    elements += stretch.size();
  }
  return elements == 0 ? 0 : square / static_cast<double>(elements);
}

}  // namespace qad
