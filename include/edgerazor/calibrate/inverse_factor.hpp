// SPDX-License-Identifier: Apache-2.0
/// The triangular factor of an inverse by which rounding errors are fed back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The order in which columns are rounded: as they lie, or those of the largest diagonal of H first
/// (GPTQ's act_order), of equal ones the first.
enum class column_order : std::uint8_t { natural, descending };

struct damping_options {
  double damping = 0.01;  ///< added to the diagonal, relative to its mean; at least 0
  column_order order = column_order::natural;
};

/// H_d^-1 = U^T U, U upper triangular with a positive diagonal; H_d is H with its diagonal damped
/// and rows and columns in the order in which they are rounded.
struct inverse_factor {
  using matrix_type = second_moments::matrix_type;

  matrix_type upper;                       ///< U, cols x cols
  std::vector<std::uint32_t> permutation;  ///< column rounded at place p; empty: p itself
  std::vector<double> diagonal;            ///< of H_d, at places
  std::vector<double> added;               ///< what damping has added to it, at places

  [[nodiscard]] std::size_t cols() const noexcept { return diagonal.size(); }
  /// The column that is rounded at a place.
  [[nodiscard]] std::size_t column(std::size_t place) const noexcept {
    return permutation.empty() ? place : permutation[place];
  }
};

namespace detail::calibrate {
/// The inverse of a lower triangle, in place: by halves, so that nearly all of it is products.
///
///     (A  0)^-1   (        A^-1       0  )
///     (B  C)    = (-C^-1 B A^-1     C^-1)
template <class Matrix>
void invert_lower(Eigen::Ref<Matrix, 0, Eigen::OuterStride<>> lower) {
  const Eigen::Index n = lower.rows();
  if (n <= 48) {
    for (Eigen::Index j = 0; j < n; ++j) {
      lower(j, j) = 1 / lower(j, j);
      for (Eigen::Index i = j + 1; i < n; ++i) {
        double sum = 0;
        for (Eigen::Index k = j; k < i; ++k) sum += lower(i, k) * lower(k, j);
        lower(i, j) = -sum / lower(i, i);
      }
    }
    return;
  }
  const Eigen::Index half = n / 2, rest = n - half;
  invert_lower<Matrix>(lower.topLeftCorner(half, half));
  invert_lower<Matrix>(lower.bottomRightCorner(rest, rest));
  const Matrix right = lower.bottomLeftCorner(rest, half) *
                       lower.topLeftCorner(half, half).template triangularView<Eigen::Lower>();
  lower.bottomLeftCorner(rest, half).noalias() =
      -(lower.bottomRightCorner(rest, rest).template triangularView<Eigen::Lower>() * right);
}
}  // namespace detail::calibrate

/// The factor of damped second moments, in float64.
///
///     H_d = H + damping * mean(diagonal of H) * I
///
/// A column that no token has moved (diagonal 0) has nothing but the damping, or 1 where that is 0:
/// it is rounded to nearest and tells no other column. (GPTQ's code sets such weights to 0.) A
/// factor in front of H changes nothing but the unit of errors.
///
/// H = R R^T with R upper, by the Cholesky factor of H in reverse order; then U = R^-1, which is
/// (R R^T)^-1 = U^T U: no inverse is ever formed.
///
/// Fails where the damping is negative or not finite, or H_d is not positive definite.
[[nodiscard]] inline inverse_factor damped_inverse_factor(const second_moments& moments,
                                                          const damping_options& options = {}) {
  if (!(options.damping >= 0) || !detail::calibrate::is_finite(options.damping)) {
    detail::core::fail("damped_inverse_factor: the damping is " + std::to_string(options.damping) +
                       ", expected a finite number of at least 0");
  }
  const std::size_t cols = moments.cols();
  const auto n = static_cast<Eigen::Index>(cols);
  inverse_factor result;
  double trace = 0;
  for (std::size_t c = 0; c < cols; ++c) trace += moments(c, c);
  const double damping = cols == 0 ? 0 : options.damping * trace / static_cast<double>(cols);

  if (options.order == column_order::descending) {
    result.permutation.resize(cols);
    std::iota(result.permutation.begin(), result.permutation.end(), 0u);
    std::stable_sort(
        result.permutation.begin(), result.permutation.end(),
        [&](std::uint32_t a, std::uint32_t b) { return moments(a, a) > moments(b, b); });
  }
  result.diagonal.resize(cols);
  result.added.resize(cols);
  for (std::size_t p = 0; p < cols; ++p) {
    const double own = moments(result.column(p), result.column(p));
    result.added[p] = own + damping > 0 ? damping : 1;
    result.diagonal[p] = own + result.added[p];
  }
  // In reverse: place p is row n - 1 - p.
  using column_major = Eigen::MatrixXd;
  column_major reversed(n, n);
  for (std::size_t j = 0; j < cols; ++j) {
    const std::size_t from = result.column(cols - 1 - j);
    for (std::size_t i = j; i < cols; ++i) {
      reversed(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) =
          moments(result.column(cols - 1 - i), from);
    }
    reversed(static_cast<Eigen::Index>(j), static_cast<Eigen::Index>(j)) =
        result.diagonal[cols - 1 - j];
  }
  const Eigen::LLT<Eigen::Ref<column_major>, Eigen::Lower> cholesky(reversed);
  if (cholesky.info() != Eigen::Success) {
    detail::core::fail("damped_inverse_factor: the second moments of " + std::to_string(cols) +
                       " columns are not positive definite at a damping of " +
                       std::to_string(options.damping) + " of their mean diagonal: raise it");
  }
  detail::calibrate::invert_lower<column_major>(reversed);
  result.upper.setZero(n, n);
  for (Eigen::Index j = 0; j < n; ++j)
    for (Eigen::Index i = j; i < n; ++i) result.upper(n - 1 - i, n - 1 - j) = reversed(i, j);
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
