// SPDX-License-Identifier: Apache-2.0
/// Levels of a grid, and the numbers that storage gives back.
#include <limits>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/calibrate/fit.hpp>
#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/calibrate/rounded_matrix.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("calibrate/level_grid");

TEST_CASE("level_grid: levels are the nearest ones, ties to even, clamped") {
  const er::level_grid plain = er::level_grid::symmetric(4, 32);
  CHECK(plain.level(2.5, {1, 0}) == 2);
  CHECK(plain.level(3.5, {1, 0}) == 4);
  CHECK(plain.level(-100, {1, 0}) == -7);
  CHECK(plain.level(1e30, {1e-30f, 0}) == 7);
  CHECK(plain.level(-1, {-0.5f, 0}) == 2);
  CHECK(plain.level(1, {0, 0}) == 0);
  CHECK(plain.level(std::numeric_limits<double>::quiet_NaN(), {1, 0}) == -7);

  // w / scale is rounded before an integer zero is added, after a real one is.
  const er::level_grid integer = er::level_grid::with_zero(3, 32, er::group_zero::integer);
  const er::level_grid real = er::level_grid::with_zero(3, 32, er::group_zero::real);
  CHECK(integer.level(0.5, {1, 3}) == 3);
  CHECK(real.level(0.5, {1, 3}) == 4);
  CHECK(integer.level(9, {1, 3}) == 7);
  CHECK(integer.level(-9, {1, 3}) == 0);
  CHECK(real.level(0.25, {1, 0.5f}) == 1);
  CHECK(er::level_grid::value(1, {2, 0.5f}) == 1.0);
}

TEST_CASE("level_grid: the levels of a policy are the policy's") {
  const auto agree = [](const auto& policy) {
    using policy_type = std::remove_cvref_t<decltype(policy)>;
    const er::level_grid grid = er::level_grid::of<policy_type>();
    for (int i = -4096; i <= 4096; ++i) {
      const float w = static_cast<float>(i) / 512;
      CHECK(grid.level(static_cast<double>(w), {0.75f, 0}) == policy_type::level(w, 0.75f));
    }
  };
  agree(er::int4<>{});
  agree(er::int8<>{});
  agree(er::ternary<>{});
  agree(er::binary<>{});
  CHECK(er::level_grid::of<er::int3<er::per_channel, er::bfloat16>>() ==
        er::level_grid::symmetric(3, 0, er::scale_kind::bfloat16));
  CHECK(er::level_grid::of<er::binary<>>() ==
        er::level_grid::symmetric(1, 256, er::scale_kind::float16));
}

TEST_CASE(
    "level_grid: stored numbers are those of the type, finite, and integers where zeros are") {
  er::level_grid grid =
      er::level_grid::with_zero(4, 32, er::group_zero::real, er::scale_kind::float16);
  CHECK(grid.stored({0.1f, 7.3f}).scale == static_cast<float>(er::float16{0.1f}));
  CHECK(grid.stored({0.1f, 7.3f}).zero == static_cast<float>(er::float16{7.3f}));
  CHECK(grid.stored({1e30f, -1e30f}).scale == 65504.0f);
  CHECK(grid.stored({1e30f, -1e30f}).zero == -65504.0f);
  grid.storage = er::scale_kind::bfloat16;
  CHECK(grid.stored({std::numeric_limits<float>::max(), 0}).scale ==
        er::largest_scale(er::scale_kind::bfloat16));
  grid.zero = er::group_zero::integer;
  CHECK(grid.stored({1, 7.5f}).zero == 8);
  CHECK(grid.stored({1, -3}).zero == 0);
  grid.zero = er::group_zero::none;
  CHECK(grid.stored({1, 3}).zero == 0);
}

TEST_CASE("level_grid: a row's groups") {
  CHECK(er::level_grid::symmetric(4, 32).groups(96) == 3);
  CHECK(er::level_grid::symmetric(4, 32).groups(97) == 4);
  CHECK(er::level_grid::symmetric(4, 0).groups(97) == 1);
  CHECK(er::level_grid::symmetric(4, 0).groups(0) == 0);
}

TEST_CASE("level_grid: grids without levels are refused") {
  const std::vector<float> w(8, 1.0f);
  const auto round = [&](er::level_grid grid) {
    static_cast<void>(er::round_to_nearest({w.data(), 1, 8}, grid, er::fit_extremes{}));
  };
  CHECK_THROWS_WITH_AS(
      round({.min_level = 3, .max_level = 3}),
      "round_to_nearest: levels 3 to 3 in steps of 1: expected two levels or more, of 16 bits",
      std::invalid_argument);
  CHECK_THROWS_WITH(round({.min_level = 0, .max_level = 3, .level_step = 2}),
                    doctest::Contains("in steps of 2"));
  CHECK_THROWS_WITH(round({.min_level = 1, .max_level = 3}),
                    doctest::Contains("expected some on both sides of 0"));
}

TEST_SUITE_END();
