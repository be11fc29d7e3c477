// SPDX-License-Identifier: Apache-2.0
/// What is promised to need no memory asks for none: operator new counts, see counted_new.cpp.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "support/allocation_count.hpp"
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/learned_step.hpp>
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/quantize_group.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/fake_quantize");

TEST_CASE_TEMPLATE("no allocation: float rows whose groups stay within rows", Policy,
                   er::ternary<er::per_group<64>>, er::int4<er::per_channel>,
                   er::int4_asymmetric<er::per_group<256>>) {
  const std::size_t rows = 5, cols = 300, stride = 333;
  std::vector<float> w(rows * stride, 0.25f), out(rows * stride);
  std::vector<er::bfloat16> narrow(rows * stride, er::bfloat16{0.25f});
  std::vector<std::int8_t> levels(cols);
  const er::matrix_view<const float> in{w.data(), rows, cols, stride};
  const er::matrix_view<float> to{out.data(), rows, cols, stride};

  const std::size_t before = allocation_count;
  er::fake_quantize<Policy>(in, to);
  er::fake_quantize<Policy>(in, to, {}, {.rows = er::row_range{1, 4}});
  er::fake_quantize<Policy>(in, er::matrix_view<er::bfloat16>{narrow.data(), rows, cols, stride});
  er::straight_through_clipped<Policy>(in, to, to);
  (void)er::quantize_group<Policy>(in.row(0), levels);
  const std::size_t after = allocation_count;
  CHECK(after == before);

  // The counter counts: 16-bit rows are converted in a buffer.
  er::fake_quantize<Policy>(er::matrix_view<er::bfloat16>{narrow.data(), rows, cols, stride}, to);
  CHECK(allocation_count > after);
}

TEST_CASE("no allocation: all that a training step quantizes, again each step") {
  const std::size_t rows = 33, cols = 200, tokens = 12, heads = 2, head_size = 32;
  std::vector<float> w(rows * cols), out(w.size()), grad(w.size(), 1.0f);
  std::vector<float> x(tokens * cols, 0.5f), keys(tokens * heads * head_size, 0.5f);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 97) * 0.01f - 0.4f;
  const er::matrix_view<const float> in{w.data(), rows, cols};
  const er::matrix_view<float> to{out.data(), rows, cols}, grads{grad.data(), rows, cols};
  const er::matrix_view<float> activations{x.data(), tokens, cols},
      cached{keys.data(), tokens, heads * head_size};

  const er::column_group group{64};
  const auto every_2 = er::precision_mask(in, er::every_nth_row{2}, group);
  const auto every_8 = er::precision_mask(in, er::every_nth_row{8}, group);
  using int4 = er::as_stored<er::int4<>>;
  using ternary = er::as_stored<er::ternary<>>;
  using learned = er::learned_step<er::int4<er::per_group<64>>>;
  std::vector<float> scales(rows * er::groups_per_row(group, cols)), grad_scales(scales.size());
  er::initial_scales<learned>(in, scales);

  const std::size_t before = allocation_count;
  for (int step = 0; step < 3; ++step) {
    er::fake_quantize<int4>(in, to, {}, {.group = group});                              // 4 bits
    er::fake_quantize_mixed<int4, ternary>(in, to, every_2, {}, {}, {.group = group});  // 2.79
    er::fake_quantize_mixed<int4, ternary>(in, to, every_8, {}, {}, {.group = group});  // 1.88
    er::fake_quantize<ternary>(in, to, {}, {.group = group, .rows = er::row_range{0, 16}});  // 1.58
    er::fake_quantize_mixed<int4, ternary>(in, to, every_8, {}, {},
                                           {.group = group, .rows = er::row_range{16, rows}});
    er::fake_quantize<er::int8<>>(activations, activations, {}, {.group = group});
    er::fake_quantize<er::int8<>>(activations, activations, {}, {.group = 0});
    er::fake_quantize<er::int8<>>(cached, cached, {}, {.group = head_size});
    er::straight_through(std::span<const float>{grad}, std::span<float>{grad});
    er::straight_through_clipped<er::ternary<>>(in, grads, grads, {}, {.group = group});
    er::straight_through_clipped_mixed<er::int4<>, er::ternary<>>(in, grads, grads, every_8, {}, {},
                                                                  {.group = group});
    er::fake_quantize<learned>(in, scales, to);
    er::learned_step_backward<learned>(in, scales, grads, grads, grad_scales);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] -= 1e-4f * grad_scales[i];
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= 1e-4f * grad[i];
  }
  CHECK(allocation_count == before);
}

TEST_SUITE_END();
