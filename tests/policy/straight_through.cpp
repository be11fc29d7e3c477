// SPDX-License-Identifier: Apache-2.0
/// The backward of fake quantization, plain and clipped.
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

std::vector<float> counting(std::size_t count) {
  std::vector<float> result(count);
  std::iota(result.begin(), result.end(), 1.0f);
  return result;
}

}  // namespace

TEST_SUITE_BEGIN("policy/straight_through");

TEST_CASE("straight_through: gradients pass unchanged, in place too") {
  const std::vector<float> grad = counting(100);
  std::vector<float> result(100);
  er::straight_through(grad, result);
  CHECK(result == grad);
  er::straight_through(result, result);
  CHECK(result == grad);
  er::straight_through({}, {});
  CHECK_THROWS_AS(er::straight_through(grad, std::span<float>(result).first(99)),
                  std::invalid_argument);
}

TEST_CASE("within_levels: what rounding alone brings to a level") {
  CHECK(er::within_levels<er::ternary<>>(1.0f, 1.0f));
  CHECK(er::within_levels<er::ternary<>>(1.4375f, 1.0f));
  CHECK_FALSE(er::within_levels<er::ternary<>>(1.5f, 1.0f));  // a tie goes to 2
  CHECK_FALSE(er::within_levels<er::ternary<>>(-30.0f, 1.0f));
  CHECK(er::within_levels<er::int4_asymmetric<>>(-8.0f, 1.0f));
  CHECK(er::within_levels<er::int4_asymmetric<>>(-8.5f, 1.0f));
  CHECK_FALSE(er::within_levels<er::int4_asymmetric<>>(-8.75f, 1.0f));
  CHECK_FALSE(er::within_levels<er::int4_asymmetric<>>(7.5f, 1.0f));
}

TEST_CASE("straight_through_clipped: the clip rule cuts weights of 1.5 scales and more") {
  // mean|w| = 1, s = 2: 4 and -3 lie at 2 and -1.5 scales.
  const std::vector<float> w{4, -3, 0.5f, -0.5f, 0, 0, 0, 0};
  const std::vector<float> grad = counting(8), expected{0, 0, 3, 4, 5, 6, 7, 8};
  std::vector<float> result(8, -77.0f);
  er::straight_through_clipped<er::ternary<>>(w, grad, result);
  CHECK(result == expected);
  result = grad;
  er::straight_through_clipped<er::ternary<>>(w, result, result);
  CHECK(result == expected);
}

TEST_CASE("straight_through_clipped: a symmetric maximum is never cut, whatever its rounding") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> w(64), result(64);
    for (float& x : w) x = normal(random);
    const std::vector<float> grad = counting(64);
    er::straight_through_clipped<er::int4<>>(w, grad, result);
    CHECK(result == grad);
    er::straight_through_clipped<er::int8<>>(w, grad, result);
    CHECK(result == grad);
  }
}

TEST_CASE_TEMPLATE("straight_through_clipped: a matrix is its groups", Policy,
                   er::ternary<er::per_group<16>>, er::ternary<er::per_tensor>,
                   er::ternary<er::per_flat_group<16>>, er::ternary<er::per_channel>) {
  const std::size_t rows = 5, cols = 40;
  std::vector<float> w(rows * cols, 0.125f);
  w[0] = 2;                // beyond 1.5 scales of any of the groups
  w[3 * cols + 39] = -20;  // likewise, in the last group of a row
  const std::vector<er::bfloat16> narrow(w.begin(), w.end());
  const std::vector<float> grad = counting(w.size());
  std::vector<float> expected = grad, result = grad;
  expected[3 * cols + 39] = 0;
  expected[0] = 0;
  er::straight_through_clipped<Policy>(er::matrix_view<const float>{w.data(), rows, cols},
                                       er::matrix_view<const float>{grad.data(), rows, cols},
                                       er::matrix_view<float>{result.data(), rows, cols});
  CHECK(result == expected);
  result = grad;
  er::straight_through_clipped<Policy>(
      er::matrix_view<const er::bfloat16>{narrow.data(), rows, cols},
      er::matrix_view<float>{result.data(), rows, cols},
      er::matrix_view<float>{result.data(), rows, cols});
  CHECK(result == expected);
}

TEST_CASE("straight_through_clipped: shapes and NaN are refused before anything is written") {
  std::vector<float> w(12, 1.0f), grad(12, 1.0f), result(12, -77.0f);
  const auto run = [&](std::size_t rows) {
    er::straight_through_clipped<er::ternary<>>(er::matrix_view<const float>{w.data(), rows, 4},
                                                er::matrix_view<const float>{grad.data(), 3, 4},
                                                er::matrix_view<float>{result.data(), 3, 4});
  };
  CHECK_THROWS_WITH(run(2),
                    "straight_through_clipped: weights are 2 x 4, gradients 3 x 4 and 3 x 4");
  w[11] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(run(3), "weight at row 2, column 3 is NaN: expected finite values");
  const std::span<float> fewer = std::span{result}.first(11);
  CHECK_THROWS_WITH(er::straight_through_clipped<er::ternary<>>(grad, grad, fewer),
                    "straight_through_clipped: 12 weights, gradients 12 and 11");
  CHECK(result == std::vector<float>(12, -77.0f));
}

TEST_CASE("straight_through_clipped: a group with a NaN is refused, not given a gradient of zero") {
  std::vector<float> w(20, 1.0f), gradient(20, 3.0f);
  w[13] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(er::straight_through_clipped<er::int4<>>(std::span<const float>{w}, gradient,
                                                                std::span<float>{gradient}),
                       "weight at row 0, column 13 is NaN: expected finite values",
                       std::invalid_argument);
  CHECK(gradient == std::vector<float>(20, 3.0f));
}

TEST_SUITE_END();
