// SPDX-License-Identifier: Apache-2.0
/// Folding: a small network computes the same before and after, step by step.
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include <edgerazor/calibrate/awq.hpp>
#include <edgerazor/calibrate/fold.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>

namespace er = edgerazor;

namespace {
using floats = std::vector<float>;

er::matrix_view<const float> view(const floats& data, std::size_t cols) {
  return {data.data(), data.size() / cols, cols};
}

floats times(er::matrix_view<const float> w, std::span<const float> x) {
  floats y(w.rows);
  for (std::size_t r = 0; r < w.rows; ++r) {
    double sum = 0;
    for (std::size_t c = 0; c < w.cols; ++c)
      sum += static_cast<double>(w.row(r)[c]) * static_cast<double>(x[c]);
    y[r] = static_cast<float>(sum);
  }
  return y;
}

/// x / rms(x) * weights, of x less its mean where `centered`.
floats norm(floats x, std::span<const float> weights, bool centered) {
  double mean = 0, squares = 0;
  for (const float v : x) mean += static_cast<double>(v) / static_cast<double>(x.size());
  for (float& v : x) {
    if (centered) v = static_cast<float>(static_cast<double>(v) - mean);
    squares += static_cast<double>(v * v);
  }
  const double inverse = 1 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-6);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(static_cast<double>(x[i]) * inverse) * weights[i];
  return x;
}

struct source {
  unsigned seed = std::random_device{}();
  std::mt19937 generator{seed};
  floats operator()(std::size_t count) {
    std::normal_distribution<float> normal;
    floats result(count);
    for (float& x : result) x = normal(generator);
    return result;
  }
  /// Gram and Schmidt on a random matrix.
  floats orthogonal(std::size_t n) {
    floats m = (*this)(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t pass = 0; pass < 2; ++pass) {
        for (std::size_t j = 0; j < i; ++j) {
          double dot = 0;
          for (std::size_t k = 0; k < n; ++k)
            dot += static_cast<double>(m[i * n + k] * m[j * n + k]);
          for (std::size_t k = 0; k < n; ++k)
            m[i * n + k] -= static_cast<float>(dot) * m[j * n + k];
        }
      }
      double squares = 0;
      for (std::size_t k = 0; k < n; ++k)
        squares += static_cast<double>(m[i * n + k] * m[i * n + k]);
      for (std::size_t k = 0; k < n; ++k) m[i * n + k] /= static_cast<float>(std::sqrt(squares));
    }
    return m;
  }
};

/// Vectors of numbers of order 1, sums of some dozens: 1e-4 is 1000 units in the last place.
void same(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::fabs(a[i] - b[i]) < 1e-4f);
}
}  // namespace

TEST_SUITE_BEGIN("calibrate/fold");

TEST_CASE("fold: a norm between two matrices, and everything around it rotated") {
  source random;
  CAPTURE(random.seed);
  const std::size_t n = 12;
  const floats r = random.orthogonal(n), writes = random(n * 5), weights = random(n),
               reads = random(7 * n), z = random(5);
  const er::orthogonal_rotation rotation(view(r, n));
  for (const bool centered : {false, true}) {
    const floats expected =
        times(view(reads, n), norm(times(view(writes, 5), z), weights, centered));
    // 1 the norm's weights, 2 its mean, 3 the rotation.
    const floats scaled = er::scale_columns(view(reads, n), weights);
    const floats source_of_x = centered ? er::center_outputs(view(writes, 5)) : writes;
    const floats before = er::rotate_outputs(view(source_of_x, 5), rotation);
    const floats after = er::rotate_inputs(view(scaled, n), rotation);
    same(times(view(after, n), norm(times(view(before, 5), z), floats(n, 1.0f), false)), expected);
    // The norm's weights left where they are would be wrong.
    const floats wrong = er::rotate_inputs(view(reads, n), rotation);
    CHECK(std::fabs(times(view(wrong, n), norm(times(view(before, 5), z), weights, false))[0] -
                    expected[0]) > 1e-3f);
  }
}

TEST_CASE("fold: rotations of blocks, as of heads, given as a callable") {
  source random;
  CAPTURE(random.seed);
  const std::size_t block = 4;
  const floats v = random(3 * block * 5), o = random(6 * 3 * block), x = random(5);
  // The Hadamard transform of four columns.
  const auto hadamard = [](std::span<float> y) {
    const float a = y[0] + y[1], b = y[0] - y[1], c = y[2] + y[3], d = y[2] - y[3];
    y[0] = (a + c) / 2;
    y[1] = (b + d) / 2;
    y[2] = (a - c) / 2;
    y[3] = (b - d) / 2;
  };
  const floats expected = times(view(o, 3 * block), times(view(v, 5), x));
  const floats heads = er::rotate_outputs(view(v, 5), hadamard, block);
  same(times(view(er::rotate_inputs(view(o, 3 * block), hadamard, block), 3 * block),
             times(view(heads, 5), x)),
       expected);
  floats by_hand = times(view(v, 5), x);
  for (std::size_t b = 0; b < 3; ++b) hadamard(std::span{by_hand}.subspan(b * block, block));
  same(times(view(heads, 5), x), by_hand);
}

TEST_CASE("center_outputs: outputs of mean 0, of any input") {
  source random;
  CAPTURE(random.seed);
  const floats w = random(9 * 4);
  const floats centered = er::center_outputs(view(w, 4));
  const floats y = times(view(centered, 4), random(4));
  double sum = 0;
  for (const float value : y) sum += static_cast<double>(value);
  CHECK(std::fabs(sum) < 1e-5);
}

TEST_CASE("fold: what does not fit is refused by name") {
  const floats w{1, 2, 3, 4, 5, 6};
  const auto nothing = [](std::span<float>) {};
  CHECK_THROWS_WITH_AS(static_cast<void>(er::rotate_inputs(view(w, 3), nothing, 2)),
                       "rotate_inputs: 3 columns, expected a multiple of the block of 2",
                       std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::rotate_outputs(view(w, 2), nothing, 2)),
                    "rotate_outputs: 3 rows, expected a multiple of the block of 2");
  CHECK_THROWS_WITH(er::orthogonal_rotation(view(w, 3)),
                    "orthogonal_rotation: expected a square matrix, got 2 x 3");
  const floats skew{1, 0, 0.6f, 0.8f};
  CHECK_THROWS_WITH(er::orthogonal_rotation(view(skew, 2)),
                    "orthogonal_rotation: the product of rows 0 and 1 is 0.600000, expected 0");
  const floats bad{1, std::numeric_limits<float>::quiet_NaN(), 0, 1};
  CHECK_THROWS_WITH(er::orthogonal_rotation(view(bad, 2)),
                    doctest::Contains("the product of rows 0 and 0 is"));
  CHECK_THROWS_WITH(static_cast<void>(er::center_outputs(view(bad, 2))),
                    "weight at row 0, column 1 is NaN: expected finite values");
  const floats one{1};
  const er::orthogonal_rotation rotation(view(one, 1));
  floats two(2);
  CHECK_THROWS_WITH(rotation(two), "orthogonal_rotation: a vector of 2 elements for 1 columns");
  CHECK(er::rotate_inputs({nullptr, 0, 0}, nothing).empty());
}

TEST_SUITE_END();
