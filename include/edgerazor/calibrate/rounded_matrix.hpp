// SPDX-License-Identifier: Apache-2.0
/// A matrix of chosen levels with the scale and the zero of each group: what every method of this
/// folder makes, and what packing takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/zero.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// value(r, c) = scales(r, c / group) * (levels(r, c) - zeros(r, c / group)), all row-major.
struct rounded_matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t group = 0;             ///< columns; 0: the whole row
  std::vector<std::int16_t> levels;  ///< rows x cols
  std::vector<float> scales;         ///< rows x groups()
  std::vector<float> zeros;          ///< rows x groups(), or empty: no zeros

  rounded_matrix() = default;
  /// Levels, scales and zeros 0. Fails where that is too large.
  rounded_matrix(std::size_t row_count, std::size_t col_count, const level_grid& grid)
      : rows(row_count), cols(col_count), group(grid.group) {
    levels.resize(detail::core::size_product("rounded matrix", rows, cols));
    scales.resize(rows * groups());
    if (grid.has_zero()) zeros.resize(scales.size());
  }

  [[nodiscard]] std::size_t groups() const noexcept {
    return level_grid{.group = group}.groups(cols);
  }
  /// Precondition: r < rows, g < groups().
  [[nodiscard]] group_fit fit(std::size_t r, std::size_t g) const noexcept {
    const std::size_t at = r * groups() + g;
    return {scales[at], zeros.empty() ? 0.0f : zeros[at]};
  }
  void set_fit(std::size_t r, std::size_t g, group_fit numbers) noexcept {
    const std::size_t at = r * groups() + g;
    scales[at] = numbers.scale;
    if (!zeros.empty()) zeros[at] = numbers.zero;
  }
  /// As a packed matrix gives it back, to the bit. Precondition: r < rows, c < cols.
  [[nodiscard]] float value(std::size_t r, std::size_t c) const noexcept {
    const group_fit numbers = fit(r, group == 0 ? 0 : c / group);
    return detail::policy::value_of<zero_kind::point>(static_cast<float>(levels[r * cols + c]),
                                                      numbers.scale, numbers.zero);
  }
  /// rows x cols values.
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> result(levels.size());
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) result[r * cols + c] = value(r, c);
    return result;
  }
};

namespace detail::calibrate {
/// Fails where a weight is NaN or infinite, or importances are neither absent nor one a column,
/// finite and at least 0.
inline void check_weights(matrix_view<const float> weights, std::span<const float> importance,
                          const char* function) {
  policy::check_finite(weights);
  if (importance.empty()) return;
  if (importance.size() != weights.cols) {
    core::fail(std::string{function} + ": " + std::to_string(importance.size()) +
               " importances for " + std::to_string(weights.cols) + " columns");
  }
  for (std::size_t c = 0; c < importance.size(); ++c) {
    if (!policy::is_finite(importance[c]) || importance[c] < 0) {
      core::fail(std::string{function} + ": the importance of column " + std::to_string(c) +
                 " is " + std::to_string(importance[c]) +
                 ", expected a finite number of at least 0");
    }
  }
}

/// Rows that a thread takes at once.
inline constexpr std::size_t rows_a_grain = 64;

/// work(range) for every grain of so many rows.
template <class Work>
void for_row_grains(std::size_t rows, executor_ref executor, const Work& work) {
  executor((rows + rows_a_grain - 1) / rows_a_grain, [&](std::size_t grain) noexcept {
    const std::size_t begin = grain * rows_a_grain;
    work(row_range{begin, begin + rows_a_grain < rows ? begin + rows_a_grain : rows});
  });
}
}  // namespace detail::calibrate

/// Each group fitted by the rule, each weight on the nearest level: calibration without data, or
/// with importances of columns (a mean square of activations) alone.
///
/// Fails where a weight is NaN or infinite, naming it, or importances are not one a column.
template <group_fitter Fit>
[[nodiscard]] rounded_matrix round_to_nearest(matrix_view<const float> weights,
                                              const level_grid& grid, const Fit& fit,
                                              std::span<const float> importance = {},
                                              executor_ref executor = {}) {
  detail::calibrate::check_grid(grid, "round_to_nearest");
  detail::calibrate::check_weights(weights, importance, "round_to_nearest");
  rounded_matrix result(weights.rows, weights.cols, grid);
  const std::size_t columns = grid.group_columns(weights.cols);
  detail::calibrate::for_row_grains(weights.rows, executor, [&](row_range rows) noexcept {
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const std::span<const float> row = weights.row(r);
      for (std::size_t c = 0, g = 0; c < row.size(); c += columns, ++g) {
        const std::size_t count = columns < row.size() - c ? columns : row.size() - c;
        const std::span<const float> part = row.subspan(c, count);
        const auto counts = importance.empty() ? importance : importance.subspan(c, count);
        const group_fit numbers = grid.stored(fit(part, counts, grid));
        result.set_fit(r, g, numbers);
        for (std::size_t i = 0; i < count; ++i) {
          result.levels[r * row.size() + c + i] =
              static_cast<std::int16_t>(grid.level(static_cast<double>(part[i]), numbers));
        }
      }
    }
  });
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
