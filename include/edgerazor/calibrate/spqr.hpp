// SPDX-License-Identifier: Apache-2.0
/// Small groups whose scales and zeros are themselves codes, and the few weights that hurt most
/// kept beside them (SpQR, arXiv 2306.03078).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/group_sums.hpp>
#include <edgerazor/calibrate/kept_weights.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How a row's scale and zero become codes of the second level.
enum class second_level_codes : std::uint8_t {
  nearest,     ///< each the nearest to its number (as published)
  least_error  ///< the pair near those by which the group's squared error is least
};

struct spqr_options {
  /// A weight is an outlier where its squared error, over U_pp^2, is above this times the mean over
  /// columns of (variance of the column's weights / U_pp^2). Infinite: none is.
  double threshold = 0.2;
  int scale_bits = 3;          ///< of the second level; 0: scales and zeros as the grid stores them
  int zero_bits = 3;           ///< not 0 where scale_bits is not
  std::size_t tile_rows = 16;  ///< consecutive rows that share a second level
  second_level_codes codes = second_level_codes::least_error;
  fit_importance importance = fit_importance::diagonal;
  executor_ref executor{};
};

/// scale(r, g) = scales.scale * (scale code - scales.zero) of the tile of row r; zeros likewise.
struct two_level_statistics {
  std::size_t tile_rows = 16;
  std::vector<std::uint8_t> scale_codes, zero_codes;  ///< rows x groups
  std::vector<group_fit> scales, zeros;               ///< tiles x groups
};

/// `rounded` has the scales and zeros that the second level gives back.
struct spqr_result : kept_result {
  two_level_statistics statistics;  ///< empty without a second level
  double threshold = 0;             ///< the absolute one, infinite where none is kept
};

namespace detail::calibrate {
/// The second level of a tile's scales or zeros in one group: a real zero, the extremes on the
/// first and the last code. What is stored as float16 has the unit that two_level.hpp says, so that
/// packing, which fits the values once more, finds these codes again.
struct second_level {
  group_fit fit;
  int last = 0;                         ///< code
  std::size_t lowest = 0, highest = 0;  ///< rows that keep their codes

  second_level(std::span<const float> numbers, int bits, std::optional<scale_kind> storage) noexcept
      : last((1 << bits) - 1) {
    for (std::size_t i = 1; i < numbers.size(); ++i) {
      if (numbers[i] < numbers[lowest]) lowest = i;
      if (numbers[i] > numbers[highest]) highest = i;
    }
    const float low = numbers[lowest], high = numbers[highest], largest = std::max(high, -low);
    constexpr float least = 0x1p-24f;
    const auto stored = [&](float x) { return storage ? as_stored(x, *storage) : x; };
    if (low == high) {
      fit = {stored(std::max(largest, least)), low < 0 ? 1.0f : 0.0f};
      return;
    }
    float unit = (high - low) / static_cast<float>(last);
    if (storage == scale_kind::float16) unit = std::max({unit, largest / 1024, least});
    fit.scale = stored(unit);
    fit.zero = stored(-low / fit.scale);
  }
  [[nodiscard]] int code(float number) const noexcept {
    return nearest_integer(static_cast<double>(number) / static_cast<double>(fit.scale) +
                               static_cast<double>(fit.zero),
                           0, last);
  }
  [[nodiscard]] float value(int code) const noexcept {
    return fit.scale * (static_cast<float>(code) - fit.zero);
  }
  /// The codes that a row may have instead of its nearest.
  [[nodiscard]] std::pair<int, int> neighbours(int code, std::size_t row) const noexcept {
    constexpr int reach = 3;
    if (row == lowest || row == highest || lowest == highest) return {code, code};
    return {std::max(code - reach, 0), std::min(code + reach, last)};
  }
};

/// sum ((w - value) / u)^2 of a group by its extremes, one weight apart (none: its size).
[[nodiscard]] inline double error_without(std::span<const float> weights, const double* inverse_u,
                                          std::size_t apart, const level_grid& grid) noexcept {
  const std::size_t first = apart == 0 ? 1 : 0;
  weight_range range{weights[first], weights[first]};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (i == apart) continue;
    range.low = std::min(range.low, weights[i]);
    range.high = std::max(range.high, weights[i]);
  }
  const group_fit fit = fit_of_range(range, grid);
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (i == apart) continue;
    const auto w = static_cast<double>(weights[i]);
    const double error = (w - level_grid::value(grid.level(w, fit), fit)) * inverse_u[i];
    sum += error * error;
  }
  return sum;
}

