// SPDX-License-Identifier: Apache-2.0
/// Which weights are removed, and what the others become for it.
///
///     wanda_mask           those of least |w| * ||x_j||        (Wanda, arXiv 2306.11695)
///     prune_by_feedback    those of least w^2 / U_pp^2, and the columns behind make up for what is
///                          lost                                (SparseGPT, arXiv 2301.00774)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/calibrate/feedback.hpp>
#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Of every `group` consecutive columns of a row `removed` go; of those left at its end the same
/// part, rounded down.
struct pruning_pattern {
  std::size_t removed = 2;
  std::size_t group = 4;

  [[nodiscard]] static constexpr pruning_pattern two_of_four() noexcept { return {2, 4}; }
  /// A part of each row, rounded down. Precondition: 0 <= part <= 1.
  [[nodiscard]] static constexpr pruning_pattern part_of_row(std::size_t cols,
                                                             double part) noexcept {
    return {static_cast<std::size_t>(static_cast<double>(cols) * part), cols};
  }
  /// How many of so many columns.
  [[nodiscard]] constexpr std::size_t of(std::size_t columns) const noexcept {
    return group == 0 ? 0 : columns * removed / group;
  }
};

namespace detail::calibrate {
inline void check_pattern(const pruning_pattern& pattern, std::size_t cols, const char* function) {
  if (pattern.removed <= pattern.group && (pattern.group != 0 || cols == 0)) return;
  core::fail(std::string{function} + ": " + std::to_string(pattern.removed) + " removed of every " +
             std::to_string(pattern.group) + " columns: expected no more than there are");
}

/// Marks those of the least scores, of equal ones the first.
class least_scores {
 public:
  void mark(std::span<const double> scores, std::size_t count, std::span<std::uint8_t> marks) {
    order_.resize(scores.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
    });
    for (std::size_t i = 0; i < scores.size(); ++i) marks[order_[i]] = i < count;
  }

 private:
  std::vector<std::size_t> order_;
};
}  // namespace detail::calibrate

/// rows x cols marks, 1 where a weight is removed: in every group of a row those of the least
/// w^2 * importance of the column (Wanda: |w| * ||x_j||), of equal ones the first. Importances are
/// mean squares of activations; none: by magnitude alone.
///
/// Fails where the pattern removes more than there is, a weight is NaN or infinite, naming it, or
/// importances are not one a column.
[[nodiscard]] inline std::vector<std::uint8_t> wanda_mask(matrix_view<const float> weights,
                                                          std::span<const float> importance,
                                                          const pruning_pattern& pattern,
                                                          executor_ref executor = {}) {
  namespace here = detail::calibrate;
  here::check_pattern(pattern, weights.cols, "wanda_mask");
  here::check_weights(weights, importance, "wanda_mask");
  std::vector<std::uint8_t> result(weights.rows * weights.cols);
  here::for_row_grains(weights.rows, executor, [&](row_range rows) noexcept {
    std::vector<double> scores(weights.cols);
    here::least_scores least;
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      for (std::size_t c = 0; c < weights.cols; ++c) {
        const auto w = static_cast<double>(weights.row(r)[c]);
        scores[c] = w * w * (importance.empty() ? 1.0 : static_cast<double>(importance[c]));
      }
      const std::span<std::uint8_t> marks{result.data() + r * weights.cols, weights.cols};
      for (std::size_t c = 0; c < weights.cols; c += pattern.group) {
        const std::size_t count = std::min(pattern.group, weights.cols - c);
        least.mark(std::span<const double>{scores}.subspan(c, count), pattern.of(count),
                   marks.subspan(c, count));
      }
    }
  });
  return result;
}

/// The weights with those marked (rows x cols, not 0: removed) set to 0. Fails where the mask has
/// another number of elements.
[[nodiscard]] inline std::vector<float> without(matrix_view<const float> weights,
                                                std::span<const std::uint8_t> mask) {
  if (mask.size() != weights.rows * weights.cols) {
    detail::core::fail("without: a mask of " + std::to_string(mask.size()) +
                       " elements for weights " +
                       detail::core::shape_text(weights.rows, weights.cols));
  }
  std::vector<float> result(mask.size());
  for (std::size_t r = 0; r < weights.rows; ++r) {
    for (std::size_t c = 0; c < weights.cols; ++c) {
      const std::size_t i = r * weights.cols + c;
      result[i] = mask[i] != 0 ? 0.0f : weights.row(r)[c];
    }
  }
  return result;
}

