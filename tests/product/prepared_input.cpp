// SPDX-License-Identifier: Apache-2.0
/// What a prepared input holds, and of which tokens. How it is made and multiplied is tested in
/// product/linear_operator.
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/prepared_input.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/prepared_input");

TEST_CASE("prepared_input: stages and codes by number, and some of its tokens") {
  constexpr std::size_t rows = 4, cols = 6, tokens = 5;
  std::vector<float> x(tokens * cols), w(rows * cols, 1.0f);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 7;
  const std::vector<float> h{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint32_t> p{5, 4, 3, 2, 1, 0};
  const auto packed =
      er::pack<er::int4<er::per_group<4>>>(er::matrix_view<const float>{w.data(), rows, cols});
  const er::scaled_columns sum{h, er::permuted_columns{p, packed}};
  std::vector<std::byte> room(er::input_bytes(sum, tokens));
  const er::prepared_input all = er::prepare(sum, {x.data(), tokens, cols}, room);
  CHECK(all.tokens() == tokens);
  CHECK(all.cols() == cols);
  const std::size_t scaled = all.number_of(sum.stages()[0], 0),
                    permuted = all.number_of(sum.stages()[1], scaled);
  CHECK(scaled != permuted);
  CHECK(all.number_of(sum.stages()[1], 0) == er::detail::product::no_input);
  CHECK_FALSE(all.input(0, 4).has_value());
  CHECK_FALSE(all.input(permuted, 8).has_value());
  CHECK_FALSE(all.input(er::detail::product::no_input, 0).has_value());

  const er::prepared_input some = all.tokens_between(2, 4);
  CHECK(some.tokens() == 2);
  CHECK(some.x().data == x.data() + 2 * cols);
  const er::matrix_view<const float> floats =
      std::get<er::detail::product::float_tokens>(some.input(permuted, 0).value()).rows;
  const auto codes = std::get<er::activation_view>(some.input(permuted, 4).value());
  er::packed_activations expected(cols, 4);
  REQUIRE(floats.rows == 2);
  REQUIRE(codes.tokens == 2);
  for (std::size_t t = 0; t < 2; ++t) {
    for (std::size_t c = 0; c < cols; ++c)
      CHECK(floats.row(t)[c] == x[(2 + t) * cols + p[c]] * h[p[c]]);
    (void)er::quantize_activations(floats.row(t), expected);
    const er::activation_view one = codes.tokens_between(t, t + 1);
    for (std::size_t c = 0; c < 8; ++c) CHECK(one.codes[c] == expected.codes(0)[c]);
    for (std::size_t g = 0; g < 2; ++g) {
      CHECK(one.scales[g] == expected.scales(0)[g]);
      CHECK(one.sums[g] == expected.sums(0)[g]);
    }
  }
}

TEST_CASE("prepared_input: from 8 tokens on a sparse part has them by column") {
  constexpr std::size_t cols = 37;
  const er::sparse_entry entry{0, 1, 1};
  const er::sparse_matrix w(2, cols, std::span{&entry, 1});
  for (const std::size_t tokens : {1u, 7u, 8u, 16u, 17u, 40u}) {
    CAPTURE(tokens);
    std::vector<float> x(tokens * cols);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) + 1;
    std::vector<std::byte> room(er::input_bytes(w, tokens), std::byte{0xff});
    const er::prepared_input all = er::prepare(w, {x.data(), tokens, cols}, room);
    const auto floats = std::get<er::detail::product::float_tokens>(all.input(0, 0).value());
    CHECK(floats.rows.data == x.data());
    REQUIRE((floats.columns != nullptr) == (tokens >= 8));
    for (std::size_t t = 0; t < (tokens + 15) / 16 * 16 && floats.columns; ++t) {
      for (std::size_t c = 0; c < cols; ++c)
        CHECK(floats.columns[t / 16 * 16 * cols + 16 * c + t % 16] ==
              (t < tokens ? x[t * cols + c] : 0.0f));
    }
  }
}

TEST_SUITE_END();
