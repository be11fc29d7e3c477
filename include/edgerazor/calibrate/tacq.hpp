// SPDX-License-Identifier: Apache-2.0
/// Which weights matter for a task (TaCQ, arXiv 2504.07389): those where the change by rounding,
/// times the gradient, times the magnitude is largest. They are kept, the others rounded with error
/// feedback (`round_by_feedback_keeping`).
///
///     score = | (sum over samples of |dL/dw|) * (w - Q(w)) * w |
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// sum over samples of |dL/dw|, one gradient of the whole matrix at a time: the absolute value is
/// that of a sample, not of a batch.
class gradient_magnitudes {
 public:
  gradient_magnitudes(std::size_t rows, std::size_t cols)
      : rows_(rows), cols_(cols), sums_(detail::core::size_product("gradients", rows, cols)) {}

  /// Adds one sample. Fails where the shape is another, or an element is NaN or infinite, naming
  /// it; nothing is added then.
  void add(matrix_view<const float> gradient) {
    if (gradient.rows != rows_ || gradient.cols != cols_) {
      detail::core::fail("gradient_magnitudes: a gradient of " +
                         detail::core::shape_text(gradient.rows, gradient.cols) + ", expected " +
                         detail::core::shape_text(rows_, cols_));
    }
    detail::policy::check_finite(gradient, "gradient");
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::span<const float> row = gradient.row(r);
      for (std::size_t c = 0; c < cols_; ++c) sums_[r * cols_ + c] += std::fabs(row[c]);
    }
    ++count_;
  }
  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
  /// Samples added.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// rows x cols.
  [[nodiscard]] std::span<const float> sums() const noexcept { return sums_; }

 private:
  std::size_t rows_, cols_, count_ = 0;
  std::vector<float> sums_;
};

/// Scores of a matrix, rows x cols. `values` is what plain rounding makes of the weights, in their
/// own order. Fails where shapes differ, or a weight or value is NaN or infinite, naming it.
[[nodiscard]] inline std::vector<float> tacq_scores(const gradient_magnitudes& gradients,
                                                    matrix_view<const float> weights,
                                                    matrix_view<const float> values) {
  if (weights.rows != gradients.rows() || weights.cols != gradients.cols() ||
      values.rows != weights.rows || values.cols != weights.cols) {
    detail::core::fail("tacq_scores: gradients " +
                       detail::core::shape_text(gradients.rows(), gradients.cols()) + ", weights " +
                       detail::core::shape_text(weights.rows, weights.cols) + ", values " +
                       detail::core::shape_text(values.rows, values.cols));
  }
  detail::policy::check_finite(weights);
  detail::policy::check_finite(values, "value");
  std::vector<float> result(gradients.sums().begin(), gradients.sums().end());
  for (std::size_t r = 0; r < weights.rows; ++r) {
    const std::span<const float> w = weights.row(r), v = values.row(r);
    float* const row = result.data() + r * weights.cols;
    for (std::size_t c = 0; c < w.size(); ++c) row[c] = std::fabs(row[c] * (w[c] - v[c]) * w[c]);
  }
  return result;
}

/// A mask for each of several matrices: 1 for the floor(fraction * all) largest scores of all
/// together; of equal ones the first. Fails where the fraction is not from 0 to 1, or a score NaN.
[[nodiscard]] inline std::vector<std::vector<std::uint8_t>> keep_largest(
    std::span<const std::span<const float>> scores, double fraction) {
  if (!(fraction >= 0 && fraction <= 1)) {
    detail::core::fail("keep_largest: the fraction is " + std::to_string(fraction) +
                       ", expected 0 to 1");
  }
  std::vector<std::vector<std::uint8_t>> masks(scores.size());
  std::size_t all = 0;
  for (std::size_t m = 0; m < scores.size(); ++m) {
    for (std::size_t i = 0; i < scores[m].size(); ++i) {
      if (!detail::policy::is_nan(scores[m][i])) continue;
      detail::core::fail("keep_largest: score " + std::to_string(i) + " of matrix " +
                         std::to_string(m) + " is NaN");
    }
    masks[m].resize(scores[m].size());
    all += scores[m].size();
  }
  auto kept = static_cast<std::size_t>(std::floor(fraction * static_cast<double>(all)));
  if (kept == 0) return masks;
  std::vector<float> sorted;
  sorted.reserve(all);
  for (const std::span<const float>& part : scores)
    sorted.insert(sorted.end(), part.begin(), part.end());
  const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(kept - 1);
  std::nth_element(sorted.begin(), place, sorted.end(), [](float a, float b) { return a > b; });
  const float least = *place;
  for (std::size_t m = 0; m < scores.size(); ++m) {
    for (std::size_t i = 0; i < scores[m].size(); ++i) {
      if (!(scores[m][i] > least)) continue;
      masks[m][i] = 1;
      --kept;
    }
  }
  for (std::size_t m = 0; m < scores.size(); ++m) {
    for (std::size_t i = 0; i < scores[m].size() && kept > 0; ++i) {
      if (scores[m][i] != least) continue;
      masks[m][i] = 1;
      --kept;
    }
  }
  return masks;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
