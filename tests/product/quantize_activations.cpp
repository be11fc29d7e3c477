// SPDX-License-Identifier: Apache-2.0
/// Int8 activations are what the policies say: EdgeRazor (Python)'s state quantizers, per group and
/// per token.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "support/golden.hpp"
#include "support/operands.hpp"
#include "support/row_views.hpp"
#include "support/samples.hpp"
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/activation_policy.hpp>
#include <edgerazor/policy/binary.hpp>
#include <edgerazor/policy/boolean.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>
#include <edgerazor/policy/with_scale.hpp>
#include <edgerazor/product/gemm.hpp>
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

namespace {
/// Codes, sums and padding that are not those of a policy, whose group is the row.
template <class Policy>
std::size_t count_wrong_codes(const Policy& policy, const er::matrix_view<const float>& x,
                              er::packed_activations& memory,
                              const er::activation_options& options) {
  const er::activation_view view = er::quantize_activations(x, memory, options);
  const er::activation_policy plain = policy;
  std::size_t wrong = 0;
  for (std::size_t t = 0; t < x.rows; ++t) {
    const er::activation_view one = view.tokens_between(t, t + 1);
    for (std::size_t g = 0; g < view.groups(); ++g) {
      const std::size_t first = g * view.group_cols;
      const auto group = x.row(t).subspan(first, std::min(view.group_cols, x.cols - first));
      const bool whole = options.scales == er::activation_scales::of_token;
      const er::group_fit fit = plain.fit(whole ? x.row(t) : group);
      std::vector<std::int8_t> codes(group.size());
      wrong += one.scales[g] != fit.scale;
      wrong += one.sums[g] != plain.quantize(group, fit, codes.data());
      wrong += !std::equal(codes.begin(), codes.end(), one.codes + first);
    }
    for (std::size_t c = x.cols; c % 4 != 0; ++c) wrong += one.codes[c] != 0;
  }
  return wrong;
}
}  // namespace

TEST_CASE("quantize_activations: by other policies, per group and per token, on any kernel") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const std::size_t cols : sizes{1, 3, 64, 100, 257}) {
    constexpr std::size_t tokens = 3;
    const std::vector<float> values = samples::draw(samples::nth_kind(0), tokens * cols, random);
    const er::matrix_view<const float> x{values.data(), tokens, cols};
    for (const er::kernel& k : er::available_kernels()) {
      for (const std::size_t group : sizes{0, 20, 64}) {
        for (const auto scales :
             {er::activation_scales::of_groups, er::activation_scales::of_token}) {
          er::packed_activations memory(cols, group, tokens);
          const auto wrong = [&](const auto& policy) {
            return count_wrong_codes(policy, x, memory,
                                     {.scales = scales, .kernel = &k, .policy = policy});
          };
          CHECK(wrong(er::int4<>{}) == 0);
          CHECK(wrong(er::integer_zero<4>{}) == 0);
          CHECK(wrong(er::ternary<>{}) == 0);
          CHECK(wrong(er::boolean<>{}) == 0);
          CHECK(wrong(er::with_scale<er::ternary<>>{0.7f}) == 0);
        }
      }
    }
  }
}

TEST_CASE("quantize_activations: published codes of 4 bits, ternary and boolean") {
  const nlohmann::json all = golden::load("activations.json");
  const auto view_of = [](const nlohmann::json& item, const std::vector<float>& x) {
    return er::matrix_view<const float>{x.data(), item.at("rows"), item.at("cols")};
  };
  // The scale, and codes less the zero, of each token.
  const auto check = [](const er::matrix_view<const float>& x, const er::activation_policy& policy,
                        const std::vector<int>& codes, const std::vector<float>& scales,
                        double tolerance) {
    er::packed_activations memory(x.cols, 0, x.rows);
    const er::activation_view view = er::quantize_activations(x, memory, {.policy = policy});
    for (std::size_t t = 0; t < x.rows; ++t) {
      const er::activation_view one = view.tokens_between(t, t + 1);
      CHECK(std::fabs(one.scales[0] - double{scales[t]}) <= tolerance * double{scales[t]});
      std::size_t wrong = 0;
      for (std::size_t c = 0; c < x.cols; ++c) wrong += one.codes[c] != codes[t * x.cols + c];
      CHECK(wrong == 0);
    }
  };
  const nlohmann::json& zeroqat = all.at("zeroqat");
  const std::vector<float> x = golden::floats(zeroqat.at("x"));
  std::size_t cases = 0;
  for (const nlohmann::json& item : zeroqat.at("cases")) {
    const int bits = item.at("bits");
    const er::activation_policy policy = bits == 4 ? er::activation_policy{er::integer_zero<4>{}}
                                                   : er::activation_policy{er::integer_zero<6>{}};
    REQUIRE((bits == 4 || bits == 6));
    check(view_of(zeroqat, x), policy, item.at("code_minus_zero").get<std::vector<int>>(),
          golden::floats(item.at("scale")), 0);
    ++cases;
  }
  CHECK(cases == 2);
  // Computed in float64: one rounding of the difference and one of the quotient.
  const nlohmann::json& lbllm = all.at("lbllm");
  const std::vector<float> x_lbllm = golden::floats(lbllm.at("x"));
  check(view_of(lbllm, x_lbllm), er::integer_zero<4>{},
        lbllm.at("code_minus_zero").get<std::vector<int>>(), golden::floats(lbllm.at("scale")),
        0x1p-22);

  const nlohmann::json& bwta = all.at("bwta");
  const float scale = bwta.at("scale");
  std::vector<float> x_bwta = golden::floats(bwta.at("x"));
  const std::vector<float> scales(x_bwta.size() / 96, scale);
  check(view_of(bwta, x_bwta), er::with_scale<er::ternary<>>{scale},
        bwta.at("ternary").get<std::vector<int>>(), scales, 0);
  for (float& value : x_bwta) value = std::fabs(value);
  check(view_of(bwta, x_bwta), er::with_scale<er::boolean<>>{scale},
        bwta.at("boolean_of_magnitudes").get<std::vector<int>>(), scales, 0);
}

