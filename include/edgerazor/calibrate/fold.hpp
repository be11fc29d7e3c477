// SPDX-License-Identifier: Apache-2.0
/// What goes into weights before they are rounded, so that a model computes the same with inputs
/// that quantize better (QuaRot, arXiv 2404.00456).
///
/// With R orthogonal, x' = R x in place of x:
///
///     y = W x = (W R^T) x'            rotate_inputs     of every matrix that reads x'
///     x' = R (W z)                    rotate_outputs    of every matrix that writes x'
///     rows of an embedding            rotate_inputs     each row is an x
///     norm weights n before W         scale_columns(W, n), the norm's weights become 1
///
/// A norm by the root of the mean square commutes with R, but only where its weights are 1: they go
/// first. One that also subtracts the mean becomes such a norm where everything that writes x has
/// mean 0: `center_outputs`.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// R as it is called: takes a vector x and leaves R x in its place. What it throws passes through.
template <class Rotation>
concept vector_rotation = std::invocable<const Rotation&, std::span<float>>;

/// An orthogonal matrix as a rotation: one that was learned (SpinQuant), or drawn. The memory is
/// referred to and must live as long; sums are float64.
class orthogonal_rotation {
 public:
  /// Fails where the matrix is not square, or an entry of R R^T is further than `tolerance` from
  /// the identity's, or not a number.
  explicit orthogonal_rotation(matrix_view<const float> matrix, double tolerance = 1e-4)
      : matrix_(matrix) {
    if (matrix.rows != matrix.cols) {
      detail::core::fail("orthogonal_rotation: expected a square matrix, got " +
                         detail::core::shape_text(matrix.rows, matrix.cols));
    }
    for (std::size_t i = 0; i < matrix.rows; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        const double apart = dot(matrix.row(i), matrix.row(j)) - (i == j ? 1 : 0);
        if (std::fabs(apart) <= tolerance) continue;
        detail::core::fail("orthogonal_rotation: the product of rows " + std::to_string(j) +
                           " and " + std::to_string(i) + " is " +
                           std::to_string(apart + (i == j ? 1 : 0)) + ", expected " +
                           (i == j ? "1" : "0"));
      }
    }
  }
  /// x = R x. Fails where x has another number of elements.
  void operator()(std::span<float> x) const {
    if (x.size() != matrix_.cols) {
      detail::core::fail("orthogonal_rotation: a vector of " + std::to_string(x.size()) +
                         " elements for " + std::to_string(matrix_.cols) + " columns");
    }
    const std::vector<float> old(x.begin(), x.end());
    for (std::size_t r = 0; r < x.size(); ++r) x[r] = static_cast<float>(dot(matrix_.row(r), old));
  }

 private:
  static double dot(std::span<const float> a, std::span<const float> b) noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  }
  matrix_view<const float> matrix_;
};

namespace detail::calibrate {
[[nodiscard]] inline std::size_t blocks_of(std::size_t size, std::size_t block,
                                           const char* function, const char* what) {
  if (block == 0) return size == 0 ? 0 : 1;
  if (size % block == 0) return size / block;
  core::fail(std::string{function} + ": " + std::to_string(size) + " " + what +
             ", expected a multiple of the block of " + std::to_string(block));
}
}  // namespace detail::calibrate

/// W R^T, rows x cols: R applied to each row, or to each `block` columns of it (0: the whole), as
/// a rotation of groups of columns or of heads has it. Fails where cols is no multiple of the
/// block, or a weight is NaN or infinite, naming it.
template <vector_rotation Rotation>
[[nodiscard]] std::vector<float> rotate_inputs(matrix_view<const float> weights,
                                               const Rotation& rotation, std::size_t block = 0) {
  const std::size_t blocks =
      detail::calibrate::blocks_of(weights.cols, block, "rotate_inputs", "columns");
  detail::policy::check_finite(weights);
  std::vector<float> result;
  result.reserve(weights.rows * weights.cols);
  for (std::size_t r = 0; r < weights.rows; ++r)
    result.insert(result.end(), weights.row(r).begin(), weights.row(r).end());
  for (std::size_t r = 0; r < weights.rows; ++r) {
    const std::span<float> row = std::span{result}.subspan(r * weights.cols, weights.cols);
    const std::size_t size = blocks == 0 ? 0 : weights.cols / blocks;
    for (std::size_t b = 0; b < blocks; ++b) rotation(row.subspan(b * size, size));
  }
  return result;
}

/// R W, rows x cols: R applied to each column, or to each `block` rows of it (0: to the whole).
/// Fails where rows is no multiple of the block, or a weight is NaN or infinite, naming it.
template <vector_rotation Rotation>
[[nodiscard]] std::vector<float> rotate_outputs(matrix_view<const float> weights,
                                                const Rotation& rotation, std::size_t block = 0) {
  const std::size_t blocks =
      detail::calibrate::blocks_of(weights.rows, block, "rotate_outputs", "rows");
  detail::policy::check_finite(weights);
  std::vector<float> result(weights.rows * weights.cols), column(weights.rows);
  for (std::size_t c = 0; c < weights.cols; ++c) {
    for (std::size_t r = 0; r < weights.rows; ++r) column[r] = weights.row(r)[c];
    const std::size_t size = blocks == 0 ? 0 : weights.rows / blocks;
    for (std::size_t b = 0; b < blocks; ++b) rotation(std::span{column}.subspan(b * size, size));
    for (std::size_t r = 0; r < weights.rows; ++r) result[r * weights.cols + c] = column[r];
  }
  return result;
}

/// Each column less its mean, rows x cols: the outputs then have mean 0 (a bias is centred the same
/// way, as a matrix of one column). Fails where a weight is NaN or infinite, naming it.
[[nodiscard]] inline std::vector<float> center_outputs(matrix_view<const float> weights) {
  detail::policy::check_finite(weights);
  std::vector<float> result(weights.rows * weights.cols);
  for (std::size_t c = 0; c < weights.cols; ++c) {
    double sum = 0;
    for (std::size_t r = 0; r < weights.rows; ++r) sum += static_cast<double>(weights.row(r)[c]);
    const double mean = sum / static_cast<double>(std::max<std::size_t>(weights.rows, 1));
    for (std::size_t r = 0; r < weights.rows; ++r) {
      result[r * weights.cols + c] =
          static_cast<float>(static_cast<double>(weights.row(r)[c]) - mean);
    }
  }
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
