// SPDX-License-Identifier: Apache-2.0
/// Labels, shifts, strides, reductions and gradients scaled afterwards, on losses whose values are
/// known.
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "distill/in_place.hpp"
#include "support/row_views.hpp"
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/router_z.hpp>
#include <edgerazor/distill/tokens.hpp>
#include <edgerazor/distill/total_variation.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/tokens");

namespace {

std::vector<float> normal(std::size_t size, std::uint32_t seed) {
  std::mt19937 random{seed};
  std::normal_distribution<float> draw(0, 2);
  std::vector<float> result(size);
  for (float& x : result) x = draw(random);
  return result;
}

er::matrix_view<const float> view(const std::vector<float>& values, std::size_t rows) {
  return {values.data(), rows, values.size() / rows};
}

struct answer {
  er::loss_result result;
  std::vector<float> gradient;
};
template <class Labels>
answer task(const std::vector<float>& logits, std::size_t tokens, const Labels& labels,
            std::int64_t padding_id) {
  answer a{{}, std::vector<float>(logits.size(), 7)};
  a.result = er::cross_entropy{}(
      view(logits, tokens), er::token_batch{.labels = labels, .padding_id = padding_id},
      er::matrix_view<float>{a.gradient.data(), tokens, logits.size() / tokens});
  return a;
}

}  // namespace

TEST_CASE("tokens: labels of any integral type are the values they hold") {
  const std::vector<float> logits = normal(4 * 300, 1);
  const std::vector<std::int64_t> labels{3, 255, 299, 0};
  const answer expected = task(logits, 4, labels, 255);
  CHECK(expected.result.tokens == 3);
  const auto check = [&](const answer& a) {
    CHECK(a.result.value == expected.result.value);
    CHECK(a.result.tokens == expected.result.tokens);
    CHECK(a.gradient == expected.gradient);
  };
  check(task(logits, 4, std::array<int, 4>{3, 255, 299, 0}, 255));
  check(task(logits, 4, std::vector<std::uint16_t>{3, 255, 299, 0}, 255));
  check(task(logits, 4, std::vector<std::uint64_t>{3, 255, 299, 0}, 255));
  const std::array<std::int32_t, 4> narrow{3, 255, 299, 0};
  check(task(logits, 4, std::span<const std::int32_t>{narrow}, 255));
  // 255 is no -1, and 2^64 - 100 no -100.
  const std::vector<std::uint8_t> bytes{3, 255, 1, 0};
  CHECK(task(logits, 4, bytes, -1).result.tokens == 4);
  const std::vector<std::uint64_t> large{3, std::numeric_limits<std::uint64_t>::max() - 99, 1, 0};
  CHECK_THROWS_WITH(task(logits, 4, large, -100),
                    "cross_entropy: the label of token 1 is 9223372036854775807, the vocabulary "
                    "has 300");
}

TEST_CASE(
    "tokens: label_shift compares each position with the next label, and the last with none") {
  constexpr std::size_t samples = 3, length = 5, vocabulary = 40;
  const std::vector<float> logits = normal(samples * length * vocabulary, 2);
  std::vector<int> labels;
  for (std::size_t i = 0; i < samples * length; ++i) labels.push_back(static_cast<int>(i * 7 % 40));
  labels[3] = -100;
  std::vector<std::int64_t> moved(labels.size(), -100);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (i % length != length - 1) moved[i] = labels[i + 1];
  }
  for (const er::reduction how : {er::reduction::mean, er::reduction::batch_mean}) {
    std::vector<float> expected(logits.size(), 7), shifted(logits.size(), 7),
        strided(logits.size(), 7);
    const er::loss_result by_hand =
        er::cross_entropy{}(view(logits, samples * length),
                            er::token_batch{.labels = moved, .sample_tokens = length, .how = how},
                            er::matrix_view<float>{expected.data(), samples * length, vocabulary});
    const er::loss_result r = er::cross_entropy{}(
        view(logits, samples * length),
        er::token_batch{.labels = labels, .label_shift = 1, .sample_tokens = length, .how = how},
        er::matrix_view<float>{shifted.data(), samples * length, vocabulary});
    CHECK(r.value == by_hand.value);
    CHECK(r.tokens == by_hand.tokens);
    CHECK(r.tokens == samples * (length - 1) - 1);
    CHECK(shifted == expected);

    // Without the last positions: two strides, for the logits and their gradient.
    std::vector<std::int64_t> next;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (i % length != 0) next.push_back(labels[i]);
    }
    const er::token_rows rows{logits.data(),       samples,   length - 1, vocabulary,
                              length * vocabulary, vocabulary};
    const er::gradient_rows out{strided.data(),      samples,   length - 1, vocabulary,
                                length * vocabulary, vocabulary};
    const er::loss_result two = er::cross_entropy{}(
        rows, er::token_batch{.labels = next, .sample_tokens = length - 1, .how = how}, out);
    CHECK(two.value == by_hand.value);
    for (std::size_t i = 0; i < strided.size(); ++i) {
      const bool last = i / vocabulary % length == length - 1;
      CHECK(strided[i] == (last ? 7 : expected[i]));  // last positions are left alone
    }
  }
}

