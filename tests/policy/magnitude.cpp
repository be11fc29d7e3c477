// SPDX-License-Identifier: Apache-2.0
/// The largest of a group.
#include <cmath>
#include <cstddef>
#include <limits>
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

TEST_CASE("magnitude: a NaN makes the result NaN, wherever it stands; infinity is infinite") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (std::size_t size = 1; size < 40; ++size) {
    std::vector<float> w(size, -0.5f);
    for (std::size_t i = 0; i < size; ++i) {
      for (const float nan : {std::nanf(""), -std::nanf("")}) {
        w[i] = nan;
        CHECK(std::isnan(er::max_magnitude(w)));
        CHECK(std::isnan(er::max_value(w)));
      }
      w[i] = -infinity;
      CHECK(er::max_magnitude(w) == infinity);
      CHECK(er::max_value(w) == (size == 1 ? -infinity : -0.5f));
      w[i] = infinity;
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
