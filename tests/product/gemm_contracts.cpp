// SPDX-License-Identifier: Apache-2.0
/// What products refuse, and that they allocate nothing.
#include <algorithm>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/allocation_count.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/product/attention.hpp>
#include <edgerazor/product/gemv.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/gemm");

namespace {

using error = std::invalid_argument;

struct operands_of_33_by_100 {
  std::vector<float> w = std::vector<float>(33 * 100, 0.5f), x = std::vector<float>(5 * 100, 0.25f),
                     y = std::vector<float>(5 * 33);
  er::matrix_view<const float> weights{w.data(), 33, 100};
  er::packed_activations memory{100, 32, 5};
  er::activation_view x8 = er::quantize_activations({x.data(), 5, 100}, memory);
  er::activation_view one8 = x8.tokens_between(0, 1);

  [[nodiscard]] er::unquantized reals(std::size_t tokens, std::size_t cols) const {
    return er::matrix_view<const float>{x.data(), tokens, cols};
  }
  [[nodiscard]] er::matrix_view<float> out(std::size_t tokens, std::size_t rows) {
    return {y.data(), tokens, rows};
  }
  [[nodiscard]] std::span<float> first(std::size_t rows) { return std::span{y}.first(rows); }
};

template <class W>
void check_refuses(const W& w, bool takes_int8) {
  operands_of_33_by_100 o;
  constexpr const char* columns =
      "product: a matrix of 33 x 100 times activations of 1 x 99 does not fit an output of 1 x 33";
  CHECK_THROWS_WITH_AS(er::gemv(w, std::span<const float>{o.x}.first(99), o.first(33)), columns,
                       error);
  CHECK_THROWS_WITH_AS(er::gemv(w, o.reals(1, 99), o.first(33)), columns, error);
  CHECK_THROWS_WITH_AS(
      er::gemv(w, o.reals(1, 100), o.first(32)),
      "product: a matrix of 33 x 100 times activations of 1 x 100 does not fit an output of 1 x 32",
      error);
  CHECK_THROWS_WITH_AS(
      er::gemm(w, o.reals(3, 100), o.out(2, 33)),
      "product: a matrix of 33 x 100 times activations of 3 x 100 does not fit an output of 2 x 33",
      error);
  CHECK_THROWS_AS(er::gemv(w, std::span<const float>{}, o.first(33)), error);
  CHECK_THROWS_AS(er::gemv(w, o.reals(2, 100), o.first(33)), error);  // a gemv has one token
  const er::row_range backwards{5, 4}, beyond{0, 34}, far{SIZE_MAX, SIZE_MAX};
  CHECK_THROWS_WITH_AS(er::gemv(w, o.reals(1, 100), o.first(33), {.rows = backwards}),
                       "product: rows 5 to 4 of a matrix of 33 x 100", error);
  CHECK_THROWS_AS(er::gemv(w, o.reals(1, 100), o.first(33), {.rows = beyond}), error);
  CHECK_THROWS_AS(er::gemv(w, o.reals(1, 100), o.first(33), {.rows = far}), error);
  CHECK_THROWS_AS(
      er::gemv(w, std::span<const float>{o.x}.first(100), o.first(33), {.rows = beyond}), error);
  CHECK_NOTHROW(er::gemm(w, o.reals(0, 100), o.out(0, 33)));
  CHECK_NOTHROW(er::gemv(w, o.reals(1, 100), o.first(33), {.rows = er::row_range{33, 33}}));

  std::vector<float> row(100);
  CHECK_THROWS_WITH_AS(er::look_up_row(w, 33, std::span{row}),
                       "look_up_row: row 33 into 100 elements, of a matrix of 33 x 100", error);
  CHECK_THROWS_AS(er::look_up_row(w, 0, std::span{row}.first(99)), error);

  if (!takes_int8) {
    CHECK_THROWS_WITH_AS(er::gemv(w, o.one8, o.first(33)),
                         "product: a matrix of f16 takes float activations, not int8", error);
    return;
  }
  CHECK_NOTHROW(er::gemm(w, o.x8, o.out(5, 33)));
  CHECK_THROWS_AS(er::gemm(w, o.x8, o.out(4, 33)), error);
  CHECK_THROWS_AS(er::gemv(w, o.x8, o.first(33)), error);
  er::packed_activations other(100, 64), narrow(99, 32);
  CHECK_THROWS_WITH_AS(er::gemv(w, other.view(), o.first(33)),
                       "product: weights in groups of 32 columns and activations in groups of 64",
                       error);
  CHECK_THROWS_WITH_AS(er::gemv(w, narrow.view(), o.first(33)), columns, error);
}

}  // namespace

TEST_CASE("product: shapes that do not fit are refused with both") {
  const operands_of_33_by_100 o;
  using high = er::int4<er::per_group<32>>;
  using low = er::ternary<er::per_group<32>>;
  const auto packed = er::pack<low>(o.weights);
  check_refuses(packed, true);
  check_refuses(packed.view(), true);
  check_refuses(er::pack_mixed<high, low>(o.weights, er::every_nth_row{8}), true);
  check_refuses(er::any_matrix::pack(*er::matrix_format::parse("int8_g32"), o.weights), true);
  check_refuses(er::any_matrix::pack(
                    *er::matrix_format::parse("int4_g32+ternary5_g32:every_2_rows"), o.weights),
                true);
  check_refuses(er::any_matrix::pack(*er::matrix_format::parse("f16"), o.weights), false);
}