template <class Fit>
struct spqr_feedback : nearest_levels {
  const Fit& fit_group;
  const inverse_factor& factor;
  std::span<const float> importance;
  const spqr_options& options;
  spqr_result& all;
  std::vector<float> buffer{}, numbers{};
  std::vector<double> inverse_u{};
  std::vector<char> suspect{};
  kept_so_far kept{};

  /// Weights by whose absence the group's error falls by more than the threshold.
  void replace_likely_outliers(std::span<float> weights) {
    if (!is_finite(all.threshold) || weights.size() < 2) return;
    level_grid plain = grid;
    plain.storage.reset();
    suspect.resize(weights.size());
    const double whole = error_without(weights, inverse_u.data(), weights.size(), plain);
    bool any = false;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      suspect[i] = whole - error_without(weights, inverse_u.data(), i, plain) > all.threshold;
      any = any || suspect[i];
    }
    if (any) replace_by_mean(weights, [&](std::size_t i) { return suspect[i] != 0; });
  }

  void fit(const feedback_strip& strip, std::size_t begin, std::size_t end, std::size_t g) {
    const std::size_t count = end - begin;
    buffer.resize(count * strip.rows.size());
    inverse_u.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto p = static_cast<Eigen::Index>(begin + i);
      inverse_u[i] = 1 / factor.upper(p, p);
    }
    const auto counts = importance.empty() ? importance : importance.subspan(begin, count);
    level_grid first = grid;
    if (options.scale_bits != 0) first.storage.reset();
    for (std::size_t r = 0; r < strip.rows.size(); ++r) {
      const double* const row = strip.weights.row(static_cast<Eigen::Index>(r)).data() + begin;
      const std::span<float> group{buffer.data() + r * count, count};
      for (std::size_t i = 0; i < count; ++i) group[i] = static_cast<float>(row[i]);
      replace_likely_outliers(group);
      result.set_fit(strip.rows.begin + r, g,
                     first.stored(fit_group(std::span<const float>{group}, counts, first)));
    }
    if (options.scale_bits == 0) return;
    for (std::size_t r = 0; r < strip.rows.size(); r += options.tile_rows) {
      const std::size_t rows = std::min(options.tile_rows, strip.rows.size() - r);
      fit_tile(strip.rows.begin + r, rows, g, {buffer.data() + r * count, rows, count}, counts);
    }
  }
  /// The second level of a group of a tile's rows.
  void fit_tile(std::size_t first, std::size_t rows, std::size_t g,
                matrix_view<const float> weights, std::span<const float> counts) {
    numbers.resize(rows);
    two_level_statistics& to = all.statistics;
    const std::size_t groups = result.groups();
    const std::size_t at = first / options.tile_rows * groups + g;
    const auto level_of = [&](auto member, int bits) {
      for (std::size_t i = 0; i < rows; ++i) numbers[i] = result.fit(first + i, g).*member;
      return second_level(numbers, bits, grid.storage);
    };
    const second_level scales = level_of(&group_fit::scale, options.scale_bits);
    const second_level zeros = level_of(&group_fit::zero, options.zero_bits);
    to.scales[at] = scales.fit;
    to.zeros[at] = zeros.fit;
    for (std::size_t i = 0; i < rows; ++i) {
      const group_fit own = result.fit(first + i, g);
      int scale = scales.code(own.scale), zero = zeros.code(own.zero);
      if (options.codes == second_level_codes::least_error) {
        const weighted_group group{weights.row(i).data(), counts.empty() ? nullptr : counts.data(),
                                   weights.cols};
        const auto [scale_from, scale_to] = scales.neighbours(scale, i);
        const auto [zero_from, zero_to] = zeros.neighbours(zero, i);
        float least = squared_error(group, grid, {scales.value(scale), zeros.value(zero)});
        for (int s = scale_from; s <= scale_to; ++s) {
          for (int z = zero_from; z <= zero_to; ++z) {
            const float error = squared_error(group, grid, {scales.value(s), zeros.value(z)});
            if (!(error < least)) continue;
            least = error;
            scale = s;
            zero = z;
          }
        }
      }
      to.scale_codes[(first + i) * groups + g] = static_cast<std::uint8_t>(scale);
      to.zero_codes[(first + i) * groups + g] = static_cast<std::uint8_t>(zero);
      result.set_fit(first + i, g, {scales.value(scale), zeros.value(zero)});
    }
  }
  double value(std::size_t row, const feedback_place& at, double w) {
    const double rounded = round(row, at, w), error = (w - rounded) / at.u;
    return error * error > all.threshold ? kept.keep(row, at, w, *this) : rounded;
  }
};

