// SPDX-License-Identifier: Apache-2.0
/// Scales of columns before rounding, and clipping (AWQ, arXiv 2306.00978).
///
/// Columns that meet large activations are multiplied by s_j before they are rounded and their
/// inputs divided by it, so that they are rounded finer:
///
///     s_j = max(mean|x_j|^a, 1e-4) / sqrt(max s min s),    W x ~ Q(W diag(s)) diag(1/s) x
///
/// The exponent a is the one of k / steps, k < steps, that changes the outputs least. 1/s goes into
/// the norm before, or stays as a vector of its own.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/round_by_feedback.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct awq_options {
  int steps = 20;  ///< exponents k / steps that are tried
  /// Rows of a matrix by which exponents are judged, evenly spaced; 0: all.
  std::size_t rows = 0;
  executor_ref executor{};
};

struct awq_result {
  std::vector<float> scales;   ///< s, one a column
  std::vector<double> errors;  ///< of each exponent: mean squared change of an output
  std::size_t best = 0;        ///< its number k; k = 0 scales nothing
};

/// W diag(s).
[[nodiscard]] inline std::vector<float> scale_columns(matrix_view<const float> weights,
                                                      std::span<const float> scales) {
  if (scales.size() != weights.cols) {
    detail::core::fail("scale_columns: " + std::to_string(scales.size()) + " scales for " +
                       std::to_string(weights.cols) + " columns");
  }
  std::vector<float> result(weights.rows * weights.cols);
  for (std::size_t r = 0; r < weights.rows; ++r) {
    const std::span<const float> row = weights.row(r);
    for (std::size_t c = 0; c < row.size(); ++c) result[r * row.size() + c] = row[c] * scales[c];
  }
  return result;
}

namespace detail::calibrate {
/// At most so many rows of a matrix, evenly spaced; all for 0.
[[nodiscard]] inline matrix_view<const float> every_nth_row(matrix_view<const float> weights,
                                                            std::size_t rows) noexcept {
  if (rows == 0 || rows >= weights.rows) return weights;
  const std::size_t step = (weights.rows + rows - 1) / rows;
  return {weights.data, (weights.rows + step - 1) / step, weights.cols, weights.stride * step};
}
}  // namespace detail::calibrate

/// The best scales for matrices that share an input (query, key and value; gate and up): the errors
/// of all are added, each a mean over its rows and tokens. `fit` fits the groups; it is told the
/// mean squares of the scaled inputs.
///
/// Fails where there is no matrix, shapes do not fit, no token was seen, or a weight is NaN or
/// infinite, naming it.
template <group_fitter Fit>
[[nodiscard]] awq_result awq_scales(std::span<const matrix_view<const float>> matrices,
                                    const column_statistics& columns, const second_moments& moments,
                                    const level_grid& grid, const Fit& fit,
                                    const awq_options& options = {}) {
  const std::size_t cols = moments.cols();
  if (matrices.empty() || options.steps < 1) {
    detail::core::fail("awq_scales: expected at least one matrix and one step");
  }
  if (columns.cols() != cols || columns.count() == 0 || moments.count() == 0) {
    detail::core::fail("awq_scales: statistics of " + std::to_string(columns.cols()) +
                       " columns, second moments of " + std::to_string(cols) +
                       ": expected the same, and at least one token");
  }
  awq_result result;
  const std::vector<float> squares = moments.mean_squares();
  double least = std::numeric_limits<double>::infinity();
  for (int k = 0; k < options.steps; ++k) {
    const double exponent = static_cast<double>(k) / options.steps;
    std::vector<double> scales(cols);
    for (std::size_t c = 0; c < cols; ++c) {
      scales[c] = std::max(std::pow(columns.mean_magnitude(c), exponent), 1e-4);
    }
    if (cols > 0) {
      const auto [low, high] = std::minmax_element(scales.begin(), scales.end());
      const double middle = std::sqrt(*low * *high);
      for (double& s : scales) s /= middle;
    }
    std::vector<float> trial(cols), importance(cols);
    for (std::size_t c = 0; c < cols; ++c) {
      trial[c] = static_cast<float>(scales[c]);
      importance[c] = squares[c] / (trial[c] * trial[c]);
    }
    double error = 0;
    for (const matrix_view<const float>& whole : matrices) {
      const matrix_view<const float> weights =
          detail::calibrate::every_nth_row(whole, options.rows);
      const std::vector<float> scaled = scale_columns(weights, trial);
      std::vector<float> values = round_to_nearest({scaled.data(), weights.rows, weights.cols},
                                                   grid, fit, importance, options.executor)
                                      .values();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] /= trial[i % cols];
      error += output_error(weights, {values.data(), weights.rows, weights.cols}, moments,
                            options.executor) /
               static_cast<double>(std::max<std::size_t>(weights.rows, 1) * moments.count());
    }
    result.errors.push_back(error);
    if (error < least) {
      least = error;
      result.best = static_cast<std::size_t>(k);
      result.scales = std::move(trial);
    }
  }
  return result;
}

