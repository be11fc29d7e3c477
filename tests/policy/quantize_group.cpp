// SPDX-License-Identifier: Apache-2.0
/// One group to levels: vectors against single weights, and groups that are extreme.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/quantize_group.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

/// A published method is a small policy: this one, by a user, has no vector form and a scale of its
/// own.
struct power_of_two {
  using granularity = er::per_group<32>;
  using scale_type = float;
  static constexpr int min_level = -3;
  static constexpr int max_level = 3;
  [[nodiscard]] float scale(std::span<const float> group) const noexcept {
    return std::exp2(std::ceil(std::log2(er::max_magnitude(group) / 3)));
  }
  [[nodiscard]] static int level(float weight, float scale) noexcept {
    return er::round_to_level<min_level, max_level>(weight / scale);
  }
};

template <class Policy>
void check_vectors_against_single_weights() {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (std::size_t size = 1; size < 150; ++size) {
    CAPTURE(size);
    std::vector<float> w(size);
    for (float& x : w) x = normal(random);
    // Every second weight on a rounding boundary or one ulp beside it, where the last bit of the
    // division decides.
    const float scale = Policy{}.scale(w);
    for (std::size_t i = 0; i < size; i += 2) {
      w[i] = (static_cast<float>(i / 2 % 20) - 9.5f) * scale;
      if (i / 40 % 3 == 1) w[i] = std::nextafter(w[i], 1.0f);
      if (i / 40 % 3 == 2) w[i] = std::nextafter(w[i], -1.0f);
    }
    std::vector<std::int8_t> levels(size + 1, 99);
    er::quantize_levels<Policy>(w, scale, levels);
    CHECK(levels[size] == 99);
    for (std::size_t i = 0; i < size; ++i) CHECK(int{levels[i]} == Policy::level(w[i], scale));
    const float own = Policy{}.scale(w);
    CHECK(er::quantize_group<Policy>(w, levels) == own);
    for (std::size_t i = 0; i < size; ++i) CHECK(int{levels[i]} == Policy::level(w[i], own));
  }
}

}  // namespace

TEST_SUITE_BEGIN("policy/quantize_group");

TEST_CASE("vectors of weights get the levels of single weights") {
  check_vectors_against_single_weights<er::ternary<>>();
  check_vectors_against_single_weights<er::ternary_absmax<>>();
  check_vectors_against_single_weights<er::int2<>>();
  check_vectors_against_single_weights<er::int3<>>();
  check_vectors_against_single_weights<er::int4<>>();
  check_vectors_against_single_weights<er::int5<>>();
  check_vectors_against_single_weights<er::int6<>>();
  check_vectors_against_single_weights<er::int8<>>();
  check_vectors_against_single_weights<er::int4_asymmetric<>>();
  check_vectors_against_single_weights<power_of_two>();
}

TEST_CASE("groups of one weight, of zeros, of denormals, of one nonzero") {
  constexpr float denormal = std::numeric_limits<float>::denorm_min();
  std::int8_t levels[64];
  for (const float x : {3.0f, -3.0f}) {
    CHECK(er::quantize_group<er::int4<>>(std::vector<float>{x}, levels) == 3.0f / 7);
    CHECK(levels[0] == (x > 0 ? 7 : -7));
    CHECK(er::quantize_group<er::ternary<>>(std::vector<float>{x}, levels) == 6.0f);
    CHECK(levels[0] == 0);  // 3 is half of 6
  }
  for (const float x : {0.0f, -0.0f, denormal, -1000 * denormal}) {
    CHECK(er::quantize_group<er::int8<>>(std::vector<float>(64, x), levels) == 1e-5f / 127);
    for (const std::int8_t level : levels) CHECK(level == 0);
    CHECK(er::quantize_group<er::ternary<>>(std::vector<float>(64, x), levels) == 1e-5f);
    for (const std::int8_t level : levels) CHECK(level == 0);
  }
  for (std::size_t i = 0; i < 64; ++i) {
    std::vector<float> w(64, 0.0f);
    w[i] = -0.64f;
    CHECK(er::quantize_group<er::ternary<>>(w, levels) == 2 * (0.64f / 64));
    for (std::size_t j = 0; j < 64; ++j) CHECK(int{levels[j]} == (i == j ? -1 : 0));
  }
}

TEST_CASE("quantize_group: more weights than levels are refused") {
  const std::vector<float> w(9, 1.0f);
  std::vector<std::int8_t> levels(8, 99);
  CHECK_THROWS_WITH_AS(er::quantize_group<er::int4<>>(w, levels),
                       "quantize_levels: 9 weights, 8 levels", std::invalid_argument);
  CHECK(levels == std::vector<std::int8_t>(8, 99));
}

TEST_CASE("quantize_group: what has no level is refused, and nothing is written") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<std::int8_t> levels(40, 99);
  for (std::size_t i = 0; i < 40; ++i) {
    std::vector<float> w(40, 1.0f);
    w[i] = i % 2 == 0 ? std::nanf("") : -infinity;
    CHECK_THROWS_WITH_AS(er::quantize_group<er::int4_asymmetric<>>(w, levels),
                         ("weight at row 0, column " + std::to_string(i) + " is " +
                          (i % 2 == 0 ? "NaN" : "infinite") + ": expected finite values")
                             .c_str(),
                         std::invalid_argument);
  }
  const std::vector<float> w(40, 1.0f);
  CHECK_THROWS_WITH_AS(er::quantize_levels<er::int4<>>(w, -1.0f, levels),
                       "quantize_levels: the scale is -1.000000, expected a finite number of at "
                       "least 0",
                       std::invalid_argument);
  for (const float scale : {std::nanf(""), infinity, -infinity})
    CHECK_THROWS_AS(er::quantize_levels<er::int4<>>(w, scale, levels), std::invalid_argument);
  CHECK(levels == std::vector<std::int8_t>(40, 99));
}

TEST_SUITE_END();
