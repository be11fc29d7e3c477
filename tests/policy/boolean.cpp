// SPDX-License-Identifier: Apache-2.0
/// Levels 0 and 1: the rounding boundary, the scale, what is negative.
#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/boolean.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace er = edgerazor;

static_assert(er::row_quantizer<er::boolean<>>);

TEST_SUITE_BEGIN("policy/boolean");

TEST_CASE("boolean: 1 above half a scale, else 0") {
  using policy = er::boolean<>;
  for (const float x : {-1e30f, -2.0f, -0.0f, 0.0f, 0.5f, 1.0f}) CHECK(policy::level(x, 2.0f) == 0);
  for (const float x : {std::nextafter(1.0f, 2.0f), 2.0f, 3.0f, 1e30f})
    CHECK(policy::level(x, 2.0f) == 1);
}

TEST_CASE("boolean: twice the mean magnitude, and the values of a group at every place") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (std::size_t count = 1; count < 70; ++count) {
    std::vector<float> x(count), out(count);
    double sum = 0;
    for (float& value : x) sum += std::fabs(value = normal(random));
    const float scale = er::boolean<>{}.scale(std::span<const float>{x});
    // A sum of n terms that are not negative, in any order: n roundings of 2^-24.
    CHECK(std::fabs(scale - 2 * sum / static_cast<double>(count)) <=
          scale * 0x1p-24 * static_cast<double>(count + 2));
    er::fake_quantize(er::matrix_view<const float>{x}, er::matrix_view<float>{out},
                      er::boolean<er::per_token, float>{});
    for (std::size_t i = 0; i < count; ++i) CHECK(out[i] == (x[i] > scale / 2 ? scale : 0.0f));
  }
  const std::vector<float> zeros(5, 0.0f);
  CHECK(er::boolean<>{}.scale(std::span<const float>{zeros}) == 1e-5f);
}

TEST_SUITE_END();