struct clip_options {
  float smallest = 0.55f;  ///< least part of a group's range that is tried
  int shrinks = 10;        ///< parts from 1 down, (1 - smallest) / (shrinks - 1) apart
  executor_ref executor{};
};

/// Weights clipped, group by group, to the part of their range by which the group's own share of
/// the outputs changes least:
///
///     least (w_g - Q(clip w_g)) H_gg (w_g - Q(clip w_g))^T,    H_gg the group's block of X^T X
///
/// (AWQ's second step; it leaves query and key out, whose products are what counts.) Fails where
/// shapes do not fit, no part is tried, the least is not from 0 to 1, or a weight is NaN or
/// infinite, naming it.
template <group_fitter Fit>
[[nodiscard]] std::vector<float> clip_by_output_error(matrix_view<const float> weights,
                                                      const second_moments& moments,
                                                      const level_grid& grid, const Fit& fit,
                                                      const clip_options& options = {}) {
  namespace here = detail::calibrate;
  here::check_grid(grid, "clip_by_output_error");
  if (options.shrinks < 1 || !(options.smallest >= 0 && options.smallest <= 1)) {
    detail::core::fail("clip_by_output_error: " + std::to_string(options.shrinks) +
                       " parts down to " + std::to_string(options.smallest) +
                       ", expected at least one, down to a number from 0 to 1");
  }
  if (moments.cols() != weights.cols) {
    detail::core::fail("clip_by_output_error: weights of " + std::to_string(weights.cols) +
                       " columns, second moments of " + std::to_string(moments.cols()));
  }
  const std::vector<float> importance = moments.mean_squares();
  here::check_weights(weights, importance, "clip_by_output_error");
  std::vector<float> result(weights.rows * weights.cols);
  const std::size_t columns = grid.group_columns(weights.cols);
  here::for_row_grains(weights.rows, options.executor, [&](row_range rows) noexcept {
    std::vector<float> clipped(columns), best(columns);
    Eigen::VectorXd error(static_cast<Eigen::Index>(columns));
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const std::span<const float> row = weights.row(r);
      for (std::size_t c = 0; c < row.size(); c += columns) {
        const std::size_t count = std::min(columns, row.size() - c);
        const std::span<const float> group = row.subspan(c, count);
        const auto counts = std::span<const float>{importance}.subspan(c, count);
        const here::weight_range range = here::range_of(group);
        const auto first = static_cast<Eigen::Index>(c), size = static_cast<Eigen::Index>(count);
        const auto own = moments.matrix().block(first, first, size, size);
        double least = std::numeric_limits<double>::infinity();
        for (int i = 0; i < options.shrinks; ++i) {
          const float part = 1 - (1 - options.smallest) * static_cast<float>(i) /
                                     static_cast<float>(std::max(options.shrinks - 1, 1));
          for (std::size_t j = 0; j < count; ++j) {
            clipped[j] = std::clamp(group[j], range.low < 0 ? range.low * part : range.low,
                                    range.high > 0 ? range.high * part : range.high);
          }
          const group_fit numbers =
              grid.stored(fit(std::span<const float>{clipped.data(), count}, counts, grid));
          for (std::size_t j = 0; j < count; ++j) {
            const int level = grid.level(static_cast<double>(clipped[j]), numbers);
            error(static_cast<Eigen::Index>(j)) =
                static_cast<double>(group[j]) - level_grid::value(level, numbers);
          }
          const auto errors = error.head(size);
          const double now = errors.dot(own * errors);
          if (now < least) {
            least = now;
            best = clipped;
          }
        }
        std::copy_n(best.begin(), count,
                    result.begin() + static_cast<std::ptrdiff_t>(r * row.size() + c));
      }
    }
  });
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
