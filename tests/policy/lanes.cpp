// SPDX-License-Identifier: Apache-2.0
/// Vectors of weights: their rounding, signs and arithmetic are those of single numbers.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/lanes.hpp>

namespace er = edgerazor;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
}  // namespace

TEST_SUITE_BEGIN("policy/lanes");

TEST_CASE("round_to_level: vectors, also of what is not finite, as single numbers") {
  using reals = xsimd::batch<float>;
  std::vector<float> x{std::nanf(""), -std::nanf(""), infinity, -infinity,
                       1e38f,         -1e38f,         0.0f,     -0.0f};
  for (int i = -40; i <= 40; ++i) x.push_back(0.25f * static_cast<float>(i));
  x.resize((x.size() + reals::size - 1) / reals::size * reals::size);
  for (std::size_t i = 0; i < x.size(); i += reals::size) {
    std::int32_t levels[reals::size];
    er::detail::policy::round_lanes<-8, 7>(reals::load_unaligned(x.data() + i))
        .store_unaligned(levels);
    for (std::size_t j = 0; j < reals::size; ++j) {
      CAPTURE(x[i + j]);
      CHECK(levels[j] == er::round_to_level<-8, 7>(x[i + j]));
    }
  }
}

TEST_CASE("lanes: arithmetic, levels and signs as of single numbers") {
  using lanes = er::detail::policy::float_lanes<xsimd::default_arch>;
  constexpr float smallest = std::numeric_limits<float>::denorm_min();
  const float numbers[] = {1.0f, -0.3f, 7.3f,      0.0f,  -0.0f,     smallest, -smallest,
                           1e5f, -9.5f, 0x1p-130f, 1e30f, -infinity, 0.1f,     3.0f};
  for (const float a : numbers)
    for (const float b : numbers) {
      CAPTURE(a);
      CAPTURE(b);
      float sums[lanes::size], differences[lanes::size], products[lanes::size],
          quotients[lanes::size];
      const lanes x{a}, y{b};
      (x + y).values.store_unaligned(sums);
      (x - y).values.store_unaligned(differences);
      (x * y).values.store_unaligned(products);
      (x / y).values.store_unaligned(quotients);
      const auto same = [](float p, float q) { return p == q || (std::isnan(p) && std::isnan(q)); };
      std::int32_t levels[lanes::size], signs[lanes::size];
      (round_to_level<-7, 7>(x / y) - 2 + 1).values.store_unaligned(levels);
      sign_level(x).values.store_unaligned(signs);
      for (std::size_t i = 0; i < lanes::size; ++i) {
        CHECK(same(sums[i], a + b));
        CHECK(same(differences[i], a - b));
        CHECK(same(products[i], a * b));
        CHECK(same(quotients[i], a / b));
        CHECK(levels[i] == er::round_to_level<-7, 7>(a / b) - 1);
        CHECK(signs[i] == er::sign_level(a));
      }
    }
}

TEST_SUITE_END();