TEST_CASE("token_rows: more tokens than can be counted are refused") {
  const float logit = 0;
  const std::size_t half = std::size_t{1} << (std::numeric_limits<std::size_t>::digits / 2);
  CHECK_THROWS_WITH_AS((er::token_rows{&logit, half, half, 1, half, 1}),
                       "token_rows: 4294967296 x 4294967296 is too large", std::invalid_argument);
}

TEST_CASE("tokens: a gradient scaled afterwards is that of the scaled value") {
  const std::vector<float> s = normal(6 * 50, 3), t = normal(6 * 50, 4);
  std::vector<float> before(s.size()), after(s.size());
  const auto run = [&](double upstream, std::vector<float>& gradient) {
    er::forward_kl{}(view(s, 6), view(t, 6), er::token_batch{.upstream = upstream},
                     er::matrix_view<float>{gradient.data(), 6, 50});
  };
  run(0.125, before);
  run(1, after);
  er::scale_gradient(er::matrix_view<float>{after.data(), 6, 50}, 0.125);
  CHECK(after == before);  // a power of two rounds nothing
  std::vector<er::bfloat16> halves{er::bfloat16{3.0f}, er::bfloat16{-1.0f}};
  er::scale_gradient(er::matrix_view<er::bfloat16>{halves.data(), 1, 2}, 0.5);
  CHECK(static_cast<float>(halves[0]) == 1.5f);
  CHECK(static_cast<float>(halves[1]) == -0.5f);
  er::scale_gradient({}, 2);
  after[0] = std::numeric_limits<float>::quiet_NaN();
  er::scale_gradient(er::matrix_view<float>{after.data(), 6, 50}, 2);
  CHECK(std::isnan(after[0]));
}

TEST_CASE("tokens: reductions, denominators and weights") {
  // Values of 1 to 4 in samples of one, of two and of one token.
  std::vector<float> values(4), weights{1, 2, 1, 0};
  const std::vector<std::size_t> ends{1, 3, 4};
  const std::vector<double> losses{1, 2, 3, 4};
  const auto sum = [&](er::reduction how, double denominator) {
    const er::token_batch batch{.weights = weights,
                                .sample_ends = ends,
                                .how = how,
                                .denominator = denominator,
                                .token_values = values};
    const er::detail::distill::token_plan plan{"loss", batch, 4};
    er::loss_result result;
    plan.for_each_counted_row(
        result, {}, [&](const auto& token, const er::output_row&) { return losses[token.index]; });
    CHECK(result.tokens == 4);
    return result.value;
  };
  CHECK(sum(er::reduction::sum, 0) == 1 + 4 + 3);
  CHECK(sum(er::reduction::sum, 2) == 4);
  CHECK(sum(er::reduction::mean, 0) == 2);
  CHECK(sum(er::reduction::mean, 8) == 1);
  CHECK(sum(er::reduction::batch_mean, 0) == doctest::Approx((1 + 7.0 / 3 + 0) / 3));
  CHECK(sum(er::reduction::none, 0) == 8);
  CHECK(values == std::vector<float>{1, 4, 3, 0});
}

