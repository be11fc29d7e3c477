// SPDX-License-Identifier: Apache-2.0
/// Both orders of heads name the same rows; gamma of distributions over positions, from its
/// definition.
#include <cmath>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/attention_loss.hpp>
#include <edgerazor/distill/heads.hpp>
#include <edgerazor/distill/hidden_loss.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/heads");

TEST_CASE("heads: a row of either order lies where the order says") {
  constexpr std::size_t samples = 2, tokens = 3, heads = 4, width = 5;
  std::vector<float> values(samples * tokens * heads * width);
  std::iota(values.begin(), values.end(), 0.0f);
  using view = er::head_view<const float>;
  const er::token_heads by_head =
      view{{values.data(), samples * heads * tokens, width}, heads, er::head_order::by_head};
  const er::token_heads by_token =
      view{{values.data(), samples * tokens, heads * width}, heads, er::head_order::by_token};
  for (const er::token_heads& rows : {by_head, by_token}) {
    CHECK(rows.tokens() == samples * tokens);
    CHECK(rows.width() == width);
  }
  for (std::size_t s = 0; s < samples; ++s) {
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t t = 0; t < tokens; ++t) {
        const std::size_t begin = s * tokens, end = begin + tokens, i = begin + t;
        const er::detail::distill::head_token at{{.index = i, .begin = begin, .end = end}, h};
        const er::input_row a = by_head.row(at), b = by_token.row(at);
        CHECK(a.size == width);
        CHECK(b.size == width);
        CHECK(a[1] == static_cast<double>(((s * heads + h) * tokens + t) * width + 1));
        CHECK(b[1] == static_cast<double>(((s * tokens + t) * heads + h) * width + 1));
      }
    }
  }
}

TEST_CASE("heads: a matrix is one head, and a gradient without data has no rows") {
  std::vector<float> values(6);
  const er::token_heads rows = er::matrix_view<float>{values.data(), 2, 3};
  CHECK(rows.heads == 1);
  CHECK(rows.tokens() == 2);
  CHECK(!er::gradient_heads{}.row({{.index = 1, .end = 2}}, false));
}

TEST_CASE("heads: gamma is 1 less the mean entropy over heads and samples, in units of ln k") {
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

TEST_CASE("heads: views of no heads and no data ask for nothing") {
  const std::vector<float> states{1, 2, 3, 4};
  const er::matrix_view<const float> rows{states.data(), 2, 2};
  for (const er::head_order order : {er::head_order::by_head, er::head_order::by_token}) {
    const er::head_view<float> none{{}, 0, order};
    CHECK(er::hidden_mse{}(rows, rows, er::token_batch{}, none).value == 0);
  }
}

TEST_SUITE_END();
