// SPDX-License-Identifier: Apache-2.0
/// gamma of distributions over positions, from its definition.
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/attention_loss.hpp>
#include <edgerazor/distill/head_kl.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/head_kl");

TEST_CASE("head_kl: gamma is 1 less the mean entropy over heads and samples, in units of ln k") {
  // Two samples of one token, two heads, two keys; the second sample's token doesn't count.
  const std::vector<float> teacher{0.5f, 0.5f, 0.25f, 0.75f, 0.5f, 0.5f, 0.5f, 0.5f};
  const std::vector<float> student{0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};
  const std::vector<int> labels{1, -100};
  using view = er::head_view<const float>;
  const view s{{student.data(), 4, 2}, 2}, t{{teacher.data(), 4, 2}, 2};
  const er::token_batch tokens{.labels = labels, .sample_tokens = 1};
  const auto run = [&](er::kl_direction direction) {
    return er::attention_kl{.direction = direction, .confidence_k = 4}(s, t, tokens);
  };
  const double h = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
  const double gamma = 1 - (std::log(2.0) + h + 0 + 0) / 4 / std::log(4.0);
  const er::blended_result both = run(er::kl_direction::entropy_aware);
  CHECK(both.gamma == doctest::Approx(gamma).epsilon(1e-14));
  const er::blended_result forward = run(er::kl_direction::forward),
                           reverse = run(er::kl_direction::reverse);
  CHECK(forward.gamma == 0);
  CHECK(reverse.gamma == 1);
  CHECK(both.tokens == 1);
  CHECK(both.value ==
        doctest::Approx((1 - gamma) * forward.value + gamma * reverse.value).epsilon(1e-14));
  CHECK_THROWS_WITH(er::attention_kl{.confidence_k = 1}(s, t, tokens),
                    "attention_kl: confidence_k is 1, expected at least 2");
}

TEST_SUITE_END();