struct pruned_matrix {
  std::vector<float> values;        ///< rows x cols in the weights' own order of columns
  std::vector<std::uint8_t> mask;   ///< 1 where a weight is removed
  std::vector<double> row_errors;   ///< of each row: (w - value) H (w - value)^T, without damping
  double squared_output_error = 0;  ///< their sum
};

namespace detail::calibrate {
/// A weight is removed or stays; the marks of a group follow when its first column's turn has come.
struct pruning_feedback {
  const feedback_plan& plan;
  const pruning_pattern& pattern;
  std::span<const double> cost;  ///< what the square of a weight is multiplied by
  pruned_matrix& result;
  std::vector<double> scores{};
  least_scores least{};

  void fit(const feedback_strip& strip, std::size_t begin, std::size_t end, std::size_t) {
    const std::size_t count = end - begin;
    scores.resize(count);
    for (std::size_t r = 0; r < strip.rows.size(); ++r) {
      const double* const row = strip.weights.row(static_cast<Eigen::Index>(r)).data() + begin;
      for (std::size_t i = 0; i < count; ++i) scores[i] = row[i] * row[i] * cost[begin + i];
      std::uint8_t* const to = result.mask.data() + (strip.rows.begin + r) * plan.cols + begin;
      least.mark(scores, pattern.of(count), {to, count});
    }
  }
  double value(std::size_t row, const feedback_place& at, double w) const noexcept {
    const std::size_t i = row * plan.cols + at.target;
    const double stays = result.mask[i] != 0 ? 0.0 : w;
    result.values[i] = static_cast<float>(stays);
    return stays;
  }
};

/// 1 / U_pp^2 of every column; 0 of one that no token has moved, whose damping alone has a cost.
[[nodiscard]] inline std::vector<double> removal_costs(const inverse_factor& factor) {
  std::vector<double> result(factor.cols());
  for (std::size_t p = 0; p < result.size(); ++p) {
    const double u = factor.upper(static_cast<Eigen::Index>(p), static_cast<Eigen::Index>(p));
    result[factor.column(p)] = factor.diagonal[p] > factor.added[p] ? 1 / (u * u) : 0;
  }
  return result;
}
}  // namespace detail::calibrate

/// Removes the weights of each group whose loss costs the row's outputs least, w^2 / U_pp^2, and
/// lets the columns behind make up for them, in float64:
///
///     w_j -= w_p / U_pp * U_pj  for the removed w_p and j > p
///
/// Which go is decided at a group's first column, with all feedback so far; where the factor has an
/// order of its own, before any. (Unstructured sparsity is {64, 128}: the published program too
/// decides by blocks of 128 columns, but takes the least of all rows of a block together. A whole
/// row as one group is decided before any feedback.) Weights of a column that no token has moved
/// cost nothing and go first.
///
/// A weight that stays is a float: errors are those of the values before that rounding. Fails where
/// the factor is of another number of columns, the pattern removes more than there is, or a weight
/// is NaN or infinite, naming it.
[[nodiscard]] inline pruned_matrix prune_by_feedback(matrix_view<const float> weights,
                                                     const inverse_factor& factor,
                                                     const pruning_pattern& pattern,
                                                     executor_ref executor = {}) {
  namespace here = detail::calibrate;
  here::check_pattern(pattern, weights.cols, "prune_by_feedback");
  here::check_factor(weights, factor, "prune_by_feedback");
  pruned_matrix result;
  result.values.resize(weights.rows * weights.cols);
  result.mask.resize(result.values.size());
  result.row_errors.resize(weights.rows);
  if (weights.cols == 0) return result;
  here::feedback_plan plan;
  plan.cols = weights.cols;
  plan.columns = pattern.group;
  plan.beforehand = !factor.permutation.empty();
  const std::vector<double> cost = here::removal_costs(factor);
  here::for_row_grains(weights.rows, executor, [&](row_range rows) noexcept {
    here::pruning_feedback rule{plan, pattern, cost, result};
    here::round_strip(weights, rows, factor, plan, rule, result.row_errors);
  });
  for (const double error : result.row_errors) result.squared_output_error += error;
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
