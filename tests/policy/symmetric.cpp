// SPDX-License-Identifier: Apache-2.0
/// Symmetric integers by hand and by brute force.
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/symmetric");

TEST_CASE_TEMPLATE("symmetric: scale, levels and values of every width by brute force", Policy,
                   er::int2<>, er::int3<>, er::int4<>, er::int5<>, er::int6<>, er::int8<>) {
  constexpr int top = Policy::max_level;
  std::vector<float> w;  // quarters of a level, all of them exact, as is the scale
  for (int i = -4 * top; i <= 4 * top; ++i) w.push_back(0.5f * 0.25f * static_cast<float>(i));
  CHECK(Policy{}.scale(w) == 0.5f);
  w.resize(w.size() / 256 * 256 + 256);
  for (std::size_t i = 0; i < w.size(); i += 256) w[i] = 0.5f * static_cast<float>(top);
  std::vector<float> out(w.size());
  er::fake_quantize<Policy>(er::matrix_view<const float>{w.data(), 1, w.size()},
                            er::matrix_view<float>{out.data(), 1, w.size()});
  for (std::size_t i = 0; i < w.size(); ++i) {
    int nearest = -top;  // of two as near, the even one
    for (int level = -top; level <= top; ++level) {
      const float here = std::fabs(w[i] - 0.5f * static_cast<float>(level)),
                  best = std::fabs(w[i] - 0.5f * static_cast<float>(nearest));
      if (here < best || (here == best && level % 2 == 0)) nearest = level;
    }
    CHECK(Policy::level(w[i], 0.5f) == nearest);
    CHECK(out[i] == 0.5f * static_cast<float>(nearest));
  }
  CHECK(Policy::level(static_cast<float>(top), 0.5f) == top);
  CHECK(Policy::level(-static_cast<float>(top), 0.5f) == -top);
}

TEST_CASE("symmetric: epsilon bounds the maximum before the division") {
  CHECK(er::int4<>{}.scale(std::vector<float>{7, -14, 3}) == 2.0f);
  CHECK(er::int8<>{}.scale(std::vector<float>{-127}) == 1.0f);
  CHECK(er::int4<>{}.scale(std::vector<float>{0, 0}) == 1e-5f / 7);
  CHECK(er::int2<>{.epsilon = 3.0f}.scale(std::vector<float>{1}) == 3.0f);
}

TEST_SUITE_END();
