// SPDX-License-Identifier: Apache-2.0
/// Both orders of heads name the same rows.
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/heads.hpp>

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

TEST_SUITE_END();
