// SPDX-License-Identifier: Apache-2.0
/// The largest of a group.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/magnitude.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/magnitude");

TEST_CASE("magnitude: the largest wherever it stands, whatever its sign") {
  for (std::size_t size = 1; size < 70; ++size) {
    std::vector<float> w(size, -0.5f);
    CHECK(er::max_value(w) == -0.5f);
    for (std::size_t i = 0; i < size; ++i) {
      CAPTURE(size);
      CAPTURE(i);
      w[i] = -2;
      CHECK(er::max_magnitude(w) == 2.0f);
      CHECK(er::max_value(w) == (size == 1 ? -2.0f : -0.5f));
      w[i] = 0.75f;
      CHECK(er::max_magnitude(w) == 0.75f);
      CHECK(er::max_value(w) == 0.75f);
      w[i] = -0.5f;
    }
  }
  CHECK(er::max_magnitude(std::span<const float>{}) == 0.0f);
}

TEST_CASE("magnitude: the bits of a plain loop, for every size and for extremes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  const float extremes[] = {0.0f, -0.0f, smallest, -smallest, 0x1p-130f, 1e30f, -1e30f, 1.0f};
  for (std::size_t size = 1; size < 600; ++size) {
    CAPTURE(size);
    std::vector<float> w(size);
    for (int kind = 0; kind < 4; ++kind) {
      CAPTURE(kind);
      for (std::size_t i = 0; i < size; ++i) {
        w[i] = kind == 3 ? -1.0f - std::fabs(normal(random)) : normal(random);  // 3: all below zero
        if (kind == 1 && i % 3 == 0) w[i] = extremes[random() % 8];
        if (kind == 2) w[i] = extremes[random() % 5];
      }
      float magnitude = 0, value = w[0];
      for (const float x : w) {
        magnitude = std::max(magnitude, std::fabs(x));
        value = std::max(value, x);
      }
      CHECK(std::bit_cast<std::uint32_t>(er::max_magnitude(w)) ==
            std::bit_cast<std::uint32_t>(magnitude));
      CHECK(er::max_value(w) == value);  // of 0 and -0 either is the largest
    }
  }
}

TEST_CASE("magnitude: NaN where one stands anywhere, whatever comes before it or after") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (std::size_t size = 1; size < 150; ++size) {
    for (const float other : {1.0f, -infinity, infinity}) {
      std::vector<float> w(size, other);
      for (std::size_t i = 0; i < size; ++i) {
        for (const float nan : {std::nanf(""), -std::nanf("")}) {
          w[i] = nan;
          CHECK(std::isnan(er::max_magnitude(w)));
          CHECK(std::isnan(er::max_value(w)));
        }
        w[i] = other;
      }
    }
  }
}

TEST_CASE("magnitude: infinity is infinite, wherever it stands") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (std::size_t size = 1; size < 40; ++size) {
    std::vector<float> w(size, -0.5f);
    for (std::size_t i = 0; i < size; ++i) {
      w[i] = -infinity;
      CHECK(er::max_magnitude(w) == infinity);
      CHECK(er::max_value(w) == (size == 1 ? -infinity : -0.5f));
      w[i] = infinity;
      CHECK(er::max_magnitude(w) == infinity);
      CHECK(er::max_value(w) == infinity);
      w[i] = -0.5f;
    }
  }
}

TEST_CASE("scale_or_nan: a finite scale as it is") {
  using er::detail::policy::scale_or_nan;
  constexpr float largest = std::numeric_limits<float>::max();
  for (const float scale : {0.0f, 1e-5f, -1.0f, largest, std::numeric_limits<float>::denorm_min()})
    CHECK(scale_or_nan(scale) == scale);
  CHECK(std::isnan(scale_or_nan(std::numeric_limits<float>::infinity())));
  CHECK(std::isnan(scale_or_nan(std::nanf(""))));
}

TEST_SUITE_END();
