// SPDX-License-Identifier: Apache-2.0
/// Four free levels a group: two bits a weight and a table (W(1+1) of LBLLM, arXiv 2604.19167).
///
/// There a weight is a sign B and one bit G that says which of two scales and offsets it has,
///
///     w = G (a1 B + m1) + (1 - G) (a0 B + m0)
///
/// which is any four numbers: l0 <= l1 <= l2 <= l3, the outer two of them with G = 1.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/bitmap_levels.hpp>
#include <edgerazor/policy/lloyd_max.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// value(r, c) = levels(r, c / group)[codes(r, c)], all row-major.
struct four_level_matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t group = 0;            ///< columns; 0: the whole row
  std::vector<std::uint8_t> codes;  ///< rows x cols, 0 to 3
  std::vector<four_levels> levels;  ///< rows x groups()
  std::vector<int> rounds;          ///< rows x groups(): that each group took

  [[nodiscard]] std::size_t groups() const noexcept {
    return level_grid{.group = group}.groups(cols);
  }
  /// Precondition: r < rows, c < cols.
  [[nodiscard]] float value(std::size_t r, std::size_t c) const noexcept {
    return levels[r * groups() + (group == 0 ? 0 : c / group)][codes[r * cols + c]];
  }
  /// rows x cols values.
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> result(codes.size());
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) result[r * cols + c] = value(r, c);
    return result;
  }
};

struct four_level_options {
  int rounds = 100;  ///< at most
  executor_ref executor{};
};

namespace detail::calibrate {
/// The nearest level, the lower of two as near.
[[nodiscard]] inline std::uint8_t nearest_of(const std::array<double, 4>& levels,
                                             double weight) noexcept {
  std::uint8_t best = 0;
  for (std::uint8_t k = 1; k < 4; ++k)
    if (std::fabs(weight - levels[k]) < std::fabs(weight - levels[best])) best = k;
  return best;
}

/// Levels of one group, and the codes of its weights; returns the rounds. `room` is scratch.
inline int fit_four_levels_of(std::span<const float> weights, std::span<const float> importance,
                              int most_rounds, std::span<std::uint8_t> codes, four_levels& out,
                              policy::lloyd_room& room) {
  const policy::four_classes classes =
      policy::lloyd_classes(weights, importance, most_rounds, codes, room);
  for (std::size_t k = 0; k < 4; ++k) out[k] = static_cast<float>(classes.levels[k]);
  return classes.rounds;
}
}  // namespace detail::calibrate

/// Weighted means of four classes in every group of columns (group 0: of the whole row):
///
///     1  levels at the quantiles 1/8, 3/8, 5/8, 7/8, interpolated
///     2  each weight gets the nearest level, the lower of two as near
///     3  each level becomes the mean of its weights, weighted by the importance of their columns
///        (the diagonal of X^T X; none: all 1); one without weights stays
///     4  from 2 on, until no code changes
///
/// in float64: an EM with hard classes, in which sum importance * (w - value)^2 falls with every
/// step. The start is ours: the paper's is not described. A group whose columns all have importance
/// 0 counts them alike.
///
/// Fails where a weight is NaN or infinite, naming it, or importances are not one a column.
[[nodiscard]] inline four_level_matrix fit_four_levels(matrix_view<const float> weights,
                                                       std::size_t group,
                                                       std::span<const float> importance = {},
                                                       const four_level_options& options = {}) {
  namespace here = detail::calibrate;
  here::check_weights(weights, importance, "fit_four_levels");
  four_level_matrix result{weights.rows, weights.cols, group, {}, {}, {}};
  const std::size_t groups = result.groups();
  const std::size_t columns = group == 0 ? weights.cols : group;
  result.codes.resize(weights.rows * weights.cols);
  result.levels.resize(weights.rows * groups);
  result.rounds.resize(result.levels.size());
  here::for_row_grains(weights.rows, options.executor, [&](row_range rows) noexcept {
    detail::policy::lloyd_room room;
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t c = g * columns, count = std::min(columns, weights.cols - c);
        const std::size_t at = r * groups + g;
        result.rounds[at] = here::fit_four_levels_of(
            weights.row(r).subspan(c, count),
            importance.empty() ? importance : importance.subspan(c, count), options.rounds,
            std::span{result.codes}.subspan(r * weights.cols + c, count), result.levels[at], room);
      }
    }
  });
  return result;
}

/// The levels of one group as a packed matrix with tables holds them (`table2`): the scale and
/// integers -15 .. 15 that `lloyd_max` would round them to, level k counted counts[k] times; the
/// scale rounded as `storage` says. levels[k] of the result is that of levels[k], so that codes
/// stay what they are; in ascending order where these are. Precondition: all finite, no count below
/// 0.
[[nodiscard]] inline table_fit table_of(const four_levels& levels,
                                        const std::array<double, 4>& counts,
                                        scale_kind storage = scale_kind::float16) noexcept {
  using table = lloyd_max<per_channel>;
  detail::policy::four_classes classes;
  for (std::size_t k = 0; k < 4; ++k) classes.levels[k] = static_cast<double>(levels[k]);
  classes.counts = counts;
  table_fit fit = detail::policy::round_classes(classes, table::largest_level, table{}.epsilon);
  fit.scale = detail::calibrate::as_stored(fit.scale, storage);
  return fit;
}