/// mean over columns of var(weights of the column) / U_pp^2; infinite for fewer than two rows.
[[nodiscard]] inline double outlier_unit(matrix_view<const float> weights,
                                         const inverse_factor& factor) {
  if (weights.rows < 2 || weights.cols == 0) return std::numeric_limits<double>::infinity();
  const auto rows = static_cast<double>(weights.rows);
  double sum = 0;
  for (std::size_t p = 0; p < weights.cols; ++p) {
    const std::size_t c = factor.column(p);
    double mean = 0, squares = 0;
    for (std::size_t r = 0; r < weights.rows; ++r)
      mean += static_cast<double>(weights.row(r)[c]) / rows;
    for (std::size_t r = 0; r < weights.rows; ++r) {
      const double apart = static_cast<double>(weights.row(r)[c]) - mean;
      squares += apart * apart;
    }
    const double u = factor.upper(static_cast<Eigen::Index>(p), static_cast<Eigen::Index>(p));
    sum += squares / (rows - 1) / (u * u);
  }
  return sum / static_cast<double>(weights.cols);
}
}  // namespace detail::calibrate

/// SpQR: groups fitted on fresh weights without their likely outliers, scales and zeros rounded to
/// codes of a second level, weights rounded with error feedback, outliers kept.
///
/// The published setting: grid `level_grid::with_zero(3 or 4, 16)`, a factor of damping 1 and, at 4
/// bits, order descending. Second-level numbers are stored as the grid says. Where all scales of a
/// tile are equal they are exact (the published rule takes the range -1 ... 1). With 3 bits of each
/// and storage float16, levels, scales and zeros are what `pack_levels` takes for a format `_q3`.
///
/// Fails as `round_by_feedback` does; where a second level has fewer than 1 or more than 8 bits, or
/// the grid no real zero; where 64 is no multiple of tile_rows.
template <group_fitter Fit = fit_extremes>
[[nodiscard]] spqr_result round_by_spqr(matrix_view<const float> weights,
                                        const inverse_factor& factor, const level_grid& grid,
                                        const spqr_options& options = {}, const Fit& fit = {}) {
  namespace here = detail::calibrate;
  here::check_grid(grid, "round_by_spqr");
  here::check_factor(weights, factor, "round_by_spqr");
  if (options.scale_bits != 0) {
    const auto one_to_eight = [](int bits) { return bits >= 1 && bits <= 8; };
    if (!one_to_eight(options.scale_bits) || !one_to_eight(options.zero_bits) ||
        grid.zero != group_zero::real || options.tile_rows == 0 ||
        here::rows_a_grain % options.tile_rows != 0) {
      detail::core::fail("round_by_spqr: a second level of " + std::to_string(options.scale_bits) +
                         " and " + std::to_string(options.zero_bits) + " bits over " +
                         std::to_string(options.tile_rows) +
                         " rows: expected 1 to 8 bits, a divisor of 64 rows, and a grid with a "
                         "real zero");
    }
  }
  if (!(options.threshold >= 0)) {
    detail::core::fail("round_by_spqr: the threshold is " + std::to_string(options.threshold) +
                       ", expected a number of at least 0");
  }
  const here::feedback_plan plan = here::plan_of(factor, grid, groups_fitted_on::fresh);
  const std::vector<float> importance = here::importance_of(factor, options.importance, false);
  spqr_result result;
  result.rounded = rounded_matrix(weights.rows, weights.cols, grid);
  const double unit = here::outlier_unit(weights, factor);
  result.threshold = here::is_finite(options.threshold) && here::is_finite(unit)
                         ? options.threshold * unit
                         : std::numeric_limits<double>::infinity();
  if (options.scale_bits != 0) {
    const std::size_t groups = grid.groups(weights.cols);
    const std::size_t tiles = (weights.rows + options.tile_rows - 1) / options.tile_rows;
    result.statistics.tile_rows = options.tile_rows;
    result.statistics.scale_codes.resize(weights.rows * groups);
    result.statistics.zero_codes.resize(weights.rows * groups);
    result.statistics.scales.resize(tiles * groups);
    result.statistics.zeros.resize(tiles * groups);
  }
  here::round_keeping(
      weights, factor, plan, options.executor,
      [&] {
        return here::spqr_feedback<Fit>{
            {grid, result.rounded}, fit, factor, importance, options, result};
      },
      result);
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
