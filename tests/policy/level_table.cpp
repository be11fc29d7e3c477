// SPDX-License-Identifier: Apache-2.0
/// Levels of a group: the nearest one, exactly.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>

#include <doctest/doctest.h>

#include <edgerazor/policy/level_table.hpp>
#include <edgerazor/policy/lloyd_max.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/level_table");

namespace {
struct fixed {
  using granularity = er::per_group<4>;
  using scale_type = float;
  static constexpr int largest_level = 3;
  static er::table_fit fit(std::span<const float>) noexcept { return {0.5f, {-3, -1, 0, 2}}; }
};
struct too_wide : fixed {
  static constexpr int largest_level = 128;
};
struct may_throw : fixed {
  static er::table_fit fit(std::span<const float>) { return {}; }
};
static_assert(er::table_quantizer<fixed> && er::group_policy<fixed>);
static_assert(er::table_quantizer<er::as_stored<er::lloyd_max<>>>);
static_assert(!er::table_quantizer<too_wide> && !er::table_quantizer<may_throw>);
static_assert(!er::quantizer<fixed> && !er::zero_quantizer<fixed>);
}  // namespace

TEST_CASE("level_table: the nearest level, the lower of two as near") {
  const er::detail::policy::table_line line({0.5f, {-3, -1, 0, 2}});  // -1.5, -0.5, 0, 1
  CHECK(line(-9.0f) == -3);
  CHECK(line(-1.0f) == -3);
  CHECK(line(std::nextafter(-1.0f, 0.0f)) == -1);
  CHECK(line(-0.25f) == -1);
  CHECK(line(-0.2f) == 0);
  CHECK(line(0.5f) == 0);
  CHECK(line(std::nextafter(0.5f, 1.0f)) == 2);
  CHECK(line(1e30f) == 2);
}

TEST_CASE("level_table: by distances in double, for levels of every kind") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t wrong = 0;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    er::table_fit fit{static_cast<float>(random()) * 0x1p-30f, {}};
    for (std::int8_t& level : fit.levels)
      level = static_cast<std::int8_t>(static_cast<int>(random() % 31) - 15);
    std::sort(fit.levels.begin(), fit.levels.end());
    // Some of the weights are middles of two levels, exactly where the scale has few bits.
    if (repeat % 2 == 0) fit.scale = std::ldexp(std::round(std::ldexp(fit.scale, 8)), -8);
    const er::detail::policy::table_line line(fit);
    for (int step = -64; step <= 64; ++step) {
      const float w = fit.scale * static_cast<float>(step) / 4;
      int best = fit.levels[0];
      const auto distance = [&](int level) {
        return std::fabs(static_cast<double>(w) - static_cast<double>(fit.scale) * level);
      };
      for (const int level : fit.levels)
        if (distance(level) < distance(best)) best = level;
      wrong += line(w) != best;
    }
  }
  CHECK(wrong == 0);
}

TEST_SUITE_END();
