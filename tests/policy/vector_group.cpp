// SPDX-License-Identifier: Apache-2.0
/// A group's vector functions give the bits of the plain ones, and policies get them.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace er = edgerazor;

namespace {

using group = er::detail::policy::vector_group;

std::vector<std::size_t> sizes() {
  std::vector<std::size_t> result;
  for (std::size_t n = 1; n <= 130; ++n) result.push_back(n);
  for (std::size_t n = 256; n <= (std::size_t{1} << 16); n *= 2)
    result.insert(result.end(), {n - 1, n, n + 1});
  // 16, 16^2 and 16^3 vectors a row, where the cascade of the mean gains a level.
  for (const std::size_t n : {16u, 17u, 256u, 4096u, 4113u}) result.push_back(32 * n + 13);
  return result;
}

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

/// A policy that was written for spans and single weights.
struct spans_only {
  using granularity = er::per_group<32>;
  using scale_type = float;
  static constexpr int min_level = -3, max_level = 3;
  [[nodiscard]] float scale(std::span<const float> values) const noexcept {
    return er::max_magnitude(values) / 3;
  }
  [[nodiscard]] static int level(float weight, float scale) noexcept {
    return er::round_to_level<-3, 3>(weight / scale);
  }
};

/// A user's policy as templates, whose scale also says which loops it was given.
struct tells {
  using granularity = er::per_group<32>;
  using scale_type = float;
  static constexpr int min_level = -3, max_level = 3;
  template <class Group>
  [[nodiscard]] float scale(const Group& values) const noexcept {
    using er::max_magnitude;
    return std::is_same_v<Group, group> ? max_magnitude(values) : -1.0f;
  }
  [[nodiscard]] static int level(float weight, float scale) noexcept {
    return er::round_to_level<-3, 3>(weight / scale);
  }
};

}  // namespace

static_assert(er::quantizer<spans_only> && er::quantizer<tells>);
TEST_SUITE_BEGIN("policy/vector_group");

TEST_CASE("vector group: the bits of the plain functions, for every size and for extremes") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  const float extremes[] = {0.0f, -0.0f, smallest, -smallest, 0x1p-130f, 1e30f, -1e30f, 1.0f};
  for (const std::size_t size : sizes()) {
    CAPTURE(size);
    std::vector<float> w(size);
    for (int kind = 0; kind < 4; ++kind) {
      CAPTURE(kind);
      for (std::size_t i = 0; i < size; ++i) {
        w[i] = kind == 3 ? -1.0f - std::fabs(normal(random)) : normal(random);  // 3: all below zero
        if (kind == 1 && i % 3 == 0) w[i] = extremes[random() % 8];
        if (kind == 2) w[i] = extremes[random() % 5];
      }
      CHECK(bits(max_magnitude(group{w})) == bits(er::max_magnitude(w)));
      CHECK(max_value(group{w}) == er::max_value(w));  // of 0 and -0 either is the largest
      CHECK(bits(mean_magnitude(group{w})) == bits(er::mean_magnitude(w)));
    }
  }
  CHECK(max_magnitude(group{std::span<const float>{}}) == 0.0f);
}

TEST_CASE_TEMPLATE("vector group: a policy's scale is that of its span, bit for bit", Policy,
                   er::ternary<>, er::ternary_absmax<>, er::binary<>, er::int2<>, er::int3<>,
                   er::int8<>, er::int4_asymmetric<>, er::learned_step<er::int4<>>, spans_only) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (const std::size_t size : sizes()) {
    std::vector<float> w(size);
    for (float& x : w) x = normal(random) - (size % 5 == 0 ? 1.0f : 0.0f);
    CAPTURE(size);
    CHECK(bits(er::detail::policy::scale_of(Policy{}, std::span<const float>{w})) ==
          bits(Policy{}.scale(std::span<const float>{w})));
  }
}

TEST_CASE("vector group: a policy whose scale is a template is given one") {
  const std::vector<float> w{1, -2, 3};
  CHECK(er::detail::policy::scale_of(tells{}, std::span<const float>{w}) == 3.0f);
  CHECK(tells{}.scale(std::span<const float>{w}) == -1.0f);
}

TEST_CASE_TEMPLATE(
    "vector group: a policy's scale of a group with a NaN is NaN, wherever it stands", Policy,
    er::ternary<>, er::ternary_absmax<>, er::binary<>, er::int2<>, er::int3<>, er::int8<>,
    er::int4_asymmetric<>, er::learned_step<er::int4<>>) {
  for (const std::size_t size : sizes()) {
    CAPTURE(size);
    std::vector<float> w(size, 0.5f);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < size; i += size < 100 ? 1 : size < 1000 ? 13 : size / 64 | 1) {
      for (const float nan : {std::nanf(""), -std::nanf("")}) {
        w[i] = nan;
        wrong += !std::isnan(Policy{}.scale(std::span<const float>{w}));
        wrong += !std::isnan(er::detail::policy::scale_of(Policy{}, std::span<const float>{w}));
      }
      w[i] = std::numeric_limits<float>::infinity();
      wrong += Policy{}.scale(std::span<const float>{w}) != w[i];
      wrong += er::detail::policy::scale_of(Policy{}, std::span<const float>{w}) != w[i];
      w[i] = 0.5f;
    }
    CHECK(wrong == 0);
  }
}

TEST_SUITE_END();
