// SPDX-License-Identifier: Apache-2.0
/// Rounding with error feedback in which a few weights stay as they are, in a sparse matrix beside
/// the codes.
///
/// A kept weight is the sum of two: the value of its code, which is the level nearest to 0, and an
/// entry of the sparse matrix, the difference. (Published programs store the weight itself; where
/// no level is 0 their kernels then add the code's value to it.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/calibrate/feedback.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct kept_result : feedback_result {
  /// Entries of the sparse matrix, by rows and in a row by columns: differences. A column is where
  /// the level stands: a place, where there is a permutation.
  std::vector<sparse_entry> kept;

  /// rows x cols values in the weights' own order of columns, kept weights whole.
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> result = rounded.values();
    for (const sparse_entry& entry : kept) {
      result[entry.row * rounded.cols + entry.col] += entry.value;
    }
    detail::calibrate::restore_order(result, rounded.cols, permutation);
    return result;
  }
};

namespace detail::calibrate {
/// What a rule has kept in its strip; differences follow when the strip is done.
struct kept_so_far {
  struct weight {
    std::size_t row, place;
    double value;
  };
  std::vector<weight> weights;

  /// Keeps a weight: its level is the one nearest to 0, it stays as it is.
  double keep(std::size_t row, const feedback_place& at, double w, const nearest_levels& levels) {
    weights.push_back({row, at.place, w});
    levels.round(row, at, 0);
    return w;
  }
  /// Entries of a strip, sorted.
  [[nodiscard]] std::vector<sparse_entry> entries(const rounded_matrix& rounded,
                                                  const feedback_plan& plan,
                                                  const inverse_factor& factor) const {
    std::vector<sparse_entry> result;
    result.reserve(weights.size());
    for (const weight& w : weights) {
      const std::size_t col = plan.target(w.place, factor);
      const double code = level_grid::value(rounded.levels[w.row * rounded.cols + col],
                                            rounded.fit(w.row, plan.group(w.place, factor)));
      result.push_back({w.row, col, static_cast<float>(w.value - code)});
    }
    std::sort(result.begin(), result.end(), [](const sparse_entry& a, const sparse_entry& b) {
      return a.row != b.row ? a.row < b.row : a.col < b.col;
    });
    return result;
  }
};

/// The mean of those not marked, in place of those that are; `marked(i)`.
template <class Marked>
void replace_by_mean(std::span<float> weights, const Marked& marked) {
  double sum = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (marked(i)) continue;
    sum += static_cast<double>(weights[i]);
    ++count;
  }
  const auto mean = static_cast<float>(count == 0 ? 0 : sum / static_cast<double>(count));
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (marked(i)) weights[i] = mean;
}

/// Runs strips with a rule made for each, which has members `kept` and those of `round_strip`.
template <class MakeRule>
void round_keeping(matrix_view<const float> weights, const inverse_factor& factor,
                   const feedback_plan& plan, executor_ref executor, const MakeRule& make_rule,
                   kept_result& result) {
  result.row_errors.resize(weights.rows);
  if (!plan.own_order) result.permutation = factor.permutation;
  if (weights.cols == 0) return;
  std::vector<std::vector<sparse_entry>> strips((weights.rows + rows_a_grain - 1) / rows_a_grain);
  for_row_grains(weights.rows, executor, [&](row_range rows) noexcept {
    auto rule = make_rule();
    round_strip(weights, rows, factor, plan, rule, result.row_errors);
    strips[rows.begin / rows_a_grain] = rule.kept.entries(result.rounded, plan, factor);
  });
  for (const std::vector<sparse_entry>& strip : strips) {
    result.kept.insert(result.kept.end(), strip.begin(), strip.end());
  }
  for (const double error : result.row_errors) result.squared_output_error += error;
}

/// Weights of a mask stay; a group is fitted as if they were the mean of its others.
template <class Fit>
struct masked_feedback : nearest_levels {
  const Fit& fit_group;
  const feedback_plan& plan;
  const inverse_factor& factor;
  std::span<const float> importance;
  matrix_view<const std::uint8_t> mask;
  std::vector<float> buffer{};
  kept_so_far kept{};

  void fit(const feedback_strip& strip, std::size_t begin, std::size_t end, std::size_t g) {
    const std::size_t count = end - begin;
    buffer.resize(count);
    const auto counts = importance.empty() ? importance : importance.subspan(begin, count);
    for (std::size_t r = 0; r < strip.rows.size(); ++r) {
      const double* const row = strip.weights.row(static_cast<Eigen::Index>(r)).data() + begin;
      for (std::size_t i = 0; i < count; ++i) buffer[i] = static_cast<float>(row[i]);
      const std::size_t at = strip.rows.begin + r;
      replace_by_mean(std::span{buffer}, [&](std::size_t i) {
        const std::size_t c = plan.beforehand ? begin + i : factor.column(begin + i);
        return mask.row(at)[c] != 0;
      });
      result.set_fit(at, g, grid.stored(fit_group(std::span<const float>{buffer}, counts, grid)));
    }
  }
  double value(std::size_t row, const feedback_place& at, double w) {
    const bool stays = mask.row(row)[factor.column(at.place)] != 0;
    return stays ? kept.keep(row, at, w, *this) : round(row, at, w);
  }
};
}  // namespace detail::calibrate

/// `round_by_feedback` in which the weights of a mask (rows x cols, not 0: kept) stay, with the
/// value that the feedback of earlier columns has given them: that is what they should be, given
/// those columns.
///
/// Fails as `round_by_feedback` does, and where the mask has another shape.
template <group_fitter Fit>
[[nodiscard]] kept_result round_by_feedback_keeping(matrix_view<const float> weights,
                                                    matrix_view<const std::uint8_t> mask,
                                                    const inverse_factor& factor,
                                                    const level_grid& grid, const Fit& fit,
                                                    const feedback_options& options = {}) {
  namespace here = detail::calibrate;
  here::check_grid(grid, "round_by_feedback_keeping");
  here::check_factor(weights, factor, "round_by_feedback_keeping");
  if (mask.rows != weights.rows || mask.cols != weights.cols) {
    detail::core::fail("round_by_feedback_keeping: weights " +
                       detail::core::shape_text(weights.rows, weights.cols) + ", mask " +
                       detail::core::shape_text(mask.rows, mask.cols));
  }
  const here::feedback_plan plan = here::plan_of(factor, grid, options.fitted_on);
  const std::vector<float> importance =
      here::importance_of(factor, options.importance, plan.beforehand);
  kept_result result;
  result.rounded = rounded_matrix(weights.rows, weights.cols, grid);
  here::round_keeping(
      weights, factor, plan, options.executor,
      [&] {
        return here::masked_feedback<Fit>{
            {grid, result.rounded}, fit, plan, factor, importance, mask};
      },
      result);
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
