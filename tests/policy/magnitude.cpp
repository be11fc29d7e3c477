// SPDX-License-Identifier: Apache-2.0
/// The largest of a group.
#include <cstddef>
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

TEST_SUITE_END();