TEST_CASE("tokens: spans and samples that don't fit are refused") {
  const std::vector<float> logits = normal(4 * 5, 5);
  const auto run = [&](const er::token_batch& batch) {
    return er::forward_kl{}(view(logits, 4), view(logits, 4), batch).value;
  };
  const std::vector<float> three(3);
  const std::vector<std::size_t> past{2, 5}, short_of{2, 3}, back{2, 2};
  CHECK_THROWS_WITH(run({.weights = three}), "forward_kl: 3 weights for 4 tokens");
  CHECK_THROWS_WITH(run({.sample_tokens = 3}),
                    "forward_kl: 4 tokens are no whole number of samples of 3");
  CHECK_THROWS_WITH(run({.sample_ends = past}),
                    "forward_kl: a sample ends at token 5, after one that ends at 2, of 4 tokens");
  CHECK_THROWS_WITH(run({.sample_ends = back}),
                    "forward_kl: a sample ends at token 2, after one that ends at 2, of 4 tokens");
  CHECK_THROWS_WITH(run({.sample_ends = short_of}),
                    "forward_kl: the last sample ends at token 3 of 4");
}

TEST_CASE("tokens: numbers without meaning are named, and nothing is written") {
  const std::vector<float> s = normal(4 * 5, 6), t = normal(4 * 5, 7);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(),
                  infinity = std::numeric_limits<float>::infinity();
  std::vector<float> gradient(s.size(), 7);
  const auto run = [&](const er::token_batch& batch) {
    er::forward_kl{}(view(s, 4), view(t, 4), batch, er::matrix_view<float>{gradient.data(), 4, 5});
  };
  const std::vector<float> negative{1, -1, 1, 1}, undefined{1, 1, nan, 1},
      unbounded{infinity, 1, 1, 1};
  CHECK_THROWS_WITH(run({.weights = negative}),
                    "forward_kl: the weight of token 1 is -1.000000, expected a finite one, not "
                    "negative");
  CHECK_THROWS_WITH(
      run({.weights = undefined}),
      "forward_kl: the weight of token 2 is nan, expected a finite one, not negative");
  CHECK_THROWS_WITH(
      run({.weights = unbounded}),
      "forward_kl: the weight of token 0 is inf, expected a finite one, not negative");
  CHECK_THROWS_WITH(run({.token_upstream = undefined}),
                    "forward_kl: the upstream gradient of token 2 is nan, expected a finite one");
  for (const double bad : {double{nan}, double{infinity}, -double{infinity}}) {
    CHECK_THROWS(run({.upstream = bad}));
    CHECK_THROWS(run({.denominator = bad}));
    CHECK_THROWS(er::scale_gradient(er::matrix_view<float>{gradient.data(), 4, 5}, bad));
  }
  CHECK_THROWS_WITH(
      run({.denominator = -3}),
      "forward_kl: the denominator is -3.000000, expected a finite one, not negative");
  CHECK(gradient == std::vector<float>(s.size(), 7));
  // One that turns the gradient around has a meaning.
  run({.upstream = -1});
  std::vector<float> turned = gradient;
  run({.upstream = 1});
  for (std::size_t i = 0; i < turned.size(); ++i) CHECK(turned[i] == -gradient[i]);
}

