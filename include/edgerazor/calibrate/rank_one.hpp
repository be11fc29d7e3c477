// SPDX-License-Identifier: Apache-2.0
/// Signs and two vectors in place of a matrix: |W| as the product of a column and a row (OneBit,
/// arXiv 2402.11295, section 3.2).
///
///     W ~ sign(W) * (g h^T), element by element        y = g * (sign(W) (h * x))
///
/// One bit a weight, a number a row and a number a column: `binary` with one scale a row holds the
/// signs and g, `scaled_columns{h, ...}` multiplies the input.
#pragma once

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
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/levels.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// |w(r, c)| ~ g[r] * h[c].
struct rank_one_split {
  std::vector<float> g;      ///< one a row, at least 0
  std::vector<float> h;      ///< one a column, at least 0
  double squared_error = 0;  ///< sum over weights of importance * (|w| - g h)^2
  int rounds = 0;            ///< that it took
};

struct rank_one_options {
  int rounds = 200;          ///< at most
  double tolerance = 1e-12;  ///< of the change of the error in a round, relative to sum a w^2
};

/// The product of two vectors that is nearest to |W|, by power iteration in float64: in turn, each
/// the other's least squares, from h = 1 on,
///
///     g_r = sum_c a_c |w_rc| h_c / sum_c a_c h_c^2        h_c = sum_r |w_rc| g_r / sum_r g_r^2
///
/// with a_c the importance of column c; none: all 1. That is the first singular pair of
/// |W| diag(sqrt a), and, as no entry is negative, the best factorization into nonnegative vectors
/// too (Perron and Frobenius): the NMF of the published start is the same but for its tolerance. g
/// and h get the same norm: the singular value is split evenly.
///
/// Without importances that minimizes what is lost of W where signs stay. A row of zeros has g = 0,
/// a column of zeros h = 0; a column of importance 0 still gets the h that fits it best.
///
/// Fails where a weight is NaN or infinite, naming it, or importances are not one a column.
[[nodiscard]] inline rank_one_split split_magnitudes(matrix_view<const float> weights,
                                                     std::span<const float> importance = {},
                                                     const rank_one_options& options = {}) {
  detail::calibrate::check_weights(weights, importance, "split_magnitudes");
  const std::size_t rows = weights.rows, cols = weights.cols;
  const auto count = [&](std::size_t c) {
    return importance.empty() ? 1.0 : static_cast<double>(importance[c]);
  };
  std::vector<double> g(rows), h(cols, 1.0), counted(cols);
  rank_one_split result;
  double energy = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const auto w = static_cast<double>(weights.row(r)[c]);
      energy += count(c) * w * w;
    }
  }
  double squares_g = 0, squares_h = 0, error = energy;
  while (result.rounds < options.rounds && energy > 0) {
    ++result.rounds;
    double divisor = 0;
    for (std::size_t c = 0; c < cols; ++c) {
      counted[c] = count(c) * h[c];
      divisor += counted[c] * h[c];
    }
    std::vector<double> sums(cols);
    squares_g = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      const std::span<const float> row = weights.row(r);
      double sum = 0;
      for (std::size_t c = 0; c < cols; ++c)
        sum += counted[c] * static_cast<double>(std::fabs(row[c]));
      g[r] = divisor > 0 ? sum / divisor : 0;
      squares_g += g[r] * g[r];
      for (std::size_t c = 0; c < cols; ++c)
        sums[c] += g[r] * static_cast<double>(std::fabs(row[c]));
    }
    // With h the least squares of g: error = energy - sum_c a_c h_c^2 * sum_r g_r^2.
    double explained = 0;
    squares_h = 0;
    for (std::size_t c = 0; c < cols; ++c) {
      h[c] = squares_g > 0 ? sums[c] / squares_g : 0;
      squares_h += h[c] * h[c];
      explained += count(c) * h[c] * h[c] * squares_g;
    }
    const double now = energy - explained;
    if (error - now <= options.tolerance * energy) break;
    error = now;
  }
  // Both get the norm sqrt(|g| |h|).
  const double balance =
      squares_g > 0 && squares_h > 0 ? std::pow(squares_h / squares_g, 0.25) : 0.0;
  for (const double value : g) result.g.push_back(static_cast<float>(value * balance));
  for (const double value : h)
    result.h.push_back(static_cast<float>(balance > 0 ? value / balance : 0.0));
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      const double apart = static_cast<double>(std::fabs(weights.row(r)[c])) -
                           static_cast<double>(result.g[r]) * static_cast<double>(result.h[c]);
      result.squared_error += count(c) * apart * apart;
    }
  }
  return result;
}

/// Levels -1 and 1 with g as the scales of rows: what `pack_levels` takes for `binary_row`. The
/// whole is `scaled_columns{h, ...}` of it. 0 and -0 get 1, as `binary` has it. (While OneBit
/// trains, the sign of 0 is 0; its packer stores 1.)
///
/// g is rounded as `storage` says. Fails where g has not one number a row, or a weight is NaN or
/// infinite, naming it.
[[nodiscard]] inline rounded_matrix signs_with_scales(matrix_view<const float> weights,
                                                      std::span<const float> g,
                                                      std::optional<scale_kind> storage = {}) {
  detail::policy::check_finite(weights);
  if (g.size() != weights.rows) {
    detail::core::fail("signs_with_scales: " + std::to_string(g.size()) + " scales for " +
                       std::to_string(weights.rows) + " rows");
  }
  const level_grid grid = level_grid::symmetric(1, 0, storage);
  rounded_matrix result(weights.rows, weights.cols, grid);
  for (std::size_t r = 0; r < weights.rows; ++r) {
    if (weights.cols != 0) result.set_fit(r, 0, grid.stored({g[r], 0}));
    for (std::size_t c = 0; c < weights.cols; ++c) {
      result.levels[r * weights.cols + c] =
          static_cast<std::int16_t>(sign_level(weights.row(r)[c]));
    }
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
