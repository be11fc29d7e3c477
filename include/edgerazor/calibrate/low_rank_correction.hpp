// SPDX-License-Identifier: Apache-2.0
/// The part of an error that two thin matrices take back: U V of rank r, for
///
///     y = Q x + U (V x)        E = W - Q
///
/// The error counts as the inputs say: by mean squares of columns (SLiM, arXiv 2410.09615, whose
/// saliency is their root), or by X^T X, which is the error of the outputs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct low_rank_factors {
  std::size_t rank = 0;
  std::vector<float> u;      ///< rows x rank, orthonormal columns
  std::vector<float> v;      ///< rank x cols
  double error_before = 0;   ///< of E, as it is counted
  double squared_error = 0;  ///< of E - U V

  /// rows x cols values of U V; none at rank 0, where U V is 0.
  [[nodiscard]] std::vector<float> values() const {
    if (rank == 0) return {};
    const std::size_t rows = u.size() / rank, cols = v.size() / rank;
    std::vector<float> result(rows * cols);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        double sum = 0;
        for (std::size_t k = 0; k < rank; ++k)
          sum += static_cast<double>(u[r * rank + k]) * static_cast<double>(v[k * cols + c]);
        result[r * cols + c] = static_cast<float>(sum);
      }
    }
    return result;
  }
};

namespace detail::calibrate {
using dense = second_moments::matrix_type;

[[nodiscard]] inline dense as_doubles(matrix_view<const float> from) {
  dense result(static_cast<Eigen::Index>(from.rows), static_cast<Eigen::Index>(from.cols));
  for (std::size_t r = 0; r < from.rows; ++r) {
    for (std::size_t c = 0; c < from.cols; ++c) {
      result(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c)) =
          static_cast<double>(from.row(r)[c]);
    }
  }
  return result;
}

/// An orthonormal basis of the r directions of the outputs in which `weighted` is largest: its
/// first left singular vectors, largest first, from the eigenvectors of the smaller of A A^T and
/// A^T A.
[[nodiscard]] inline dense leading_directions(const dense& weighted, Eigen::Index rank) {
  using solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;
  if (weighted.rows() <= weighted.cols()) {
    const solver eigen(weighted * weighted.transpose());
    return eigen.eigenvectors().rightCols(rank).rowwise().reverse();
  }
  const solver eigen(weighted.transpose() * weighted);
  const Eigen::MatrixXd leading =
      weighted * eigen.eigenvectors().rightCols(rank).rowwise().reverse();
  const Eigen::HouseholderQR<Eigen::MatrixXd> basis(leading);
  return basis.householderQ() * Eigen::MatrixXd::Identity(leading.rows(), rank);
}

/// U = the leading directions P of E A, V = P^T E: what is left is (I - P P^T) E, whatever the
/// weights A of columns, which need not be invertible.
[[nodiscard]] inline low_rank_factors factors_of(const dense& error, const dense& weighted,
                                                 std::size_t rank) {
  low_rank_factors result;
  result.rank = std::min(rank, static_cast<std::size_t>(std::min(error.rows(), error.cols())));
  result.error_before = result.squared_error = weighted.squaredNorm();
  if (result.rank == 0) return result;
  const auto r = static_cast<Eigen::Index>(result.rank);
  const dense p = leading_directions(weighted, r);
  const dense v = p.transpose() * error;
  result.u.resize(static_cast<std::size_t>(p.size()));
  result.v.resize(static_cast<std::size_t>(v.size()));
  std::transform(p.data(), p.data() + p.size(), result.u.begin(),
                 [](double x) { return static_cast<float>(x); });
  std::transform(v.data(), v.data() + v.size(), result.v.begin(),
                 [](double x) { return static_cast<float>(x); });
  result.squared_error = (weighted - p * (p.transpose() * weighted)).squaredNorm();
  return result;
}
}  // namespace detail::calibrate

/// The U V of a rank that leaves least of sum importance_c * (E - U V)_rc^2: the truncated singular
/// value decomposition P S Q^T of E diag(d), d = sqrt(importance), with U = P and
/// V = S Q^T diag(1/d) = P^T E. Importances are mean squares of activations; none: all 1. A column
/// of importance 0 has no say in U, and is corrected as far as U reaches it. (Published code
/// divides by d, which it has to keep from 0 by raising all of them.)
///
/// The rank is at most min(rows, cols). In float64; the eigenvectors take about 9 min(rows, cols)^3
/// operations. Fails where an error is NaN or infinite, naming it, or importances are not one a
/// column.
[[nodiscard]] inline low_rank_factors low_rank_correction(matrix_view<const float> error,
                                                          std::size_t rank,
                                                          std::span<const float> importance = {}) {
  namespace here = detail::calibrate;
  here::check_weights(error, importance, "low_rank_correction");
  const here::dense own = here::as_doubles(error);
  if (importance.empty()) return here::factors_of(own, own, rank);
  here::dense weighted = own;
  for (std::size_t c = 0; c < error.cols; ++c)
    weighted.col(static_cast<Eigen::Index>(c)) *= std::sqrt(static_cast<double>(importance[c]));
  return here::factors_of(own, weighted, rank);
}

/// The same by the outputs: least tr((E - U V) H (E - U V)^T), H = X^T X. U is P of
/// E H^(1/2) = P S Q^T. Fails where H is of another number of columns, or an error is NaN or
/// infinite, naming it.
[[nodiscard]] inline low_rank_factors low_rank_correction(matrix_view<const float> error,
                                                          std::size_t rank,
                                                          const second_moments& moments) {
  namespace here = detail::calibrate;
  if (moments.cols() != error.cols) {
    detail::core::fail("low_rank_correction: errors of " + std::to_string(error.cols) +
                       " columns, second moments of " + std::to_string(moments.cols()));
  }
  detail::policy::check_finite(error);
  const here::dense own = here::as_doubles(error);
  if (error.cols == 0) return here::factors_of(own, own, rank);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(moments.matrix());
  const here::dense root =
      eigen.eigenvectors() * eigen.eigenvalues().cwiseMax(0.0).cwiseSqrt().asDiagonal();
  return here::factors_of(own, own * root, rank);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