TEST_CASE("product: nothing is written where it is refused") {
  operands_of_33_by_100 o;
  const auto packed = er::pack<er::int4<er::per_group<32>>>(o.weights);
  std::fill(o.y.begin(), o.y.end(), 7.0f);
  er::packed_activations other(100, 64);
  CHECK_THROWS_AS(er::gemv(packed, other.view(), o.first(33)), error);
  CHECK_THROWS_AS(er::gemv(packed, o.reals(1, 100), o.first(33), {.rows = er::row_range{0, 34}}),
                  error);
  CHECK(o.y == std::vector<float>(o.y.size(), 7.0f));
}

TEST_CASE("product: no allocation, but for the form that quantizes") {
  operands_of_33_by_100 o;
  using high = er::int4<er::per_group<32>>;
  using low = er::ternary<er::per_group<32>>;
  const auto packed = er::pack<low, er::codecs::ternary5>(o.weights);
  const auto mixed = er::pack_mixed<high, low>(o.weights, er::largest_variance{0.5});
  const auto any = er::any_matrix::pack(*er::matrix_format::parse("int8_row"), o.weights);
  const auto dense = er::any_matrix::pack(*er::matrix_format::parse("bf16"), o.weights);
  er::packed_activations whole_row(100, 0, 5);
  std::vector<float> row(100), scores(1);
  er::kv_cache cache(1, 100, 4);
  for (const er::kernel& k : er::available_kernels()) {
    const std::size_t before = allocation_count;
    (void)er::quantize_activations({o.x.data(), 5, 100}, o.memory,
                                   {.scales = er::activation_scales::of_groups, .kernel = &k});
    const er::activation_view x8 = er::quantize_activations(
        {o.x.data(), 5, 100}, whole_row, {.scales = er::activation_scales::of_token, .kernel = &k});
    er::gemm(packed, o.x8, o.out(5, 33), {.kernel = &k});
    er::gemv(packed, o.one8, o.first(33), {.rows = er::row_range{3, 20}, .kernel = &k});
    er::gemm(packed, o.reals(5, 100), o.out(5, 33), {.kernel = &k});
    er::gemm(mixed, o.x8, o.out(5, 33), {.kernel = &k});
    er::gemm(mixed, o.reals(5, 100), o.out(5, 33), {.kernel = &k});
    er::gemm(any, x8, o.out(5, 33), {.kernel = &k});
    er::gemm(dense, o.reals(5, 100), o.out(5, 33), {.kernel = &k});
    er::gemv(dense, std::span<const float>{o.x}.first(100), o.first(33), {.kernel = &k});
    er::look_up_row(mixed, 8, std::span{row});
    cache.truncate(0);
    cache.append(std::span{o.x}.first(100), std::span{o.x}.first(100));
    er::attention_scores(cache, 0, er::unquantized{std::span<const float>{o.x}.first(100)}, scores,
                         {.kernel = &k});
    er::softmax(scores);
    er::attention_mix(cache, 0, scores, row, {.kernel = &k});
    const std::size_t after = allocation_count;
    CAPTURE(k.name);
    CHECK(after == before);
  }
  const std::size_t before = allocation_count;
  er::gemv(packed, std::span<const float>{o.x}.first(100), o.first(33));
  CHECK(allocation_count == before + 1);  // and the counter counts
}

TEST_CASE(
    "product: an output that overlaps the activations is refused; parts of one buffer are not") {
  const std::vector<float> weights(32 * 32, 7.0f);
  const auto w = er::pack<er::int4<er::per_group<32>>>(er::matrix_view{weights.data(), 32, 32});
  std::vector<float> memory(4 * 96, 1.0f);
  const auto part = [&](std::size_t at, std::size_t rows) {
    return er::matrix_view<float>{memory.data() + at, rows, 32, 96};
  };
  const auto run = [&](std::size_t x, std::size_t y, std::size_t rows) {
    er::gemm(w, er::unquantized{part(x, rows)}, part(y, rows));
  };
  for (const std::size_t rows : {std::size_t{1}, std::size_t{3}}) {
    for (const std::size_t y : {0, 1, 31}) {
      CHECK_THROWS_WITH_AS(run(0, y, rows), "product: the output overlaps the input", error);
      CHECK_THROWS_WITH_AS(run(y, 0, rows), "product: the output overlaps the input", error);
    }
    CHECK(memory == std::vector<float>(4 * 96, 1.0f));
  }
  // The output's last columns lie in the next row's first.
  CHECK_THROWS_AS(run(0, 80, 3), error);
  for (const std::size_t y : {32, 64}) {
    std::ranges::fill(memory, 1.0f);
    run(0, y, 3);
    run(y, 0, 3);
    CHECK(memory[y + 2 * 96 + 31] == 224.0f);
    CHECK(memory[2 * 96 + 31] == 224.0f * 224.0f);
  }
  // int8 activations are read where they are.
  er::packed_activations x8(32, 32, 3);
  const auto x = er::quantize_activations(er::matrix_view<const float>{part(0, 3)}, x8);
  er::gemm(w, x, part(0, 3));
}

TEST_CASE("product: no columns are refused where a matrix is made, and multiply nothing") {
  CHECK_THROWS_AS(
      (void)er::pack<er::int4<er::per_group<32>>>(er::matrix_view<const float>{nullptr, 4, 0}),
      std::invalid_argument);
  const er::any_matrix none;
  std::vector<float> y(1);
  CHECK_THROWS_AS(er::gemv(none, std::span<const float>{}, std::span<float>{y}),
                  std::invalid_argument);
  er::gemv(none, er::unquantized{std::span<const float>{}}, std::span<float>{});
}

TEST_SUITE_END();