TEST_CASE("quantize_activations: products of signs with ternary and boolean activations") {
  const nlohmann::json bwta = golden::load("activations.json").at("bwta");
  constexpr std::size_t rows = 16, cols = 96, tokens = 4;
  std::vector<float> w = golden::floats(bwta.at("weights")), x = golden::floats(bwta.at("x"));
  const float mean = bwta.at("mean"), scale = bwta.at("scale");
  for (float& value : w) value = value < mean ? -1.0f : 1.0f;
  using policy = er::with_scale<er::binary<er::per_channel>>;
  const er::packed_matrix<policy> signs =
      er::pack<policy>(er::matrix_view<const float>{w.data(), rows, cols}, policy{1});
  for (const bool boolean : {false, true}) {
    for (float& value : x) value = boolean ? std::fabs(value) : value;
    const std::vector<int> expected =
        bwta.at(boolean ? "product_boolean" : "product_ternary").get<std::vector<int>>();
    REQUIRE(expected.size() == tokens * rows);
    const er::activation_policy by =
        boolean ? er::activation_policy{er::with_scale<er::boolean<>>{scale}}
                : er::activation_policy{er::with_scale<er::ternary<>>{scale}};
    for (const er::kernel& k : er::available_kernels()) {
      CAPTURE(k.name);
      er::packed_activations memory(cols, 0, tokens);
      const er::activation_view codes =
          er::quantize_activations({x.data(), tokens, cols}, memory, {.kernel = &k, .policy = by});
      std::vector<float> y(tokens * rows);
      er::gemm(signs, codes, {y.data(), tokens, rows}, {.kernel = &k});
      for (std::size_t i = 0; i < y.size(); ++i)
        CHECK(y[i] == static_cast<float>(expected[i]) * scale);
    }
  }
}

TEST_CASE("quantize_activations: a policy lets NaN pass in the scale, and is refused without one") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, INFINITY, -INFINITY}) {
    const std::vector<float> x{1, 2, 3, 4, 5, bad, 7, 8, 9, 10, 11, 12};
    for (const er::activation_policy& policy :
         {er::activation_policy{er::integer_zero<4>{}}, er::activation_policy{er::ternary<>{}},
          er::activation_policy{er::with_scale<er::ternary<>>{1}}}) {
      er::packed_activations memory(12, 4);
      const er::activation_view view = er::quantize_activations(
          er::matrix_view<const float>{x.data(), 1, 12}, memory, {.policy = policy});
      CHECK_FALSE(std::isnan(view.scales[0]));
      CHECK(std::isnan(view.scales[1]));
      CHECK_FALSE(std::isnan(view.scales[2]));
      for (std::size_t c = 4; c < 8; ++c) CHECK(view.codes[c] == 0);
      CHECK(view.sums[1] == 0);
    }
  }
  const std::vector<float> x(12, 1.0f);
  er::packed_activations memory(12, 4);
  const auto refused = [&](const er::activation_policy& policy, const char* sentence) {
    CHECK_THROWS_WITH_AS(
        (void)er::quantize_activations(er::matrix_view<const float>{x.data(), 1, 12}, memory,
                                       {.policy = policy}),
        doctest::Contains(sentence), std::invalid_argument);
  };
  refused(er::with_scale<er::ternary<>>{nan}, "the policy gives a zero the scale");
  refused(er::with_scale<er::ternary<>>{-1}, "expected a finite one of at least 0");
  refused(er::with_scale<er::integer_zero<4>>{1, 2.5f}, "expected an integer from 0 to 127");
  refused(er::with_scale<er::integer_zero<4>>{1, 128}, "the policy gives a zero the code 128");
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

TEST_CASE("the first tokens of many bring their own tables") {
  using row_views::view, row_views::into;
  std::vector<float> w(48 * 64), x(5 * 64);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::sin(static_cast<float>(i) * 1.3f);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i) * 0.7f);
  const auto packed = er::pack<er::ternary<er::per_group<64>>, er::codecs::ternary3>(view(w, 48));
  er::packed_activations two(64, 64, 8, nullptr, er::activation_tables::of_triples),
      five(64, 64, 8, nullptr, er::activation_tables::of_triples);
  std::vector<float> expected(2 * 48), y(2 * 48);
  er::gemm(packed, er::quantize_activations({x.data(), 2, 64}, two), into(expected, 2));
  (void)er::quantize_activations({x.data() + 64, 2, 64}, five);  // tables of other tokens
  (void)er::quantize_activations({x.data(), 5, 64}, five);
  er::gemm(packed, five.view(2), into(y, 2));
  CHECK(y == expected);
}

TEST_CASE("groups that are no multiples of 4 get no tables, and the same codes") {
  std::vector<float> x(12);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 1.3f);
  er::packed_activations plain(12, 3), tables(12, 3, 1, nullptr, er::activation_tables::of_triples);
  const er::matrix_view<const float> token{x.data(), 1, x.size()};
  const er::activation_view a = er::quantize_activations(token, plain),
                            b = er::quantize_activations(token, tables);
  CHECK(b.tables == nullptr);
  CHECK(std::equal(a.codes, a.codes + 12, b.codes));
}

TEST_SUITE_END();
