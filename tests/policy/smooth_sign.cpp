// SPDX-License-Identifier: Apache-2.0
/// The sign of training and its gradient: the published layer's numbers, zero, NaN.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/smooth_sign.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/smooth_sign");

TEST_CASE("golden: the published layer's gradients") {
  const std::vector<float> w{-3.0f, -1.0f, -0.5f, -0.00999999978f, 0.0f, 0.00999999978f, 0.25f,
                             1.0f,  2.0f,  5.0f};
  const std::vector<float> expected{0.010866046f,  0.420974374f,  0.787447751f, 1.00090003f,
                                    1.00100005f,   1.00090003f,   0.941014886f, 0.420974374f,
                                    0.0716508627f, 0.00118160248f};
  std::vector<float> g(w.size(), 1.0f);
  er::smooth_sign_backward(w, g, g);
  for (std::size_t i = 0; i < w.size(); ++i)
    CHECK(std::fabs(g[i] - expected[i]) <= 2e-7f);  // two units in the last place of 1
  std::vector<float> signs(w.size());
  er::smooth_sign(w, signs);
  for (std::size_t i = 0; i < w.size(); ++i)
    CHECK(signs[i] == static_cast<float>((w[i] > 0) - (w[i] < 0)));
}

TEST_CASE("smooth_sign: 0 and -0 are 0, the gradient is that of tanh and never 0, NaN stays") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> w{0.0f, -0.0f, 2.5f, -30.0f, nan};
  std::vector<float> signs(5), g{1, 2, 3, 4, 5};
  er::smooth_sign(w, signs);
  CHECK(signs[0] == 0);
  CHECK(signs[1] == 0);
  CHECK(signs[2] == 1);
  CHECK(signs[3] == -1);
  CHECK(std::isnan(signs[4]));
  er::smooth_sign_backward(w, g, g);
  CHECK(g[0] == doctest::Approx(1.001f));
  CHECK(g[1] == doctest::Approx(2.002f));
  for (const float h : {0.01f, 0.003f}) {  // central differences of tanh, error h^2
    const double slope =
        (std::tanh(2.5 + static_cast<double>(h)) - std::tanh(2.5 - static_cast<double>(h))) /
        (2 * static_cast<double>(h));
    CHECK(g[2] == doctest::Approx(3 * (0.001 + slope)).epsilon(1e-3));
  }
  CHECK(g[3] == doctest::Approx(0.004f).epsilon(1e-3));
  CHECK(std::isnan(g[4]));
  std::vector<float> two(2);
  CHECK_THROWS_WITH_AS(er::smooth_sign(w, two), "smooth_sign: 5 weights, 2 signs",
                       std::invalid_argument);
  CHECK_THROWS_WITH(er::smooth_sign_backward(w, w, two),
                    "smooth_sign_backward: 5 weights, gradients 5 and 2");
}

TEST_SUITE_END();
