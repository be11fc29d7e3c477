// SPDX-License-Identifier: Apache-2.0
/// A policy as a value: the codes and scales of the policy itself, less the zero.
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/activation_policy.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/boolean.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/policy/with_scale.hpp>

namespace er = edgerazor;

/// A policy of one's own, without loops.
struct fives {
  using granularity = er::per_group<4>;
  using scale_type = float;
  static constexpr int min_level = -5, max_level = 5;
  double unit = 0.25;
  float scale(std::span<const float>) const noexcept { return static_cast<float>(unit); }
  static int level(float x, float) noexcept { return x < 0 ? -5 : 5; }
};
/// One whose level -128 a kernel does not multiply.
struct bytes : fives {
  static constexpr int min_level = -128;
};

static_assert(er::activation_quantizer<er::int8<>> && er::activation_quantizer<fives> &&
              er::activation_quantizer<er::binary<>> &&
              er::activation_quantizer<er::integer_zero<7>>);
static_assert(!er::activation_quantizer<bytes> && !er::activation_quantizer<er::asymmetric<4>> &&
              !er::activation_quantizer<er::integer_zero<8>>);

TEST_SUITE_BEGIN("policy/activation_policy");

namespace {
template <er::quantizer Policy>
std::size_t count_wrong(const Policy& policy, const std::vector<float>& x) {
  const er::activation_policy as_value = policy;
  const er::group_fit fit = as_value.fit(x);
  std::vector<std::int8_t> codes(x.size());
  const std::int32_t sum = as_value.quantize(x, fit, codes.data());
  std::size_t wrong = !as_value || fit.zero != 0 || fit.scale != policy.scale(std::span{x});
  std::int32_t expected = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    wrong += codes[i] != Policy::level(x[i], fit.scale);
    expected += codes[i];
  }
  return wrong + (sum != expected);
}
template <er::zero_quantizer Policy>
std::size_t count_wrong(const Policy& policy, const std::vector<float>& x) {
  const er::activation_policy as_value = policy;
  const er::group_fit fit = as_value.fit(x), own = policy.fit(std::span<const float>{x});
  std::vector<std::int8_t> codes(x.size());
  const std::int32_t sum = as_value.quantize(x, fit, codes.data());
  std::size_t wrong = !as_value || fit.zero != own.zero || fit.scale != own.scale;
  std::int32_t expected = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    wrong += codes[i] != Policy::code(x[i], fit) - static_cast<int>(fit.zero);
    expected += codes[i];
  }
  return wrong + (sum != expected);
}
}  // namespace

TEST_CASE("activation_policy: codes, scale and zero of the policy it holds") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  CHECK_FALSE(er::activation_policy{});
  for (const float middle : {0.0f, 3.0f, -100.0f}) {
    std::normal_distribution<float> normal{middle, 2.0f};
    for (std::size_t count = 1; count < 80; ++count) {
      std::vector<float> x(count);
      for (float& value : x) value = normal(random);
      CAPTURE(count);
      CAPTURE(middle);
      CHECK(count_wrong(er::int8<>{}, x) == 0);
      CHECK(count_wrong(er::int4<>{.epsilon = 3}, x) == 0);
      CHECK(count_wrong(er::ternary<>{.factor = 1.5f}, x) == 0);
      CHECK(count_wrong(er::boolean<>{}, x) == 0);
      CHECK(count_wrong(er::binary<>{}, x) == 0);
      CHECK(count_wrong(fives{.unit = 2}, x) == 0);
      CHECK(count_wrong(er::with_scale<er::ternary<>>{0.7f}, x) == 0);
      CHECK(count_wrong(er::integer_zero<2>{}, x) == 0);
      CHECK(count_wrong(er::integer_zero<4>{}, x) == 0);
      CHECK(count_wrong(er::integer_zero<7>{.epsilon = 1}, x) == 0);
      CHECK(count_wrong(er::with_scale<er::integer_zero<7>>{0.01f, 127}, x) == 0);
    }
  }
}

TEST_SUITE_END();