TEST_CASE("tokens: what has weight 0, or upstream 0, has gradient 0 whatever its row holds") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> s = normal(3 * 600, 8), t = normal(3 * 600, 9);
  const std::vector<float> weights{1, 0, 2};
  const er::token_batch batch{.weights = weights};
  const auto check = [&](const auto& loss) {
    std::vector<float> clean(s.size(), 7), dirty(s.size(), 7);
    std::vector<float> bad_s = s, bad_t = t;
    for (std::size_t i = 600; i < 1200; i += 7) bad_s[i] = bad_t[i] = nan;
    const auto r =
        loss(view(s, 3), view(t, 3), batch, er::matrix_view<float>{clean.data(), 3, 600});
    const auto again =
        loss(view(bad_s, 3), view(bad_t, 3), batch, er::matrix_view<float>{dirty.data(), 3, 600});
    CHECK(again.value == r.value);
    CHECK(again.tokens == 3);
    CHECK(dirty == clean);
    for (std::size_t i = 600; i < 1200; ++i) REQUIRE(dirty[i] == 0);
    // The value is asked of all, the gradient of none.
    const auto none = loss(view(bad_s, 3), view(bad_t, 3), er::token_batch{.upstream = 0},
                           er::matrix_view<float>{dirty.data(), 3, 600});
    CHECK(std::isnan(none.value));
    CHECK(dirty == std::vector<float>(s.size(), 0));
  };
  check(er::forward_kl{});
  check(er::entropy_aware_kl{});
  check(er::entropy_aware_kl{.scope = er::gamma_scope::sample});
}

TEST_CASE(
    "tokens: an upstream of 0 leaves the value alone where the gradient is the student's memory") {
  using row_views::view;
  const std::vector<float> student{1, 2, 3, 0, 1, 5}, teacher{3, 1, 0, 2, 2, 1};
  const std::array<int, 2> labels{0, 1};
  const std::array<float, 2> upstream{0, 1};
  const er::token_batch batch{
      .labels = labels, .how = er::reduction::none, .token_upstream = upstream};
  check_in_place("forward_kl", student, [&](const auto& s, const auto& g) {
    return er::forward_kl{}(s, view(teacher, 2), batch, g);
  });
  check_in_place("total_variation", student, [&](const auto& s, const auto& g) {
    return er::total_variation{}(s, view(teacher, 2), batch, g);
  });
  check_in_place("cross_entropy", student,
                 [&](const auto& s, const auto& g) { return er::cross_entropy{}(s, batch, g); });
  check_in_place("router_z", student,
                 [&](const auto& s, const auto& g) { return er::router_z{}(s, batch, g); });
}

TEST_CASE("tokens: samples 0 apart are one sample again") {
  using row_views::view;
  const std::vector<float> student(12, 1), twice{1, 2, 3, 4, 6, 6, 1, 2, 3, 4, 6, 6};
  std::vector<float> once{1,  2, 3, 4, 6, 6,
                          99, 0, 0, 0, 0, 0};  // what follows is not the teacher's
  const double expected =
      er::forward_kl{}(view(student, 4), view(twice, 4), er::token_batch{}).value;
  CHECK(er::forward_kl{}(view(student, 4), er::token_rows{once.data(), 2, 2, 3, 0, 3},
                         er::token_batch{})
            .value == expected);
}

TEST_CASE("tokens: a weight of 0 adds nothing whatever the denominator") {
  using row_views::view;
  const std::vector<float> s{1, 2, 3, 0, 1, 5}, t{3, 1, 0, 2, 2, 1}, w{0, 1};
  CHECK(!std::isnan(
      er::forward_kl{}(
          view(s, 2), view(t, 2),
          er::token_batch{.weights = w, .how = er::reduction::sum, .denominator = 5e-324})
          .value));
}

TEST_CASE("scale_gradient: 16 bits are rounded once") {
  er::float16 x{1.0f};
  er::scale_gradient(er::matrix_view<er::float16>{&x, 1, 1}, 1 + 0x1p-11 + 0x1p-40);
  CHECK(float{x} == 1 + 0x1p-10f);
  er::bfloat16 wide{1.0f};
  er::scale_gradient(er::matrix_view<er::bfloat16>{&wide, 1, 1}, 1 + 0x1p-8 + 0x1p-40);
  CHECK(float{wide} == 1 + 0x1p-7f);
}

TEST_CASE("labels: characters and bools are integers too") {
  const std::vector<char> characters{0, 1, 127};
  const std::array<bool, 2> bools{true, false};
  CHECK(er::label_span(characters)[2] == 127);
  CHECK(er::label_span(bools)[0] == 1);
  CHECK(er::label_span(bools)[1] == 0);
}

TEST_SUITE_END();
