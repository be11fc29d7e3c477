// SPDX-License-Identifier: Apache-2.0
/// One scale for a whole matrix, whose largest weights may be clipped (SLiM-Quant, arXiv
/// 2410.09615, section 3.1).
///
///     scale = alpha / m,  m = 2^(bits - 1) - 1        levels -m - 1 ... m
///
/// `slim_quant` takes the alpha of least squared error; `published::slim_quant` takes the one of
/// least error in a model of the quantizer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/group_sums.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct slim_quant_options {
  int trials = 48;         ///< clipped ranges, each shrunk from the one before
  float smallest = 0.05f;  ///< least part of the largest weight that is tried
  int refinements = 12;    ///< rounds of levels and least squares at most, from the best on
  std::optional<scale_kind> storage{};  ///< how the scale is stored, see level_grid
  executor_ref executor{};
};

namespace detail::calibrate {
/// Levels -2^(bits - 1) ... 2^(bits - 1) - 1, a row a group. Fails for other bits than 2 to 8.
[[nodiscard]] inline level_grid whole_matrix_grid(int bits, std::optional<scale_kind> storage,
                                                  const char* function) {
  if (bits < 2 || bits > 8) {
    core::fail(std::string{function} + ": " + std::to_string(bits) + " bits, expected 2 to 8");
  }
  const int half = 1 << (bits - 1);
  return {-half, half - 1, group_zero::none, 0, storage};
}

[[nodiscard]] inline float largest_magnitude(matrix_view<const float> weights) noexcept {
  float largest = 0;
  for (std::size_t r = 0; r < weights.rows; ++r)
    for (const float w : weights.row(r)) largest = std::max(largest, std::fabs(w));
  return largest;
}

/// Sums of a function of a row over all rows, in their order whatever the executor.
template <class OfRow>
[[nodiscard]] double sum_over_rows(std::size_t rows, executor_ref executor, const OfRow& of_row) {
  std::vector<double> sums(rows);
  for_row_grains(rows, executor, [&](row_range some) noexcept {
    for (std::size_t r = some.begin; r < some.end; ++r) sums[r] = of_row(r);
  });
  double sum = 0;
  for (const double one : sums) sum += one;
  return sum;
}
}  // namespace detail::calibrate

/// The scale of least sum of importance * (w - value)^2 over the whole matrix, and the levels
/// nearest to the weights; every row has that scale. Importances of columns are mean squares of
/// activations; none: all 1. First trial ranges from the largest weight down, then, from the best
/// of them on, levels and least squares in turn. Never worse than the largest weight on level m.
///
/// Fails for other bits than 2 to 8, where a weight is NaN or infinite, naming it, or importances
/// are not one a column.
[[nodiscard]] inline rounded_matrix slim_quant(matrix_view<const float> weights, int bits,
                                               std::span<const float> importance = {},
                                               const slim_quant_options& options = {}) {
  namespace here = detail::calibrate;
  const level_grid grid = here::whole_matrix_grid(bits, options.storage, "slim_quant");
  here::check_weights(weights, importance, "slim_quant");
  const auto row = [&](std::size_t r) {
    return here::weighted_group{weights.row(r).data(),
                                importance.empty() ? nullptr : importance.data(), weights.cols};
  };
  const auto error_at = [&](group_fit fit) {
    return here::sum_over_rows(weights.rows, options.executor, [&](std::size_t r) {
      return static_cast<double>(here::squared_error(row(r), grid, fit));
    });
  };
  const float whole = std::max(here::largest_magnitude(weights), here::smallest_magnitude) /
                      static_cast<float>(grid.max_level);
  group_fit best = grid.stored({whole, 0});
  double least = error_at(best);
  const float ratio =
      std::pow(options.smallest, 1.0f / static_cast<float>(std::max(options.trials - 1, 1)));
  const auto consider = [&](float scale) {
    const group_fit fit = grid.stored({scale, 0});
    if (!(fit.scale > 0)) return false;
    const double error = error_at(fit);
    if (!(error < least)) return false;
    least = error;
    best = fit;
    return true;
  };
  float scale = whole;
  for (int i = 1; i < options.trials; ++i) consider(scale *= ratio);
  const float middle = best.scale;  // and between its neighbours
  for (int i = 1; i < 8; ++i) {
    const float step = std::pow(ratio, static_cast<float>(i) / 8);
    consider(middle * step);
    consider(middle / step);
  }
  for (int i = 0; i < options.refinements; ++i) {
    double products = 0, squares = 0;
    for (std::size_t r = 0; r < weights.rows; ++r) {
      const here::level_sums sums = here::sums_of(row(r), grid, best);
      products += static_cast<double>(sums.qw);
      squares += static_cast<double>(sums.qq);
    }
    if (!(squares > 0) || !consider(static_cast<float>(products / squares))) break;
  }
  return round_to_nearest(
      weights, grid,
      [best](std::span<const float>, std::span<const float>, const level_grid&) noexcept {
        return best;
      },
      {}, options.executor);
}

