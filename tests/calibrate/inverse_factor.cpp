// SPDX-License-Identifier: Apache-2.0
/// The factor of the damped inverse against its definition.
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/activations.hpp"
#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/statistics.hpp>

namespace er = edgerazor;

namespace {
er::second_moments moments_of(std::size_t cols, std::size_t tokens, std::vector<float>* kept = {}) {
  std::vector<float> x = samples::correlated(tokens, cols, 5);
  if (kept != nullptr) *kept = x;
  er::second_moments moments(cols);
  moments.add({x.data(), tokens, cols});
  return moments;
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/inverse_factor");

TEST_CASE("damped_inverse_factor: U H_d U^T is the identity, U upper triangular") {
  for (const std::size_t cols : {1u, 2u, 47u, 48u, 49u, 97u, 200u}) {
    for (const er::column_order order : {er::column_order::natural, er::column_order::descending}) {
      const er::second_moments moments = moments_of(cols, 400);
      const er::inverse_factor factor = er::damped_inverse_factor(moments, {.order = order});
      REQUIRE(factor.cols() == cols);
      CHECK(factor.permutation.empty() == (order == er::column_order::natural));
      const auto n = static_cast<Eigen::Index>(cols);
      Eigen::MatrixXd damped(n, n);
      const double mean = moments.matrix().diagonal().mean();
      for (std::size_t i = 0; i < cols; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          damped(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) =
              moments(factor.column(i), factor.column(j)) + (i == j ? 0.01 * mean : 0);
        }
        CHECK(factor.added[i] == doctest::Approx(0.01 * mean).epsilon(1e-14));
        CHECK(factor.diagonal[i] ==
              doctest::Approx(damped(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(i)))
                  .epsilon(1e-14));
        if (order == er::column_order::descending && i > 0) {
          CHECK(factor.diagonal[i] <= factor.diagonal[i - 1]);
        }
      }
      const Eigen::MatrixXd identity = factor.upper * damped * factor.upper.transpose();
      CHECK((identity - Eigen::MatrixXd::Identity(n, n)).cwiseAbs().maxCoeff() < 1e-9);
      for (Eigen::Index i = 0; i < n; ++i) {
        CHECK(factor.upper(i, i) > 0);
        for (Eigen::Index j = 0; j < i; ++j) CHECK(factor.upper(i, j) == 0);
      }
    }
  }
}

TEST_CASE("damped_inverse_factor: a column that no token moved tells no other") {
  constexpr std::size_t cols = 20, dead = 6;
  std::vector<float> x = samples::correlated(100, cols, 6);
  for (std::size_t t = 0; t < 100; ++t) x[t * cols + dead] = 0;
  er::second_moments moments(cols);
  moments.add({x.data(), 100, cols});
  const er::inverse_factor factor = er::damped_inverse_factor(moments);
  for (Eigen::Index j = dead + 1; j < Eigen::Index{cols}; ++j) CHECK(factor.upper(dead, j) == 0);
  CHECK(factor.diagonal[dead] == factor.added[dead]);
  const er::inverse_factor plain = er::damped_inverse_factor(moments, {.damping = 0});
  CHECK(plain.diagonal[dead] == 1);
  CHECK(plain.added[dead] == 1);
  CHECK(plain.added[0] == 0);
}

TEST_CASE("damped_inverse_factor: what has no factor is refused") {
  // 10 tokens span 10 dimensions of 20.
  const er::second_moments moments = moments_of(20, 10);
  CHECK_THROWS_WITH_AS(
      static_cast<void>(er::damped_inverse_factor(moments, {.damping = 0})),
      "damped_inverse_factor: the second moments of 20 columns are not positive definite at a "
      "damping of 0.000000 of their mean diagonal: raise it",
      std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::damped_inverse_factor(moments, {.damping = -1})),
                    doctest::Contains("the damping is -1.0"));
  CHECK_THROWS_WITH(static_cast<void>(er::damped_inverse_factor(
                        moments, {.damping = std::numeric_limits<double>::quiet_NaN()})),
                    doctest::Contains("expected a finite number of at least 0"));
  CHECK(er::damped_inverse_factor(moments).cols() == 20);
  CHECK(er::damped_inverse_factor(er::second_moments(0)).cols() == 0);
  CHECK(er::damped_inverse_factor(er::second_moments(3)).upper(1, 1) == 1);
}

TEST_SUITE_END();
