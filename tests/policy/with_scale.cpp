// SPDX-License-Identifier: Apache-2.0
/// A given scale in place of the one that a policy finds.
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/policy/with_scale.hpp>

namespace er = edgerazor;

using given_ternary = er::with_scale<er::ternary<er::per_group<4>>>;
using given_four = er::with_scale<er::asymmetric<4, er::per_group<4>>>;
static_assert(er::row_quantizer<given_ternary> && !er::zero_quantizer<given_ternary>);
static_assert(er::zero_quantizer<given_four> && !er::quantizer<given_four>);
static_assert(er::detail::policy::has_level_rule<given_ternary> &&
              er::detail::policy::has_code_line<given_four>);

TEST_SUITE_BEGIN("policy/with_scale");

TEST_CASE("with_scale: every group has it, whatever it holds") {
  const std::vector<float> x{0.2f, 0.26f, -0.3f, 100, 0, 0, -5, 0.25f};
  std::vector<float> out(8);
  const er::matrix_view<const float> in{x.data(), 1, 8};
  const er::matrix_view<float> to{out.data(), 1, 8};
  er::fake_quantize(in, to, given_ternary{0.5f});
  CHECK(out == std::vector<float>{0, 0.5f, -0.5f, 0.5f, 0, 0, -0.5f, 0});
  er::fake_quantize(in, to, given_four{0.5f, 7.25f});
  // Codes round(x / 0.5 + 7.25) of 0 to 15, less 7.25, times 0.5.
  CHECK(out ==
        std::vector<float>{0.375f, 0.375f, -0.125f, 3.875f, -0.125f, -0.125f, -3.625f, 0.375f});
}

TEST_CASE("with_scale: one that is no scale is refused as any policy's") {
  std::vector<float> x(8, 1.0f);
  const er::matrix_view<float> both{x.data(), 1, 8};
  for (const float wrong : {-1.0f, INFINITY, NAN})
    CHECK_THROWS_AS(er::fake_quantize(both, both, given_ternary{wrong}), std::invalid_argument);
  CHECK_THROWS_AS(er::fake_quantize(both, both, given_four{1, NAN}), std::invalid_argument);
  CHECK(x == std::vector<float>(8, 1.0f));
}

TEST_CASE("with_scale: a scale below 0 is refused of codes with a zero too") {
  std::vector<float> x{1, 2, -1, 0};
  const er::matrix_view<float> both{x.data(), 1, 4};
  CHECK_THROWS_AS(er::fake_quantize(both, both, given_four{-0.5f, 7}), std::invalid_argument);
  CHECK(x == std::vector<float>{1, 2, -1, 0});
}

TEST_SUITE_END();
