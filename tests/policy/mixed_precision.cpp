// SPDX-License-Identifier: Apache-2.0
/// Quantization at two precisions: each group by the policy that a mask or a map names.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support/policy_data.hpp"
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;
using policy_data::random_values;
using policy_data::view;

namespace {

template <class Function>
std::string sentence_of(Function&& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_SUITE_BEGIN("policy/mixed_precision");

TEST_CASE_TEMPLATE(
    "fake_quantize_mixed: each group by the policy that the mask names, in place too", T, float,
    er::float16, er::bfloat16) {
  using high_policy = er::int4<er::per_group<64>>;
  using low_policy = er::ternary<er::per_group<64>>;
  const std::size_t rows = 19, cols = 200, groups = 4;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<T> w(rows * cols);
  for (T& x : w) x = T{normal(random)};
  const er::matrix_view<T> in{w.data(), rows, cols};

  std::vector<float> high(w.size()), low(w.size());
  er::fake_quantize<high_policy>(in, er::matrix_view<float>{high.data(), rows, cols});
  er::fake_quantize<low_policy>(in, er::matrix_view<float>{low.data(), rows, cols});

  const auto check = [&](const auto& map) {
    const auto chosen = er::precision_mask<er::per_group<64>>(in, map);
    REQUIRE(chosen.size() == rows * groups);
    std::vector<float> mixed(w.size());
    er::fake_quantize_mixed<high_policy, low_policy>(
        in, er::matrix_view<float>{mixed.data(), rows, cols}, map);
    std::vector<T> in_place = w;
    const er::matrix_view<T> same{in_place.data(), rows, cols};
    er::fake_quantize_mixed<high_policy, low_policy>(same, same, map);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const bool is_high = chosen[i / cols * groups + i % cols / 64] != 0;
      CHECK(mixed[i] == (is_high ? high[i] : low[i]));
      CHECK(static_cast<float>(in_place[i]) == static_cast<float>(T{mixed[i]}));
    }
  };
  check(er::every_nth_row{8});
  check(er::rows_modulo{});
  check(er::leading_columns{0.5});
  check(er::leading_blocks{0.3});
  check(er::leading_blocks_of_hundred{0.3});
  check(er::largest_variance{0.3});
}

TEST_CASE(
    "fake_quantize_mixed: a mask computed before is the map, and a range of rows leaves the others "
    "alone") {
  using high_policy = er::int4<er::per_group<64>>;
  using low_policy = er::ternary<er::per_group<64>>;
  const std::size_t rows = 19, cols = 200, stride = 222, groups = 4;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> w(rows * stride);
  for (float& x : w) x = normal(random);
  const er::matrix_view<const float> in{w.data(), rows, cols, stride};
  const auto checked = [&](const auto& map) {
    std::vector<std::uint8_t> chosen = er::precision_mask<er::per_group<64>>(in, map);
    for (std::uint8_t& entry : chosen) entry = entry != 0 ? std::uint8_t{200} : std::uint8_t{0};
    std::vector<float> by_map(w.size(), 7.0f), by_mask = by_map, by_parts = by_map;
    er::fake_quantize_mixed<high_policy, low_policy>(
        in, er::matrix_view<float>{by_map.data(), rows, cols, stride}, map);
    er::fake_quantize_mixed<high_policy, low_policy>(
        in, er::matrix_view<float>{by_mask.data(), rows, cols, stride}, chosen);
    CHECK(by_mask == by_map);
    const er::matrix_view<float> parts{by_parts.data(), rows, cols, stride};
    er::fake_quantize_mixed<high_policy, low_policy>(in, parts, chosen, {}, {},
                                                     {.rows = er::row_range{3, 8}});
    for (std::size_t i = 0; i < w.size(); ++i)
      CHECK(by_parts[i] == (i / stride >= 3 && i / stride < 8 ? by_mask[i] : 7.0f));
    er::fake_quantize_mixed<high_policy, low_policy>(in, parts, chosen, {}, {},
                                                     {.rows = er::row_range{0, 3}});
    er::fake_quantize_mixed<high_policy, low_policy>(in, parts, chosen, {}, {},
                                                     {.rows = er::row_range{8, rows}});
    CHECK(by_parts == by_mask);
  };
  checked(er::every_nth_row{8});
  checked(er::leading_blocks{0.3});
  checked(er::largest_variance{0.3});

  std::vector<float> out(w.size());
  const er::matrix_view<float> to{out.data(), rows, cols, stride};
  const std::vector<std::uint8_t> short_mask(rows * groups - 1);
  CHECK(
      sentence_of([&] { er::fake_quantize_mixed<high_policy, low_policy>(in, to, short_mask); }) ==
      "fake_quantize_mixed: the mask has 75 entries, expected one for each of 19 x 4 groups");
  const std::vector<std::uint8_t> whole_mask(rows * groups);
  CHECK(sentence_of([&] {
          er::fake_quantize_mixed<high_policy, low_policy>(in, to, whole_mask, {}, {},
                                                           {.rows = er::row_range{3, 20}});
        }) == "fake_quantize_mixed: rows 3 to 20 of a matrix of 19 x 200");
}

TEST_CASE("fake_quantize_mixed: the policies' parameters count") {
  const std::vector<float> w{1, -1, 4, 0};
  std::vector<float> out(4);
  using group = er::per_group<2>;
  er::fake_quantize_mixed<er::int4<group>, er::ternary<group>>(
      er::matrix_view<const float>{w.data(), 2, 2}, er::matrix_view<float>{out.data(), 2, 2},
      er::every_nth_row{2}, er::int4<group>{.epsilon = 14}, er::ternary<group>{.factor = 1});
  CHECK(out ==
        std::vector<float>{0, 0, 2, 0});  // scale 14 / 7 = 2: 1 / 2 is a tie; scale mean|w| = 2
}

TEST_CASE("mixed precision with groups at run time, and its clipped estimator") {
  using high = er::int4<er::per_group<64>>;
  using low = er::ternary<er::per_group<64>>;
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const std::size_t rows = 11, cols = 200;
  const std::vector<float> w = random_values(rows * cols, seed);
  const er::matrix_view<const float> in = view(w, rows, cols);
  const auto mask = er::precision_mask(in, er::leading_columns{0.5}, er::column_group{64});
  CHECK(mask == er::precision_mask<er::per_group<64>>(in, er::leading_columns{0.5}));
  std::vector<float> expected(w.size()), result(w.size());
  const er::matrix_view<float> to{result.data(), rows, cols};
  er::fake_quantize_mixed<high, low>(in, er::matrix_view<float>{expected.data(), rows, cols}, mask);
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, mask, {}, {}, {.group = 64});
  CHECK(result == expected);
  std::fill(result.begin(), result.end(), 0.0f);
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, mask, {}, {},
                                                     {.group = 64, .rows = er::row_range{6, rows}});
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, to, mask, {}, {},
                                                     {.group = 64, .rows = er::row_range{0, 6}});
  CHECK(result == expected);

  // Each group's gradients are those of the policy that the mask names.
  std::vector<float> grad(w.size()), of_high(w.size()), of_low(w.size()), of_mixed(w.size()),
      of_parts(w.size());
  for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = static_cast<float>(i + 1);
  const er::matrix_view<const float> grads = view(grad, rows, cols);
  er::straight_through_clipped<high>(in, grads, er::matrix_view<float>{of_high.data(), rows, cols});
  er::straight_through_clipped<low>(in, grads, er::matrix_view<float>{of_low.data(), rows, cols});
  er::straight_through_clipped_mixed<high, low>(
      in, grads, er::matrix_view<float>{of_mixed.data(), rows, cols}, mask);
  const er::matrix_view<float> parts{of_parts.data(), rows, cols};
  er::straight_through_clipped_mixed<high, low>(in, grads, parts, mask, {}, {},
                                                {.rows = er::row_range{0, 5}});
  CHECK(of_parts[5 * cols] == 0.0f);
  er::straight_through_clipped_mixed<er::int4<>, er::ternary<>>(
      in, grads, parts, mask, {}, {}, {.group = 64, .rows = er::row_range{5, rows}});
  CHECK(of_parts == of_mixed);
  er::straight_through_clipped_mixed<er::int4<>, er::ternary<>>(in, grads, parts, mask, {}, {},
                                                                {.group = 64});
  CHECK(of_parts == of_mixed);
  for (std::size_t i = 0; i < w.size(); ++i)
    CHECK(of_mixed[i] == (mask[i / cols * 4 + i % cols / 64] != 0 ? of_high[i] : of_low[i]));
  CHECK(of_low != of_high);

  std::vector<std::uint8_t> long_mask(mask.size() + 1);
  CHECK(sentence_of(
            [&] { er::straight_through_clipped_mixed<high, low>(in, grads, parts, long_mask); }) ==
        "straight_through_clipped_mixed: the mask has 45 entries, expected one for each of 11 x 4 "
        "groups");
  CHECK(sentence_of([&] {
          er::straight_through_clipped_mixed<high, low>(in, grads, parts, mask, {}, {},
                                                        {.rows = er::row_range{4, 12}});
        }) == "straight_through_clipped_mixed: rows 4 to 12 of a matrix of 11 x 200");
}

TEST_CASE("fake_quantize_mixed: a policy that the mask gives no group refuses none") {
  const std::vector<float> x(4, 40000.0f);
  std::vector<er::float16> out(4);
  const auto quantize = [&](std::uint8_t high) {
    const std::vector<std::uint8_t> mask{high};
    er::fake_quantize_mixed<er::int4<er::per_group<4>>, er::ternary<er::per_group<4>>>(
        er::matrix_view<const float>{x.data(), 1, 4},
        er::matrix_view<er::float16>{out.data(), 1, 4}, std::span<const std::uint8_t>{mask});
  };
  CHECK_THROWS_AS(quantize(0), std::invalid_argument);  // of ternary, 2 * 40000 * 0.75
  CHECK_NOTHROW(quantize(1));
  CHECK(static_cast<float>(out[0]) == 40000.0f);
}

TEST_SUITE_END();
