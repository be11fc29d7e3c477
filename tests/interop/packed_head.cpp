// SPDX-License-Identifier: Apache-2.0
/// A quantized head in a fused loss gives what its dequantized matrix gives.
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/fused_head.hpp>
#include <edgerazor/interop/packed_head.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/unpack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("interop/packed_head");

TEST_CASE("a fused loss over a packed head equals one over its dequantized rows, bit for bit") {
  constexpr std::size_t tokens = 40, vocabulary = 150, hidden = 64;
  const std::uint32_t seed = 4;
  INFO("seed " << seed);
  std::mt19937 random{seed};
  std::normal_distribution<float> draw(0, 1);
  std::vector<float> weights(vocabulary * hidden), states(tokens * hidden),
      dense(vocabulary * hidden), row(hidden);
  for (float& x : weights) x = draw(random);
  for (float& x : states) x = draw(random);
  const auto packed = er::pack<er::int4<er::per_group<32>>>(
      er::matrix_view<const float>{weights.data(), vocabulary, hidden});
  er::dequantize(packed, er::matrix_view<float>{dense.data(), vocabulary, hidden});

  const er::matrix_view<const float> in{states.data(), tokens, hidden};
  const er::dense_head teacher{{weights.data(), vocabulary, hidden}};
  const er::fused_head<er::entropy_aware_kl> loss{.columns = 37};
  std::vector<float> workspace(loss.workspace_size(tokens));
  const auto run = [&](const auto& head, std::vector<float>& gradient) {
    return loss(in, head, in, teacher, er::token_batch{},
                er::matrix_view<float>{gradient.data(), tokens, hidden}, workspace);
  };
  std::vector<float> gradient(tokens * hidden), expected(tokens * hidden);
  std::vector<float> of_weights(vocabulary * hidden, 0),
      expected_of_weights(vocabulary * hidden, 0);
  const er::matrix_view<float> g{of_weights.data(), vocabulary, hidden};
  const er::fused_result a = run(er::packed_head{packed, row, g}, gradient);
  const er::fused_result b = run(er::dense_head{{dense.data(), vocabulary, hidden},
                                                {expected_of_weights.data(), vocabulary, hidden}},
                                 expected);
  CHECK(a.value == b.value);
  CHECK(a.value > 0);
  CHECK(gradient == expected);
  CHECK(of_weights == expected_of_weights);
  // A view may be a temporary, or become another.
  er::packed_view view = packed;
  const er::packed_head named{view, row};
  view = {};
  CHECK(named.rows() == vocabulary);
  CHECK_THROWS_WITH(er::packed_head(packed, std::span<float>{row}.first(3)),
                    "packed_head: a row of 3 floats for a matrix of 150 x 64");
}

TEST_SUITE_END();