/// All of them, `table_of` each level counted by the importance of the columns that have it; then
/// every weight gets the nearest of what the levels have become. Ready for pack_levels.
///
/// Fails where the weights have another shape, or importances are not one a column.
[[nodiscard]] inline rounded_matrix round_to_tables(matrix_view<const float> weights,
                                                    const four_level_matrix& matrix,
                                                    std::span<const float> importance = {},
                                                    scale_kind storage = scale_kind::float16) {
  namespace here = detail::calibrate;
  using table = lloyd_max<per_channel>;
  here::check_weights(weights, importance, "round_to_tables");
  if (weights.rows != matrix.rows || weights.cols != matrix.cols) {
    detail::core::fail("round_to_tables: weights " +
                       detail::core::shape_text(weights.rows, weights.cols) + ", levels of " +
                       detail::core::shape_text(matrix.rows, matrix.cols));
  }
  rounded_matrix result(matrix.rows, matrix.cols,
                        level_grid{.min_level = -table::largest_level,
                                   .max_level = table::largest_level,
                                   .group = matrix.group,
                                   .storage = storage});
  const std::size_t groups = matrix.groups();
  const std::size_t columns = matrix.group == 0 ? matrix.cols : matrix.group;
  for (std::size_t i = 0; i < matrix.levels.size(); ++i) {
    const std::size_t row = i / groups * matrix.cols, first = row + i % groups * columns,
                      past = std::min(first + columns, row + matrix.cols);
    std::array<double, 4> counts{};
    for (std::size_t at = first; at < past; ++at) {
      counts[matrix.codes[at]] +=
          importance.empty() ? 1.0 : static_cast<double>(importance[at - row]);
    }
    table_fit fit = table_of(matrix.levels[i], counts, storage);
    std::sort(fit.levels.begin(), fit.levels.end());  // levels that were trained may cross
    result.scales[i] = fit.scale;
    const detail::policy::table_line level(fit);
    for (std::size_t at = first; at < past; ++at)
      result.levels[at] = static_cast<std::int16_t>(level(weights.row(i / groups)[at - row]));
  }
  return result;
}

/// Levels as small integers times a scale of the group, as tables of a packed matrix hold them.
struct integer_levels {
  std::vector<std::array<std::int8_t, 4>> levels;  ///< rows x groups, ascending
  std::vector<float> scales;                       ///< rows x groups
};

/// Rounds the levels of every group to integers -largest ... largest times
/// scale = max|level| / largest, half to even, and gives every weight the nearest of what they have
/// become: `matrix` then has those values. A scale is rounded as `storage` says before its levels
/// are chosen; one of 0 gives levels 0.
///
/// Fails where the weights have another shape, or largest is not 1 to 127.
[[nodiscard]] inline integer_levels round_levels(matrix_view<const float> weights,
                                                 four_level_matrix& matrix, int largest = 63,
                                                 std::optional<scale_kind> storage = {}) {
  namespace here = detail::calibrate;
  if (weights.rows != matrix.rows || weights.cols != matrix.cols || largest < 1 || largest > 127) {
    detail::core::fail("round_levels: weights " +
                       detail::core::shape_text(weights.rows, weights.cols) + ", levels of " +
                       detail::core::shape_text(matrix.rows, matrix.cols) + ", integers to " +
                       std::to_string(largest) + ": expected the same shape, and 1 to 127");
  }
  integer_levels result;
  const std::size_t groups = matrix.groups();
  for (four_levels& own : matrix.levels) {
    float top = 0;
    for (const float level : own) top = std::max(top, std::fabs(level));
    float scale = top / static_cast<float>(largest);
    if (storage) scale = here::as_stored(scale, *storage);
    std::array<std::int8_t, 4> rounded{};
    for (std::size_t k = 0; k < 4; ++k) {
      const double place =
          scale > 0 ? static_cast<double>(own[k]) / static_cast<double>(scale) : 0.0;
      rounded[k] = static_cast<std::int8_t>(here::nearest_integer(place, -largest, largest));
      own[k] = scale * static_cast<float>(rounded[k]);
    }
    result.levels.push_back(rounded);
    result.scales.push_back(scale);
  }
  for (std::size_t r = 0; r < matrix.rows; ++r) {
    for (std::size_t c = 0; c < matrix.cols; ++c) {
      const four_levels& own =
          matrix.levels[r * groups + (matrix.group == 0 ? 0 : c / matrix.group)];
      matrix.codes[r * matrix.cols + c] =
          here::nearest_of({static_cast<double>(own[0]), static_cast<double>(own[1]),
                            static_cast<double>(own[2]), static_cast<double>(own[3])},
                           static_cast<double>(weights.row(r)[c]));
    }
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
