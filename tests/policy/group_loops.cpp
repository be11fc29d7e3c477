// SPDX-License-Identifier: Apache-2.0
/// Codes and values of a group whose scale is known, against one weight at a time, at every length.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

namespace {

/// A policy of one's own with levels two apart and no vectors.
struct odd_levels {
  using granularity = er::per_group<32>;
  using scale_type = float;
  static constexpr int min_level = -3, max_level = 3, level_step = 2;
  [[nodiscard]] float scale(std::span<const float>) const noexcept { return 0.01f; }
  [[nodiscard]] static int level(float weight, float scale) noexcept {
    return 2 * er::round_to_level<0, 3>((weight / scale + 3) / 2) - 3;
  }
};

}  // namespace

static_assert(er::quantizer<odd_levels>);

TEST_SUITE_BEGIN("policy/group_loops");

TEST_CASE_TEMPLATE("group loops: codes and values, weight by weight", Policy, er::ternary<>,
                   er::binary<>, er::int2<>, er::int3<>, er::int4<>, er::int6<>, er::int8<>,
                   er::int4_asymmetric<>, odd_levels, er::as_stored<er::binary<>>) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (std::size_t size = 0; size < 150; ++size) {
    CAPTURE(size);
    std::vector<float> w(size), values(size + 1, 99.0f);
    for (float& x : w) x = normal(random);
    std::vector<std::uint8_t> codes(size + 1, 99);
    const float scale = 0.013f;
    er::detail::policy::quantize_codes<Policy>(w.data(), size, scale, -Policy::min_level,
                                               codes.data());
    er::detail::policy::write_values<Policy>(w.data(), size, scale, values.data());
    CHECK(codes[size] == 99);
    CHECK(values[size] == 99.0f);
    const float unit = er::detail::policy::value_scale<Policy>(scale);
    for (std::size_t i = 0; i < size; ++i) {
      const int level = Policy::level(w[i], scale);
      CHECK(codes[i] == level - Policy::min_level);
      CHECK(values[i] == static_cast<float>(level) * unit);
    }
  }
}

TEST_CASE_TEMPLATE("group loops: ties, and what is not finite, weight by weight", Policy,
                   er::ternary<>, er::binary<>, er::int3<>, er::int8<>, er::int4_asymmetric<>) {
  constexpr float infinity = std::numeric_limits<float>::infinity(),
                  smallest = std::numeric_limits<float>::denorm_min();
  std::vector<float> w{std::nanf(""), -std::nanf(""), infinity, -infinity, 1e38f,     -1e38f,
                       0.0f,          -0.0f,          smallest, -smallest, 0x1p-130f, 1e30f};
  for (int i = -600; i <= 600; ++i) w.push_back(0.25f * static_cast<float>(i));
  for (const float scale : {1.0f, 0.25f, 0.1f, 3.0f, 1e5f, 1e30f, smallest}) {
    CAPTURE(scale);
    std::vector<std::int8_t> levels(w.size());
    er::detail::policy::quantize_codes<Policy>(w.data(), w.size(), scale, levels.data());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < w.size(); ++i) wrong += levels[i] != Policy::level(w[i], scale);
    CHECK(wrong == 0);
  }
}

TEST_CASE_TEMPLATE("group loops: gradients pass where `within_levels` says so, in place too",
                   Policy, er::ternary<>, er::binary<>, er::int3<>, er::int8<>,
                   er::int4_asymmetric<>, odd_levels) {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.5f, 1.5f);
  for (std::size_t size = 0; size < 150; ++size) {
    CAPTURE(size);
    std::vector<float> w(size), grad(size), expected(size + 1, 99.0f);
    for (std::size_t i = 0; i < size; ++i) {
      // Up to beyond the levels; every second one a half or a whole level, where it is decided.
      w[i] = uniform(random) * static_cast<float>(Policy::max_level - Policy::min_level);
      if (i % 2 == 0) w[i] = std::nearbyint(2 * w[i]) / 2;
      grad[i] = uniform(random);
      expected[i] = er::within_levels<Policy>(w[i], 1.0f) ? grad[i] : 0.0f;
    }
    std::vector<float> result(size + 1, 99.0f), in_place = grad;
    er::detail::policy::pass_within_levels(er::detail::policy::levels_of<Policy>, w, 1.0f,
                                           grad.data(), result.data());
    er::detail::policy::pass_within_levels(er::detail::policy::levels_of<Policy>, w, 1.0f,
                                           in_place.data(), in_place.data());
    CHECK(result == expected);
    in_place.push_back(99.0f);
    CHECK(in_place == expected);
  }
}

TEST_SUITE_END();
