// SPDX-License-Identifier: Apache-2.0
/// Ternary by hand: the scale, the ties, and the division.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/ternary");

TEST_CASE("ternary: scale is factor times the mean magnitude, levels by ties to even") {
  const std::vector<float> group{1, -1, 0.5f, -0.5f, 2, -1, 0, 0};  // mean magnitude 0.75
  CHECK(er::ternary<>{}.scale(group) == 1.5f);
  CHECK(er::ternary<>{.factor = 1.5f}.scale(group) == 1.125f);
  CHECK(er::ternary<>{.epsilon = 2.0f}.scale(group) == 2.0f);
  CHECK(er::ternary<>::level(0.75f, 1.5f) == 0);  // |w| = s / 2 is a tie, and 0 is even
  CHECK(er::ternary<>::level(std::nextafter(0.75f, 1.0f), 1.5f) == 1);
  CHECK(er::ternary<>::level(-9.0f, 1.5f) == -1);
}

TEST_CASE("ternary: a true division decides at the boundary, where a reciprocal would not") {
  // Looks for a weight whose level differs between w / s and w * (1 / s), and expects the level of
  // the division.
  int differing = 0;
  for (float s = 0.011f; s < 0.09f; s += 0.0007f) {
    for (const float w : {s / 2, std::nextafter(s / 2, 1.0f)}) {
      const float reciprocal = 1.0f / s;
      differing += std::nearbyint(w / s) != std::nearbyint(w * reciprocal);
      CHECK(er::ternary<>::level(w, s) == static_cast<int>(std::nearbyint(w / s)));
    }
  }
  CHECK(differing > 0);
}

TEST_CASE("ternary_absmax: scale is the maximum, levels above half of it survive") {
  const std::vector<float> group{1, -2, 0.5f, 0};
  CHECK(er::ternary_absmax<>{}.scale(group) == 2.0f);
  CHECK(er::ternary_absmax<>{.epsilon = 3.0f}.scale(group) == 3.0f);
  CHECK(er::ternary_absmax<>::level(1.0f, 2.0f) == 0);
  CHECK(er::ternary_absmax<>::level(std::nextafter(1.0f, 2.0f), 2.0f) == 1);
  CHECK(er::ternary_absmax<>::level(-2.0f, 2.0f) == -1);
}

TEST_SUITE_END();
