// SPDX-License-Identifier: Apache-2.0
/// Statistics of activations, streamed: any number of tokens, a block at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <Eigen/Core>

#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/executor.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::calibrate {
inline void check_activations(matrix_view<const float> x, std::size_t cols, const char* name) {
  if (x.cols != cols) {
    core::fail(std::string{name} + ": activations of " + std::to_string(x.cols) +
               " columns, expected " + std::to_string(cols));
  }
  policy::check_finite(x, "activation");
}
inline void check_merge(std::size_t cols, std::size_t others, const char* name) {
  if (cols != others) {
    core::fail(std::string{name} + ": merging " + std::to_string(others) + " columns into " +
               std::to_string(cols));
  }
}
}  // namespace detail::calibrate

/// Four numbers of each column: mean x, mean |x|, mean x^2, max |x|. Sums are float64.
class column_statistics {
 public:
  column_statistics() = default;
  explicit column_statistics(std::size_t cols) : columns_(cols) {}

  /// Adds `x.rows` tokens. Fails where they have another number of columns, or an activation is NaN
  /// or infinite, naming it; nothing is added then.
  void add(matrix_view<const float> x) {
    detail::calibrate::check_activations(x, columns_.size(), "column_statistics");
    for (std::size_t t = 0; t < x.rows; ++t) {
      const std::span<const float> token = x.row(t);
      for (std::size_t c = 0; c < token.size(); ++c) {
        const auto value = static_cast<double>(token[c]);
        const double magnitude = std::fabs(value);
        sums& column = columns_[c];
        column.value += value;
        column.magnitude += magnitude;
        column.square += value * value;
        column.largest = magnitude > column.largest ? magnitude : column.largest;
      }
    }
    count_ += x.rows;
  }
  /// Adds what another has seen. Fails where that had another number of columns.
  void merge(const column_statistics& other) {
    detail::calibrate::check_merge(cols(), other.cols(), "column_statistics");
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      columns_[c].value += other.columns_[c].value;
      columns_[c].magnitude += other.columns_[c].magnitude;
      columns_[c].square += other.columns_[c].square;
      columns_[c].largest = std::max(columns_[c].largest, other.columns_[c].largest);
    }
    count_ += other.count_;
  }

  [[nodiscard]] std::size_t cols() const noexcept { return columns_.size(); }
  /// Tokens seen. Without any, all means are 0.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] double mean(std::size_t c) const noexcept { return over_count(columns_[c].value); }
  [[nodiscard]] double mean_magnitude(std::size_t c) const noexcept {
    return over_count(columns_[c].magnitude);
  }
  [[nodiscard]] double mean_square(std::size_t c) const noexcept {
    return over_count(columns_[c].square);
  }
  [[nodiscard]] double max_magnitude(std::size_t c) const noexcept { return columns_[c].largest; }
  /// Mean squares as importances of columns.
  [[nodiscard]] std::vector<float> mean_squares() const {
    std::vector<float> result(cols());
    for (std::size_t c = 0; c < cols(); ++c) result[c] = static_cast<float>(mean_square(c));
    return result;
  }

 private:
  struct sums {
    double value = 0, magnitude = 0, square = 0, largest = 0;
  };
  [[nodiscard]] double over_count(double sum) const noexcept {
    return count_ == 0 ? 0 : sum / static_cast<double>(count_);
  }
  std::vector<sums> columns_;
  std::size_t count_ = 0;
};

