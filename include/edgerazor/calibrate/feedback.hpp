// SPDX-License-Identifier: Apache-2.0
/// The engine of rounding with error feedback: one strip of rows, column by column.
///
/// Columns are rounded in the order of an inverse factor U. The error of each is fed to all later
/// columns of its row:
///
///     e_p = (w_p - value_p) / U_pp        w_j -= e_p U_pj  for j > p
///
/// so that what is left of the row's output error is a sum of squares: with H_d^-1 = U^T U,
/// (w - value) = e U and (w - value) H_d (w - value)^T = sum e_p^2.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::calibrate {

/// Where groups lie in the order of rounding, and when they are fitted.
struct feedback_plan {
  std::size_t cols = 0;
  std::size_t columns = 0;   ///< of a group
  bool beforehand = false;   ///< groups of the matrix's own columns, fitted before any feedback
  bool own_order = true;     ///< levels lie where the matrix's columns do, not at places
  bool block_start = false;  ///< fitted on weights as they were when the block of 128 began

  /// The group of a place.
  [[nodiscard]] std::size_t group(std::size_t place, const inverse_factor& factor) const noexcept {
    return (beforehand ? factor.column(place) : place) / columns;
  }
  /// Where the level of a place goes.
  [[nodiscard]] std::size_t target(std::size_t place, const inverse_factor& factor) const noexcept {
    return own_order ? factor.column(place) : place;
  }
  /// One past the last place of the block that begins at a place. Blocks only order the arithmetic,
  /// but what is fitted on fresh weights begins with a block, or lies within one.
  [[nodiscard]] std::size_t block_end(std::size_t begin) const noexcept {
    constexpr std::size_t width = 128;
    std::size_t end = begin + width;
    if (!beforehand && !block_start) {
      end = columns <= width ? begin + width / columns * columns
                             : std::min(end, (begin / columns + 1) * columns);
    }
    return std::min(end, cols);
  }
};

/// Weights of a strip, and what has become of them.
struct feedback_strip {
  using matrix_type = second_moments::matrix_type;
  row_range rows;
  matrix_type weights;  ///< with the feedback so far, at places
  matrix_type old;      ///< those at the start of the block, where the plan wants them
};

/// Where a column stands whose turn it is.
struct feedback_place {
  std::size_t place, group;
  std::size_t target;  ///< column of the level
  double u;            ///< U_pp
};

/// What rules that round have in common: the level nearest to a weight.
struct nearest_levels {
  const level_grid& grid;
  rounded_matrix& result;

  /// Stores the level; its value.
  double round(std::size_t row, const feedback_place& at, double w) const noexcept {
    const group_fit fit = result.fit(row, at.group);
    const int level = grid.level(w, fit);
    result.levels[row * result.cols + at.target] = static_cast<std::int16_t>(level);
    return level_grid::value(level, fit);
  }
};

/// Takes a strip through its columns. `rule` decides what is specific to a method; noexcept:
///
///     rule.fit(strip, begin, end, group)   before the first place of a group: what the method
///                                          wants of strip.weights at places [begin, end)
///     rule.value(row, place, w)            what stands for the weight from now on, which the rule
///                                          stores; w itself where it stays: no error
///
/// Writes sum e^2 of each row, less what damping has added, into `row_errors`.
template <class Rule>
void round_strip(matrix_view<const float> weights, row_range rows, const inverse_factor& factor,
                 const feedback_plan& plan, Rule& rule, std::span<double> row_errors) {
  using index = Eigen::Index;
  const std::size_t cols = plan.cols, count = rows.size();
  feedback_strip strip;
  strip.rows = rows;
  strip.weights.resize(static_cast<index>(count), static_cast<index>(cols));
  const auto load = [&](bool own) {
    for (std::size_t r = 0; r < count; ++r) {
      const std::span<const float> row = weights.row(rows.begin + r);
      double* const to = strip.weights.row(static_cast<index>(r)).data();
      for (std::size_t p = 0; p < cols; ++p)
        to[p] = static_cast<double>(row[own ? p : factor.column(p)]);
    }
  };
  if (plan.beforehand) {
    load(true);
    for (std::size_t begin = 0, g = 0; begin < cols; begin += plan.columns, ++g) {
      rule.fit(std::as_const(strip), begin, std::min(begin + plan.columns, cols), g);
    }
  }
  load(false);
  second_moments::matrix_type errors;
  for (std::size_t begin = 0; begin < cols;) {
    const std::size_t end = plan.block_end(begin), width = end - begin;
    errors.setZero(static_cast<index>(count), static_cast<index>(width));
    if (plan.block_start) strip.old = strip.weights;
    for (std::size_t p = begin; p < end; ++p) {
      const double* const upper = factor.upper.row(static_cast<index>(p)).data();
      const feedback_place at{p, plan.group(p, factor), plan.target(p, factor), upper[p]};
      if (!plan.beforehand && p % plan.columns == 0) {
        if (plan.block_start) strip.old.swap(strip.weights);
        rule.fit(std::as_const(strip), p, std::min(p + plan.columns, cols), at.group);
        if (plan.block_start) strip.old.swap(strip.weights);
      }
      const double added = factor.added[p], inverse = 1 / at.u;
      for (std::size_t r = 0; r < count; ++r) {
        double* const row = strip.weights.row(static_cast<index>(r)).data();
        const double w = row[p];
        const double value = rule.value(rows.begin + r, at, w);
        const double error = (w - value) * inverse;
        const double moved =
            static_cast<double>(weights.row(rows.begin + r)[factor.column(p)]) - value;
        row_errors[rows.begin + r] += error * error - added * moved * moved;
        errors(static_cast<index>(r), static_cast<index>(p - begin)) = error;
        if (error == 0) continue;
        for (std::size_t j = p + 1; j < end; ++j) row[j] -= error * upper[j];
      }
    }
    if (end < cols) {
      const auto rest = static_cast<index>(cols - end);
      strip.weights.rightCols(rest).noalias() -=
          errors * factor.upper.block(static_cast<index>(begin), static_cast<index>(end),
                                      static_cast<index>(width), rest);
    }
    begin = end;
  }
}

}  // namespace detail::calibrate
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