namespace published {

/// What the histogram's rule found.
struct slim_alpha {
  float alpha = 0;
  std::vector<float> coarse_alphas;  ///< those tried first, and their losses
  std::vector<float> coarse_losses;
};

/// SLiM's alpha: the middle v_i of a bin of a histogram p of |w| by which
///
///     sum_{j < i} p_j (v_j - floor(v_j / d) d)^2 + sum_{j >= i} p_j (v_j - alpha)^2,  d = alpha /
///                                                                                     2^bits
///
/// is least: first every tenth of the bins, then every bin between the neighbours of the best of
/// those. max(512, min(n / 1000, 20000)) bins of equal width between the least and the largest |w|.
///
/// The quantizer does not round down by steps of alpha / 2^bits, it rounds to nearest by
/// alpha / m: at 4 bits this is some per cent from the best alpha, at 8 bits worse than clipping
/// nothing. Where all |w| are equal, that is alpha. Fails as `published::slim_quant` does.
[[nodiscard]] inline slim_alpha slim_quant_alpha(matrix_view<const float> weights, int bits) {
  namespace here = detail::calibrate;
  static_cast<void>(here::whole_matrix_grid(bits, {}, "slim_quant"));
  detail::policy::check_finite(weights);
  slim_alpha result;
  const std::size_t n = weights.rows * weights.cols;
  if (n == 0) return result;
  const float high = here::largest_magnitude(weights);
  float low = high;
  for (std::size_t r = 0; r < weights.rows; ++r)
    for (const float w : weights.row(r)) low = std::min(low, std::fabs(w));
  result.alpha = high;
  if (low == high) return result;

  const std::size_t bins = std::max<std::size_t>(512, std::min<std::size_t>(n / 1000, 20000));
  const double width =
      (static_cast<double>(high) - static_cast<double>(low)) / static_cast<double>(bins);
  std::vector<double> part(bins), middle(bins);
  for (std::size_t r = 0; r < weights.rows; ++r) {
    for (const float w : weights.row(r)) {
      const double place = (static_cast<double>(std::fabs(w)) - static_cast<double>(low)) / width;
      part[std::min(static_cast<std::size_t>(place), bins - 1)] += 1 / static_cast<double>(n);
    }
  }
  for (std::size_t i = 0; i < bins; ++i)
    middle[i] = static_cast<double>(low) + (static_cast<double>(i) + 0.5) * width;
  const auto loss = [&](std::size_t i) {
    const double alpha = middle[i], step = alpha / static_cast<double>(1 << bits);
    double sum = 0;
    for (std::size_t j = 0; j < bins; ++j) {
      const double value = j < i ? std::floor(middle[j] / step) * step : alpha;
      sum += part[j] * (middle[j] - value) * (middle[j] - value);
    }
    return sum;
  };
  const std::size_t stride = bins / 10;
  std::vector<std::size_t> coarse;
  std::size_t best = 0;
  std::vector<double> losses;
  for (std::size_t i = 0; i < bins && coarse.size() < 11; i += stride) {
    coarse.push_back(i);
    losses.push_back(loss(i));
    result.coarse_alphas.push_back(static_cast<float>(middle[i]));
    result.coarse_losses.push_back(static_cast<float>(losses.back()));
    if (losses.back() < losses[best]) best = losses.size() - 1;
  }
  const std::size_t first = coarse[best == 0 ? 0 : best - 1];
  const std::size_t end = coarse[std::min(best + 1, coarse.size() - 1)];
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = first; i < end; ++i) {
    const double now = loss(i);
    if (!(now < least)) continue;
    least = now;
    result.alpha = static_cast<float>(middle[i]);
  }
  return result;
}

/// SLiM-Quant as published: alpha by `slim_quant_alpha`, then in float
///
///     level = clamp(round_half_even(w * (m / alpha)), -m - 1, m)        value = level * alpha / m
///
/// a product with the reciprocal. Fails for other bits than 2 to 8, or where a weight is NaN or
/// infinite, naming it.
[[nodiscard]] inline rounded_matrix slim_quant(matrix_view<const float> weights, int bits) {
  namespace here = detail::calibrate;
  const level_grid grid = here::whole_matrix_grid(bits, {}, "slim_quant");
  const float alpha = std::max(slim_quant_alpha(weights, bits).alpha, here::smallest_magnitude);
  const auto most = static_cast<float>(grid.max_level);
  const float inverse = most / alpha;
  rounded_matrix result(weights.rows, weights.cols, grid);
  for (std::size_t r = 0; r < weights.rows; ++r) {
    if (weights.cols != 0) result.set_fit(r, 0, {alpha / most, 0});
    for (std::size_t c = 0; c < weights.cols; ++c) {
      result.levels[r * weights.cols + c] = static_cast<std::int16_t>(here::nearest_integer(
          static_cast<double>(weights.row(r)[c] * inverse), grid.min_level, grid.max_level));
    }
  }
  return result;
}

/// SLiM's saliency, squared: to every column's sum the smallest of them is added, where a sum of 0
/// counts as 1. (So all columns count more alike than their activations say; without it one column
/// that no token has moved would leave the published adapter without weights.)
[[nodiscard]] inline std::vector<float> slim_importance(std::span<const float> squares) {
  float least = std::numeric_limits<float>::infinity();
  for (const float square : squares) least = std::min(least, square == 0 ? 1.0f : square);
  std::vector<float> result(squares.begin(), squares.end());
  for (float& square : result) square += least;
  return result;
}

}  // namespace published
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
