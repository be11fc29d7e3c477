// SPDX-License-Identifier: Apache-2.0
/// Groups at the edges of what floats hold: zeros, the smallest, the largest, one outlier, one
/// value, a shorter last group.
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

using group = er::per_group<64>;

template <class Policy>
std::vector<float> quantized(const std::vector<float>& w) {
  std::vector<float> out(w.size());
  er::fake_quantize<Policy>(er::matrix_view{w.data(), 1, w.size()},
                            er::matrix_view{out.data(), 1, w.size()});
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("policy/fake_quantize");

TEST_CASE_TEMPLATE("edges: zeros, negative zeros and subnormals become +0", Policy,
                   er::ternary<group>, er::ternary_absmax<group>, er::int2<group>, er::int4<group>,
                   er::int8<group>, er::int4_asymmetric<group>) {
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  for (const float x : {0.0f, -0.0f, smallest, -smallest, 0x1p-130f, 1e-30f}) {
    for (const bool alone : {true, false}) {
      std::vector<float> w(64, alone ? 0.0f : x);
      w[7] = x;
      for (const float y : quantized<Policy>(w)) {
        CHECK(y == 0);
        CHECK_FALSE(std::signbit(y));
      }
    }
  }
}

TEST_CASE(
    "edges: a ternary group of one magnitude becomes zeros with the clip rule, not by maximum") {
  for (const float c : {0.25f, 0.75f, 0x1.4p-10f, 0x1p100f}) {
    std::vector<float> w(64);
    for (std::size_t i = 0; i < 64; ++i) w[i] = i % 3 == 0 ? -c : c;
    CHECK(quantized<er::ternary<group>>(w) == std::vector<float>(64, 0.0f));
    CHECK(quantized<er::ternary_absmax<group>>(w) == w);
    CHECK(quantized<er::binary<group>>(w) == w);
  }
}

TEST_CASE("edges: one weight near the largest float is kept, or its group refused") {
  std::vector<float> w(64, 0.0f);
  w[7] = -3e38f;
  // level * (|w| / level): within a unit in the last place of either rounding.
  for (const std::vector<float>& out :
       {quantized<er::int4<group>>(w), quantized<er::int8<group>>(w)}) {
    CHECK(std::fabs(out[7] / w[7] - 1) < 2 * 0x1p-23f);
    CHECK(out[8] == 0);
  }
  CHECK(quantized<er::ternary<group>>(w)[7] == -2 * (3e38f / 64));
  // The sum of the magnitudes is no float.
  CHECK_THROWS_WITH_AS(quantized<er::ternary<group>>(std::vector<float>(64, 3e38f)),
                       "fake_quantize: the scale of the group at row 0, column 0 is out of the "
                       "output's range",
                       std::invalid_argument);
}

TEST_CASE("edges: a grid's own values stay, and a shorter last group has a scale of its own") {
  std::vector<float> grid(64);
  for (std::size_t i = 0; i < 64; ++i) grid[i] = static_cast<float>(i % 15) - 7;
  CHECK(quantized<er::int4<group>>(grid) == grid);
  std::vector<float> w(70, 1000.0f);
  for (std::size_t i = 64; i < 70; ++i) w[i] = 0.5f;
  CHECK(std::fabs(quantized<er::int8<group>>(w)[69] - 0.5f) < 1e-6f);
  std::vector<float> negative(64);
  for (std::size_t i = 0; i < 64; ++i) negative[i] = -0.1f * static_cast<float>(i + 1);
  CHECK(std::fabs(quantized<er::int4_asymmetric<group>>(negative)[63] + 6.4f) < 0.5f);
}

TEST_CASE("a factor that makes a scale infinite is refused, whatever the level it stands at") {
  std::vector<float> x{60, 50, -60, 40};
  const er::matrix_view<float> both{x.data(), 1, 4};
  using rule = er::ternary<er::per_group<4>>;
  er::as_stored<rule> stored;
  stored.factor = 2000;  // the scale 105000, infinite as float16
  CHECK_THROWS_AS(er::fake_quantize(both, both, stored), std::invalid_argument);
  CHECK(x == std::vector<float>{60, 50, -60, 40});
  x = {1e5f, 2e5f, -1, 0};
  CHECK_THROWS_AS(er::fake_quantize(both, both, rule{.factor = 1e38f}), std::invalid_argument);
  CHECK(x == std::vector<float>{1e5f, 2e5f, -1, 0});
}

TEST_SUITE_END();
