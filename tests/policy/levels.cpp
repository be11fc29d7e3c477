// SPDX-License-Identifier: Apache-2.0
/// Rounding to levels: ties, clamping, and everything that is not a finite number.
#include <algorithm>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <edgerazor/policy/levels.hpp>

namespace er = edgerazor;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
}  // namespace

TEST_SUITE_BEGIN("policy/levels");

TEST_CASE("round_to_level: ties to even, clamped, defined for everything") {
  const auto round = [](float x) { return er::round_to_level<-7, 7>(x); };
  for (int i = -20; i <= 20; ++i) {
    const float x = 0.5f * static_cast<float>(i);
    CHECK(round(x) == std::clamp(static_cast<int>(std::nearbyint(x)), -7, 7));
  }
  CHECK(round(0.49999997f) == 0);
  CHECK(round(2.5f) == 2);
  CHECK(round(std::nextafter(2.5f, 3.0f)) == 3);
  CHECK(round(-3.5f) == -4);
  CHECK(round(std::nextafter(-3.5f, 0.0f)) == -3);
  CHECK(round(1e38f) == 7);
  CHECK(round(-infinity) == -7);
  CHECK(round(infinity) == 7);
  CHECK(round(std::nanf("")) == -7);
  CHECK(round(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(round(-0.0f) == 0);
}

TEST_SUITE_END();
