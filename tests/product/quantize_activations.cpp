// SPDX-License-Identifier: Apache-2.0
/// Int8 activations are what the policies say: EdgeRazor (Python)'s state quantizers, per group and
/// per token.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include "support/operands.hpp"
#include "support/samples.hpp"
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/product/quantize_activations.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("product/quantize_activations");

namespace {

using sizes = std::initializer_list<std::size_t>;

/// Elements that are not level * scale of the policy, sums that are not those of the codes, padding
/// that is not zero.
template <class Policy>
std::size_t count_wrong(const er::matrix_view<const float>& x, std::size_t group,
                        er::activation_scales scales, const er::kernel& k) {
  er::packed_activations memory(x.cols, group, x.rows + 1);
  const er::activation_view view =
      er::quantize_activations(x, memory, {.scales = scales, .kernel = &k});
  std::vector<float> expected(x.rows * x.cols);
  er::fake_quantize<Policy>(x, er::matrix_view<float>{expected.data(), x.rows, x.cols});
  std::size_t wrong = view.tokens != x.rows || view.cols != x.cols;
  for (std::size_t t = 0; t < x.rows; ++t) {
    const er::activation_view one = view.tokens_between(t, t + 1);
    std::vector<std::int32_t> sums(view.groups());
    for (std::size_t c = 0; c < x.cols; ++c) {
      const std::size_t g = c / view.group_cols;
      wrong += !samples::same(static_cast<float>(one.codes[c]) * one.scales[g],
                              expected[t * x.cols + c]);
      sums[g] += one.codes[c];
    }
    for (std::size_t c = x.cols; c % 4 != 0; ++c) wrong += one.codes[c] != 0;
    wrong += !std::equal(sums.begin(), sums.end(), one.sums);
    if (scales == er::activation_scales::of_token)
      wrong += std::count(one.scales, one.scales + view.groups(), one.scales[0]) !=
               static_cast<std::ptrdiff_t>(view.groups());
  }
  return wrong;
}

}  // namespace

TEST_CASE("quantize_activations: the policy int8, per group and per token") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  using token = er::int8<er::per_token, float>;
  std::size_t i = 0;
  for (const std::size_t cols :
       sizes{1, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 255, 256, 257, 576}) {
    for (const std::size_t tokens : sizes{1, 3}) {
      for (int repeat = 0; repeat < 3; ++repeat) {
        const std::vector<float> values =
            samples::draw(samples::nth_kind(i++), tokens * (cols + 2), random);
        const er::matrix_view<const float> x{values.data(), tokens, cols, cols + 2};
        for (const er::kernel& k : er::available_kernels()) {
          CAPTURE(k.name);
          CAPTURE(cols);
          const auto groups = er::activation_scales::of_groups,
                     tokenwise = er::activation_scales::of_token;
          CHECK(count_wrong<er::int8<er::per_group<32>, float>>(x, 32, groups, k) == 0);
          CHECK(count_wrong<er::int8<er::per_group<20>, float>>(x, 20, groups, k) == 0);
          CHECK(count_wrong<er::int8<er::per_group<256>, float>>(x, 256, groups, k) == 0);
          CHECK(count_wrong<token>(x, 0, groups, k) == 0);
          CHECK(count_wrong<token>(x, 0, tokenwise, k) == 0);
          CHECK(count_wrong<token>(x, 64, tokenwise, k) == 0);
        }
      }
    }
  }
}

TEST_CASE("quantize_activations: EdgeRazor (Python)'s golden cases of int8 states per token") {
  const nlohmann::json all = golden::load("quantizers.json").at("cases");
  std::size_t cases = 0;
  for (const nlohmann::json& item : all) {
    const std::string function = item.at("function");
    if (function != "state_quant_uniform_symmetric_absmax_per_token_int8") continue;
    const std::size_t rows = item.at("shape").at(0), cols = item.at("shape").at(1);
    const std::vector<float> input = golden::floats(item.at("input")),
                             output = golden::floats(item.at("output"));
    for (const er::kernel& k : er::available_kernels()) {
      er::packed_activations memory(cols, 16, rows);
      const auto view =
          er::quantize_activations({input.data(), rows, cols}, memory,
                                   {.scales = er::activation_scales::of_token, .kernel = &k});
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < input.size(); ++i) {
        const er::activation_view one = view.tokens_between(i / cols, i / cols + 1);
        wrong += static_cast<float>(one.codes[i % cols]) * one.scales[0] != output[i];
      }
      CAPTURE(k.name);
      CHECK(wrong == 0);
    }
    ++cases;
  }
  CHECK(cases == 7);
}

TEST_CASE(
    "quantize_activations: a NaN or an infinity makes its group's scale NaN, wherever it stands, "
    "in "
    "every kernel") {
  constexpr std::size_t cols = 67, group = 36;
  for (const er::kernel& k : er::available_kernels()) {
    CAPTURE(k.name);
    er::packed_activations memory(cols, group);
    std::size_t wrong = 0;
    for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
      for (std::size_t at = 0; at < cols; ++at) {
        std::vector<float> x(cols, 0.5f);
        x[at] = bad;
        const er::activation_view view =
            er::quantize_activations(std::span<const float>{x}, memory, {.kernel = &k});
        const std::size_t broken = at / group;
        wrong += !std::isnan(view.scales[broken]);
        wrong += view.scales[1 - broken] != 0.5f / 127;
        for (std::size_t c = 0; c < cols; ++c)
          wrong += view.codes[c] != (c / group == broken ? -127 : 127);
        for (std::size_t g = 0; g < 2; ++g) {
          const auto count = static_cast<std::int32_t>(g == 0 ? group : cols - group);
          wrong += view.sums[g] != (g == broken ? -127 : 127) * count;
        }
        const er::activation_view token =
            er::quantize_activations(std::span<const float>{x}, memory,
                                     {.scales = er::activation_scales::of_token, .kernel = &k});
        wrong += !std::isnan(token.scales[0]) || !std::isnan(token.scales[1]);
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE(
    "quantize_activations: memory is used again, whatever it held; what does not fit is refused") {
  er::packed_activations memory(5, 4, 2);
  const std::vector<float> first(10, 1.0f), second(10, -2.0f);
  (void)er::quantize_activations({first.data(), 2, 5}, memory);
  const er::activation_view view = er::quantize_activations({second.data(), 1, 5}, memory);
  CHECK(view.tokens == 1);
  CHECK(view.codes[4] == -127);
  CHECK(view.sums[1] == -127);
  CHECK_THROWS_WITH_AS((void)er::quantize_activations({first.data(), 1, 4}, memory),
                       "quantize_activations: 4 columns do not fit activations of 5",
                       std::invalid_argument);
  CHECK_THROWS_AS((void)er::quantize_activations({first.data(), 3, 5}, memory),
                  std::invalid_argument);
}

TEST_CASE("quantize_activations: no tokens into memory that holds none") {
  er::packed_activations room;
  CHECK(er::quantize_activations({nullptr, 0, 0}, room).tokens == 0);
  CHECK_THROWS_AS((void)er::quantize_activations({nullptr, 1, 0}, room), std::invalid_argument);
}

TEST_SUITE_END();
