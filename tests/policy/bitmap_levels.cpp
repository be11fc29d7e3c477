// SPDX-License-Identifier: Apache-2.0
/// Training of four levels: gradients against differences, the regularizer, a fit from scratch.
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/bitmap_levels.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/bitmap_levels");

TEST_CASE("bitmap_codes: sign and bit give the level in order; halves and zeros count up") {
  const std::vector<float> w{-1, -1, 1, 1, 0, -0.0f}, map{1, 0, 0.49f, 0.5f, 0, 1};
  std::vector<std::uint8_t> codes(6);
  er::bitmap_codes(w, map, codes);
  CHECK(codes == std::vector<std::uint8_t>{0, 1, 2, 3, 2, 3});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> bad{nan, 1};
  er::bitmap_codes(bad, std::vector<float>{0, nan}, std::span{codes}.first(2));
  CHECK(codes[0] == 2);
  CHECK(codes[1] == 2);
}

TEST_CASE("level_gradients, bitmap_backward: differences of a loss that is quadratic in w_q") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  const std::size_t n = 40;
  std::vector<float> w(n), map(n), target(n);
  for (std::size_t i = 0; i < n; ++i) {
    w[i] = normal(generator);
    map[i] = std::uniform_real_distribution<float>{0, 1}(generator);
    target[i] = normal(generator);
  }
  const er::four_levels levels{-1.5f, -0.25f, 0.5f, 2.0f};
  std::vector<std::uint8_t> codes(n);
  er::bitmap_codes(w, map, codes);
  // loss = sum (w_q - target)^2 / 2, so its gradient for w_q is w_q - target.
  std::vector<float> g(n);
  for (std::size_t i = 0; i < n; ++i) g[i] = levels[codes[i]] - target[i];
  const er::four_levels grad = er::level_gradients(codes, g);
  for (std::size_t k = 0; k < 4; ++k) {
    const auto loss = [&](double step) {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double q = static_cast<double>(levels[codes[i]]) + (codes[i] == k ? step : 0.0);
        sum += (q - static_cast<double>(target[i])) * (q - static_cast<double>(target[i])) / 2;
      }
      return sum;
    };
    // Exact for a quadratic but for the sums' rounding.
    CHECK(grad[k] == doctest::Approx((loss(0.5) - loss(-0.5))).epsilon(1e-5).scale(1));
  }
  std::vector<float> grad_map(n);
  er::bitmap_backward(w, levels, g, grad_map);
  for (std::size_t i = 0; i < n; ++i) {
    // w_q of a relaxed G is linear in it.
    const float outer = w[i] < 0 ? levels[0] : levels[3], inner = w[i] < 0 ? levels[1] : levels[2];
    CHECK(grad_map[i] == doctest::Approx(g[i] * (outer - inner)));
  }
}

TEST_CASE("bitmap_regularizer: 0 at the ends, gradients by differences, added not written") {
  const std::vector<float> ends{0, 1, 1, 0};
  std::vector<float> g(4, 5.0f);
  CHECK(er::bitmap_regularizer{}(ends, g) == 0);
  CHECK(g == std::vector<float>(4, 5.0f));
  CHECK(er::bitmap_regularizer{.beta = 3, .factor = 0.5f}(std::vector<float>{0.5f, 0.5f}) == 1);
  const std::vector<float> map{0.1f, 0.3f, 0.6f, 0.95f, 0.5f};
  for (const float beta : {1.5f, 2.0f, 4.0f, 20.0f}) {
    const er::bitmap_regularizer loss{beta, 0.7f};
    std::vector<float> grad(map.size());
    static_cast<void>(loss(map, grad));
    for (std::size_t i = 0; i < map.size(); ++i) {
      // Central differences of h = 1/512: the third derivative is at most of the order of beta^3.
      const float h = 1.0f / 512;
      std::vector<float> up = map, down = map;
      up[i] += h;
      down[i] -= h;
      const double slope = (loss(up) - loss(down)) / (2 * static_cast<double>(h));
      CHECK(std::fabs(static_cast<double>(grad[i]) - slope) <= 1e-2 * (1 + std::fabs(slope)));
    }
  }
}

TEST_CASE("three trained parts find four levels that one scale cannot have") {
  // Weights on four levels that are no sign times two magnitudes; start: all inner, wrong levels.
  const er::four_levels truth{-0.9f, -0.2f, 0.1f, 1.6f};
  std::vector<float> w, map;
  for (std::size_t i = 0; i < 64; ++i) {
    w.push_back(truth[i * 7 % 4]);
    map.push_back(0.5f);
  }
  er::four_levels levels{-1.0f, -0.5f, 0.5f, 1.0f};
  std::vector<std::uint8_t> codes(64);
  std::vector<float> g(64), grad_map(64);
  double loss = 0;
  for (int step = 0; step < 600; ++step) {
    er::bitmap_codes(w, map, codes);
    loss = 0;
    for (std::size_t i = 0; i < 64; ++i) {
      g[i] = levels[codes[i]] - w[i];
      loss += static_cast<double>(g[i] * g[i]);
    }
    const er::four_levels grad = er::level_gradients(codes, g);
    er::bitmap_backward(w, levels, g, grad_map);
    static_cast<void>(er::bitmap_regularizer{.beta = 2, .factor = 0.01f}(map, grad_map));
    for (std::size_t k = 0; k < 4; ++k) levels[k] -= 0.02f * grad[k];
    for (std::size_t i = 0; i < 64; ++i)
      map[i] = std::fmin(1.0f, std::fmax(0.0f, map[i] - 0.1f * grad_map[i]));
  }
  CHECK(loss < 1e-4);
  for (std::size_t k = 0; k < 4; ++k) CHECK(levels[k] == doctest::Approx(truth[k]).epsilon(1e-2));
  CHECK(er::bitmap_regularizer{}(map) < 1e-2);
}

TEST_CASE("bitmap_levels: what does not fit is refused by name") {
  const std::vector<float> two(2), three(3);
  std::vector<float> out(3);
  std::vector<std::uint8_t> codes{0, 4};
  CHECK_THROWS_WITH_AS(er::bitmap_codes(three, two, codes),
                       "bitmap_codes: 3 weights, but 2 and 2 numbers beside them",
                       std::invalid_argument);
  CHECK_THROWS_WITH(static_cast<void>(er::level_gradients(codes, two)),
                    "level_gradients: code 4 of weight 1, expected 0 to 3");
  CHECK_THROWS_WITH(er::bitmap_backward(two, {}, two, out),
                    "bitmap_backward: 2 weights, but 2 and 3 numbers beside them");
  CHECK_THROWS_WITH(static_cast<void>(er::bitmap_regularizer{}(two, out)),
                    "bitmap_regularizer: 2 weights, but 3 and 2 numbers beside them");
  CHECK_THROWS_WITH(static_cast<void>(er::bitmap_regularizer{.beta = 0.5f}(two)),
                    "bitmap_regularizer: beta is 0.500000, expected a number of at least 1");
}

TEST_CASE("bitmap_codes: a NaN of either sign counts as B = 1") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<std::uint8_t> codes(2);
  er::bitmap_codes(std::vector<float>{nan, std::copysign(nan, -1.0f)}, std::vector<float>{0, 0},
                   codes);
  CHECK(codes == std::vector<std::uint8_t>{2, 2});
}

TEST_SUITE_END();
