// SPDX-License-Identifier: Apache-2.0
#include "qad/adamw.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "tiny_shape.hpp"

namespace {

template <class Moment>
std::vector<double> numbers_of(std::span<const std::byte> bytes) {
  std::vector<Moment> values(bytes.size() / sizeof(Moment));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return {values.begin(), values.end()};
}

/// Gradients of `scale` times something between 0.5 and 1.5, of either sign.
void draw(qad::parameters& gradient, float scale, std::mt19937& random) {
  for (float& g : gradient.values()) {
    const auto part = static_cast<float>(random() % 1024) / 1024;
    g = scale * (0.5f + part) * (random() % 2 == 0 ? 1.0f : -1.0f);
  }
}

}  // namespace

TEST_CASE("adamw: means in bfloat16 are the float ones, to what rounding each step adds") {
  qad::parameters weights(tiny), rounded(tiny), gradient(tiny);
  weights.initialise(3);
  rounded.initialise(3);
  qad::adamw whole(tiny), half(tiny, qad::moment_type::bfloat16);
  CHECK(2 * half.first_moments().size() == whole.first_moments().size());
  CHECK(2 * half.second_moments().size() == whole.second_moments().size());
  std::mt19937 random(11);
  double moved = 0, apart = 0;
  const std::vector<float> before(weights.values().begin(), weights.values().end());
  // The scale falls to a hundredth and rises again: means that stood still would be far off.
  for (std::uint64_t t = 1; t <= 300; ++t) {
    const float scale = t <= 100 || t > 200 ? 1.0f : 0.01f;
    draw(gradient, scale, random);
    whole.step(weights, gradient, 1, 1e-3, 0.1, t);
    half.step(rounded, gradient, 1, 1e-3, 0.1, t);
    if (t % 100 != 0) continue;
    const auto first = numbers_of<float>(whole.first_moments()),
               first_half = numbers_of<edgerazor::bfloat16>(half.first_moments()),
               second = numbers_of<float>(whole.second_moments()),
               second_half = numbers_of<edgerazor::bfloat16>(half.second_moments());
    // A mean of numbers up to `recent`, and up to `old` until 100 steps ago, is at most recent +
    // b^100 old. Each step's rounding, 2^-8 of it at most, goes on with weights 1, b, b^2, ...
    const auto bound = [](double b, double recent, double old) {
      return (recent / (1 - b) + (100 + 1 / (1 - b)) * std::pow(b, 100) * old) / 256;
    };
    const double now = 1.5 * static_cast<double>(scale), before_now = t == 200 ? 1.5 : 0;
    double first_differs = 0, second_differs = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
      first_differs = std::max(first_differs, std::fabs(first[i] - first_half[i]));
      second_differs = std::max(second_differs, std::fabs(second[i] - second_half[i]));
    }
    CAPTURE(t);
    CHECK(first_differs > 0);
    CHECK(first_differs <= bound(0.9, now, before_now));
    CHECK(second_differs > 0);
    CHECK(second_differs <= bound(0.95, now * now, before_now * before_now));
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    moved = std::max(moved, std::fabs(static_cast<double>(weights.values()[i]) - before[i]));
    apart = std::max(apart, std::fabs(static_cast<double>(weights.values()[i]) -
                                      static_cast<double>(rounded.values()[i])));
  }
  CHECK(moved > 1e-2);
  CHECK(apart > 0);
  CHECK(apart < 0.1 * moved);
}

TEST_CASE("adamw: a mean in bfloat16 falls and rises with what it is the mean of") {
  qad::parameters weights(tiny), gradient(tiny);
  qad::adamw optimizer(tiny, qad::moment_type::bfloat16);
  std::uint64_t t = 0;
  for (const float g : {1.1f, 1e-3f, 1.1f, -1e-3f}) {  // 1.1: coarse, as after a power of two
    for (float& one : gradient.values()) one = g;
    for (std::size_t i = 0; i < 400; ++i) optimizer.step(weights, gradient, 1, 1e-6, 0, ++t);
    CAPTURE(g);
    // Where a step's change is less than half of the last bit, m and v stand still: 2^-8 of them
    // against a tenth and a twentieth of what is left, |m - g| / 10 < |m| / 256.
    const double goal = g;
    for (const double m : numbers_of<edgerazor::bfloat16>(optimizer.first_moments()))
      REQUIRE(std::fabs(m - goal) <= 10.0 / 246 * std::fabs(goal));
    for (const double v : numbers_of<edgerazor::bfloat16>(optimizer.second_moments()))
      REQUIRE(std::fabs(v - goal * goal) <= 20.0 / 236 * goal * goal);
  }
}