/// X^T X, summed over tokens.
///
/// Products of 256 tokens are summed in float, those sums in float64: relative to
/// sqrt(H_ii H_jj) an entry is right to 256 * 2^-24. Panels of columns are what threads share, so
/// the result does not depend on how many there are.
class second_moments {
 public:
  using matrix_type = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  second_moments() = default;
  explicit second_moments(std::size_t cols) {
    static_cast<void>(detail::core::size_product("second_moments", cols, cols, sizeof(double)));
    sums_.setZero(static_cast<Eigen::Index>(cols), static_cast<Eigen::Index>(cols));
  }
  /// From a matrix that somebody else summed, symmetric; only its lower triangle is read.
  second_moments(matrix_view<const double> sums, std::size_t tokens) : count_(tokens) {
    if (sums.rows != sums.cols) {
      detail::core::fail("second_moments: expected a square matrix, got " +
                         detail::core::shape_text(sums.rows, sums.cols));
    }
    sums_.resize(static_cast<Eigen::Index>(sums.rows), static_cast<Eigen::Index>(sums.cols));
    for (std::size_t r = 0; r < sums.rows; ++r) {
      for (std::size_t c = 0; c < sums.cols; ++c) {
        const double value = sums.row(std::max(r, c))[std::min(r, c)];
        if (!detail::calibrate::is_finite(value)) {
          detail::core::fail("second_moments: the entry at row " + std::to_string(r) + ", column " +
                             std::to_string(c) + " is not finite");
        }
        sums_(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c)) = value;
      }
    }
  }

  /// Adds `x.rows` tokens. Fails where they have another number of columns, or an activation is NaN
  /// or infinite, naming it; nothing is added then.
  void add(matrix_view<const float> x, executor_ref executor = {}) {
    detail::calibrate::check_activations(x, cols(), "second_moments");
    if (x.rows == 0) return;
    const Eigen::Map<const row_major, 0, Eigen::OuterStride<>> tokens(
        x.data, static_cast<Eigen::Index>(x.rows), static_cast<Eigen::Index>(x.cols),
        Eigen::OuterStride<>(static_cast<Eigen::Index>(x.stride)));
    const std::size_t panels = (cols() + panel_columns - 1) / panel_columns;
    executor(panels, [&](std::size_t panel) noexcept {
      const auto begin = static_cast<Eigen::Index>(panel * panel_columns);
      const auto width = std::min<Eigen::Index>(panel_columns, sums_.cols() - begin);
      row_major block(width, begin + width);
      for (Eigen::Index t = 0; t < tokens.rows(); t += block_tokens) {
        const auto count = std::min<Eigen::Index>(block_tokens, tokens.rows() - t);
        block.noalias() = tokens.block(t, begin, count, width).transpose() *
                          tokens.block(t, 0, count, begin + width);
        sums_.block(begin, 0, width, begin + width) += block.cast<double>();
      }
      // The upper triangle is the mirror image of the lower one.
      sums_.block(0, begin, begin, width) = sums_.block(begin, 0, width, begin).transpose();
      for (Eigen::Index i = begin; i < begin + width; ++i)
        for (Eigen::Index j = i + 1; j < begin + width; ++j) sums_(i, j) = sums_(j, i);
    });
    count_ += x.rows;
  }
  /// Adds what another has seen. Fails where that had another number of columns.
  void merge(const second_moments& other) {
    detail::calibrate::check_merge(cols(), other.cols(), "second_moments");
    sums_ += other.sums_;
    count_ += other.count_;
  }

  [[nodiscard]] std::size_t cols() const noexcept { return static_cast<std::size_t>(sums_.cols()); }
  /// Tokens seen.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// cols x cols, symmetric.
  [[nodiscard]] const matrix_type& matrix() const noexcept { return sums_; }
  [[nodiscard]] double operator()(std::size_t i, std::size_t j) const noexcept {
    return sums_(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j));
  }
  /// The same multiplied by a number: 2 / samples is the Hessian as GPTQ and SpQR write it.
  [[nodiscard]] second_moments scaled(double factor) const {
    second_moments result = *this;
    result.sums_ *= factor;
    return result;
  }
  /// The diagonal as importances of columns: sums of x^2, or means where tokens are known.
  [[nodiscard]] std::vector<float> mean_squares() const {
    std::vector<float> result(cols());
    const double tokens = static_cast<double>(std::max<std::size_t>(count_, 1));
    for (std::size_t c = 0; c < cols(); ++c) result[c] = static_cast<float>((*this)(c, c) / tokens);
    return result;
  }

 private:
  using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static constexpr Eigen::Index block_tokens = 256;
  static constexpr std::size_t panel_columns = 96;

  matrix_type sums_;
  std::size_t count_ = 0;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
