// SPDX-License-Identifier: Apache-2.0
/// Rounding with error feedback (GPTQ, arXiv 2210.17323), for any grid and any rule of fitting.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/calibrate/feedback.hpp>
#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Which weights a group is fitted on.
enum class groups_fitted_on : std::uint8_t {
  fresh,        ///< with all feedback so far (SpQR)
  block_start,  ///< without the feedback of the current block of 128 columns (GPTQ as published)
  original      ///< before any feedback: groups of the matrix's own columns whatever the order of
                ///< rounding, so that no permutation is left (static groups)
};

/// What fits are told of the columns.
enum class fit_importance : std::uint8_t {
  none,           ///< all alike
  diagonal,       ///< the diagonal of H: mean squares of activations
  inverse_factor  ///< 1 / U_pp^2: what an error costs after the columns behind it have made up
};

struct feedback_options {
  groups_fitted_on fitted_on = groups_fitted_on::fresh;
  fit_importance importance = fit_importance::diagonal;
  executor_ref executor{};
};

namespace detail::calibrate {
/// From columns at places to the columns' own order; nothing where there is no permutation.
inline void restore_order(std::vector<float>& values, std::size_t cols,
                          std::span<const std::uint32_t> permutation) {
  if (permutation.empty()) return;
  std::vector<float> row(cols);
  for (std::size_t begin = 0; begin < values.size(); begin += cols) {
    for (std::size_t p = 0; p < cols; ++p) row[permutation[p]] = values[begin + p];
    std::copy(row.begin(), row.end(), values.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}
}  // namespace detail::calibrate

struct feedback_result {
  rounded_matrix rounded;
  /// Column of the weights that stands at place p of `rounded`; empty: p itself. Not empty where
  /// the factor has an order of its own and groups of neighbouring places were fitted on the way.
  std::vector<std::uint32_t> permutation;
  std::vector<double> row_errors;   ///< of each row: (w - q) H (w - q)^T, without damping
  double squared_output_error = 0;  ///< their sum, tr((W - Q) H (W - Q)^T)

  /// rows x cols values in the weights' own order of columns.
  [[nodiscard]] std::vector<float> values() const {
    std::vector<float> result = rounded.values();
    detail::calibrate::restore_order(result, rounded.cols, permutation);
    return result;
  }
};

namespace detail::calibrate {
[[nodiscard]] inline feedback_plan plan_of(const inverse_factor& factor, const level_grid& grid,
                                           groups_fitted_on fitted_on) {
  feedback_plan plan;
  plan.cols = factor.cols();
  plan.columns = grid.group_columns(plan.cols);
  plan.beforehand = fitted_on == groups_fitted_on::original && grid.group != 0;
  plan.block_start = fitted_on == groups_fitted_on::block_start;
  plan.own_order = plan.beforehand || grid.group == 0 || factor.permutation.empty();
  return plan;
}

/// Importances at places, or in the matrix's own order.
[[nodiscard]] inline std::vector<float> importance_of(const inverse_factor& factor,
                                                      fit_importance kind, bool own_order) {
  std::vector<float> result;
  if (kind == fit_importance::none) return result;
  result.resize(factor.cols());
  for (std::size_t p = 0; p < result.size(); ++p) {
    const double u = factor.upper(static_cast<Eigen::Index>(p), static_cast<Eigen::Index>(p));
    const double value = kind == fit_importance::diagonal ? factor.diagonal[p] : 1 / (u * u);
    result[own_order ? factor.column(p) : p] = static_cast<float>(value);
  }
  return result;
}

inline void check_factor(matrix_view<const float> weights, const inverse_factor& factor,
                         const char* function) {
  if (factor.cols() != weights.cols) {
    core::fail(std::string{function} + ": weights of " + std::to_string(weights.cols) +
               " columns, second moments of " + std::to_string(factor.cols()));
  }
  policy::check_finite(weights);
}

/// Nothing is kept; each row of a group is fitted for itself.
template <class Fit>
struct plain_feedback : nearest_levels {
  const Fit& fit_group;
  std::span<const float> importance;
  std::vector<float> buffer;

  void fit(const feedback_strip& strip, std::size_t begin, std::size_t end, std::size_t g) {
    const std::size_t count = end - begin;
    const auto counts = importance.empty() ? importance : importance.subspan(begin, count);
    for (std::size_t r = 0; r < strip.rows.size(); ++r) {
      const double* const row = strip.weights.row(static_cast<Eigen::Index>(r)).data() + begin;
      for (std::size_t i = 0; i < count; ++i) buffer[i] = static_cast<float>(row[i]);
      const std::span<const float> part{buffer.data(), count};
      result.set_fit(strip.rows.begin + r, g, grid.stored(fit_group(part, counts, grid)));
    }
  }
  double value(std::size_t row, const feedback_place& at, double w) const noexcept {
    return round(row, at, w);
  }
};
}  // namespace detail::calibrate

/// Rounds column by column and lets later columns of a row make up for the error of earlier ones,
/// in float64. Rows are independent of each other: the result does not depend on the executor.
///
/// Fails where the factor is of another number of columns, or a weight is NaN or infinite, naming
/// it.
template <group_fitter Fit>
[[nodiscard]] feedback_result round_by_feedback(matrix_view<const float> weights,
                                                const inverse_factor& factor,
                                                const level_grid& grid, const Fit& fit,
                                                const feedback_options& options = {}) {
  namespace here = detail::calibrate;
  here::check_grid(grid, "round_by_feedback");
  here::check_factor(weights, factor, "round_by_feedback");
  const here::feedback_plan plan = here::plan_of(factor, grid, options.fitted_on);
  const std::vector<float> importance =
      here::importance_of(factor, options.importance, plan.beforehand);
  feedback_result result;
  result.rounded = rounded_matrix(weights.rows, weights.cols, grid);
  result.row_errors.resize(weights.rows);
  if (!plan.own_order) result.permutation = factor.permutation;
  if (weights.cols == 0) return result;
  here::for_row_grains(weights.rows, options.executor, [&](row_range rows) noexcept {
    here::plain_feedback<Fit> rule{
        {grid, result.rounded}, fit, importance, std::vector<float>(plan.columns)};
    here::round_strip(weights, rows, factor, plan, rule, result.row_errors);
  });
  for (const double error : result.row_errors) result.squared_output_error += error;
  return result;
}

/// (w - value) H (w - value)^T of each row. `values` is what stands for the weights, rows x cols in
/// the columns' own order. Fails where shapes do not fit.
[[nodiscard]] inline std::vector<double> row_output_errors(matrix_view<const float> weights,
                                                           matrix_view<const float> values,
                                                           const second_moments& moments,
                                                           executor_ref executor = {}) {
  if (weights.rows != values.rows || weights.cols != values.cols ||
      weights.cols != moments.cols()) {
    detail::core::fail("output_error: weights " +
                       detail::core::shape_text(weights.rows, weights.cols) + ", values " +
                       detail::core::shape_text(values.rows, values.cols) + ", second moments of " +
                       std::to_string(moments.cols()) + " columns");
  }
  std::vector<double> result(weights.rows);
  detail::calibrate::for_row_grains(weights.rows, executor, [&](row_range rows) noexcept {
    using index = Eigen::Index;
    second_moments::matrix_type errors(static_cast<index>(rows.size()),
                                       static_cast<index>(weights.cols));
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::span<const float> w = weights.row(rows.begin + r), v = values.row(rows.begin + r);
      for (std::size_t c = 0; c < w.size(); ++c) {
        errors(static_cast<index>(r), static_cast<index>(c)) =
            static_cast<double>(w[c]) - static_cast<double>(v[c]);
      }
    }
    const second_moments::matrix_type products = errors * moments.matrix();
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto row = static_cast<index>(r);
      result[rows.begin + r] = errors.row(row).dot(products.row(row));
    }
  });
  return result;
}

/// tr((W - Q) H (W - Q)^T): what rounding changes in the outputs of the tokens seen, squared and
/// summed.
[[nodiscard]] inline double output_error(matrix_view<const float> weights,
                                         matrix_view<const float> values,
                                         const second_moments& moments,
                                         executor_ref executor = {}) {
  double sum = 0;
  for (const double error : row_output_errors(weights, values, moments, executor)) sum += error;
  return sum;
}
/// The same of a rounded matrix in the columns' own order.
[[nodiscard]] inline double output_error(matrix_view<const float> weights,
                                         const rounded_matrix& rounded,
                                         const second_moments& moments,
                                         executor_ref executor = {}) {
  const std::vector<float> values = rounded.values();
  return output_error(weights, matrix_view{values.data(), rounded.rows, rounded.cols}, moments,
                      executor);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
