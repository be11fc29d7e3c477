// SPDX-License-Identifier: Apache-2.0
/// Losses against a teacher's top k: outcomes built one by one in long double, gradients by central
/// differences.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "distill/oracle.hpp"
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/skew_kl.hpp>
#include <edgerazor/distill/top_k.hpp>
#include <edgerazor/distill/total_variation.hpp>

namespace er = edgerazor;
using oracle::real;

TEST_SUITE_BEGIN("distill/top_k");

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr auto renormalize = er::top_k_tail::renormalize;
constexpr auto bucket = er::top_k_tail::bucket;

/// One token.
struct row {
  std::vector<float> student;
  std::vector<std::int32_t> ids;
  std::vector<float> log_p;

  [[nodiscard]] er::top_k_teacher teacher(er::top_k_tail tail, float floor = 0) const {
    return {{ids.data(), 1, ids.size()}, {log_p.data(), 1, log_p.size()}, tail, floor};
  }
  [[nodiscard]] er::matrix_view<const float> logits() const {
    return {student.data(), 1, student.size()};
  }
};

std::vector<float> normal(std::size_t size, float scale, std::mt19937& random) {
  std::normal_distribution<float> draw(0, scale);
  std::vector<float> result(size);
  for (float& x : result) x = draw(random);
  return result;
}

/// k columns of a teacher, anywhere and in any order.
row random_row(std::size_t size, std::size_t k, float scale, std::mt19937& random) {
  row result{normal(size, scale, random), std::vector<std::int32_t>(size), {}};
  const auto log_p = oracle::log_softmax(normal(size, scale, random), size, 1);
  std::iota(result.ids.begin(), result.ids.end(), 0);
  std::shuffle(result.ids.begin(), result.ids.end(), random);
  result.ids.resize(k);
  for (const std::int32_t id : result.ids)
    result.log_p.push_back(static_cast<float>(log_p[static_cast<std::size_t>(id)]));
  return result;
}

template <class Logits>
std::vector<real> student_outcomes(const row& r, const Logits& student, er::top_k_tail tail) {
  std::vector<real> z;
  std::vector<bool> known(student.size());
  for (const std::int32_t id : r.ids) {
    if (id < 0) continue;
    known[static_cast<std::size_t>(id)] = true;
    z.push_back(static_cast<real>(student[static_cast<std::size_t>(id)]));
  }
  if (tail == renormalize || z.size() == student.size()) return z;
  real largest = -std::numeric_limits<real>::infinity(), sum = 0;
  for (std::size_t i = 0; i < student.size(); ++i) {
    if (!known[i]) largest = std::max(largest, static_cast<real>(student[i]));
  }
  for (std::size_t i = 0; i < student.size(); ++i) {
    if (!known[i] && student[i] > -infinity)
      sum += std::exp(static_cast<real>(student[i]) - largest);
  }
  z.push_back(largest + std::log(sum));
  return z;
}

std::vector<real> teacher_outcomes(const row& r, er::top_k_tail tail) {
  std::vector<real> l;
  real rest = 1;
  for (std::size_t i = 0; i < r.ids.size(); ++i) {
    if (r.ids[i] < 0) continue;
    l.push_back(static_cast<real>(r.log_p[i]));
    rest -= std::exp(l.back());
  }
  if (tail == bucket && l.size() < r.student.size()) l.push_back(std::log(std::max<real>(rest, 0)));
  return l;
}

std::vector<real> mixture(real a, const std::vector<real>& log_x, real b,
                          const std::vector<real>& log_y) {
  std::vector<real> result(log_x.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = std::log(a * std::exp(log_x[i]) + b * std::exp(log_y[i]));
  }
  return result;
}

/// The definitions, of ln q, ln p and the teacher's outcomes at temperature 1.
using reals = std::vector<real>;
real definition(const er::forward_kl&, const reals& q, const reals& p, const reals&) {
  return oracle::kl(p, q);
}
real definition(const er::reverse_kl&, const reals& q, const reals& p, const reals&) {
  return oracle::kl(q, p);
}
real definition(const er::symmetric_kl& loss, const reals& q, const reals& p, const reals&) {
  const real gamma = static_cast<real>(loss.gamma);
  return gamma * oracle::kl(q, p) + (1 - gamma) * oracle::kl(p, q);
}
real definition(const er::entropy_aware_kl& loss, const reals& q, const reals& p,
                const reals& plain) {
  const real confidence =
      1 - oracle::entropy(plain) / std::log(static_cast<real>(loss.confidence_k));
  const real gamma = std::clamp<real>(confidence, 0, 1);
  return gamma * oracle::kl(q, p) + (1 - gamma) * oracle::kl(p, q);
}
real definition(const er::generalized_js& loss, const reals& q, const reals& p, const reals&) {
  const real beta = static_cast<real>(loss.beta);
  if (beta == 0) return oracle::kl(p, q);
  if (beta == 1) return oracle::kl(q, p);
  const reals m = mixture(beta, p, 1 - beta, q);
  return beta * oracle::kl(p, m) + (1 - beta) * oracle::kl(q, m);
}
real definition(const er::skew_kl& loss, const reals& q, const reals& p, const reals&) {
  const real alpha = static_cast<real>(loss.alpha);
  return oracle::kl(p, mixture(alpha, p, 1 - alpha, q));
}
real definition(const er::skew_reverse_kl& loss, const reals& q, const reals& p, const reals&) {
  const real alpha = static_cast<real>(loss.alpha);
  return oracle::kl(q, mixture(1 - alpha, p, alpha, q));
}
real definition(const er::total_variation&, const reals& q, const reals& p, const reals&) {
  real sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) sum += std::fabs(std::exp(q[i]) - std::exp(p[i])) / 2;
  return sum;
}

template <class Loss, class Logits>
real expected_value(const Loss& loss, const row& r, const Logits& student, er::top_k_tail tail) {
  const reals z = student_outcomes(r, student, tail), l = teacher_outcomes(r, tail);
  const real t = static_cast<real>(loss.temperature);
  const real value =
      definition(loss, oracle::log_softmax(z, z.size(), t), oracle::log_softmax(l, l.size(), t),
                 oracle::log_softmax(l, l.size(), 1));
  return (loss.temperature_squared ? t * t : 1) * value;
}

/// Value and gradient, to a relative 1e-6 (the gradient is stored in float) and the rounding of
/// double where terms cancel.
template <class Loss>
void check(const Loss& loss, const row& r, er::top_k_tail tail) {
  CAPTURE(static_cast<int>(tail));
  const std::size_t size = r.student.size();
  std::vector<float> gradient(size, 7);
  const auto result = er::top_k_loss{loss}(r.logits(), r.teacher(tail), er::token_batch{},
                                           er::matrix_view<float>{gradient.data(), 1, size});
  const real value = expected_value(loss, r, r.student, tail);
  if (std::isinf(value)) {
    CHECK(result.value == static_cast<double>(value));
    CHECK(std::none_of(gradient.begin(), gradient.end(), [](float x) { return std::isnan(x); }));
    return;
  }
  CHECK(std::fabs(static_cast<real>(result.value) - value) <= real{1e-6} * value + real{1e-12});

  real largest = 0, error = 0;
  for (std::size_t i = 0; i < size; i += 1 + size / 60) {
    if (r.student[i] == -infinity) {
      CHECK(gradient[i] == 0);
      continue;
    }
    // Errors of central differences: step^2, and long double's 2^-63 (of values up to 1e3) over the
    // step.
    reals moved(r.student.begin(), r.student.end());
    const real step = 1e-5L * std::max<real>(1, static_cast<real>(loss.temperature));
    moved[i] += step;
    const real above = expected_value(loss, r, moved, tail);
    moved[i] -= 2 * step;
    const real slope = (above - expected_value(loss, r, moved, tail)) / (2 * step);
    largest = std::max(largest, std::fabs(slope));
    error = std::max(error, std::fabs(slope - static_cast<real>(gradient[i])));
  }
  CHECK_MESSAGE(error <= real{1e-6} * largest + real{1e-9}, "off by ", static_cast<double>(error),
                " of ", static_cast<double>(largest));
}

template <class Run>
void for_each_loss(float temperature, Run&& run) {
  run(er::forward_kl{.temperature = temperature});
  run(er::reverse_kl{.temperature = temperature, .temperature_squared = false});
  run(er::symmetric_kl{.temperature = temperature, .gamma = 0.25f});
  run(er::entropy_aware_kl{.temperature = temperature, .confidence_k = 8});
  run(er::generalized_js{.temperature = temperature, .beta = 0.3f});
  run(er::skew_kl{.temperature = temperature});
  run(er::skew_reverse_kl{.temperature = temperature});
  run(er::total_variation{.temperature = temperature});
}

}  // namespace

TEST_CASE("every loss over known outcomes agrees with long double") {
  for (const std::size_t size : {2u, 9u, 64u, 1300u}) {
    for (const std::size_t k : {1u, 5u, 600u}) {
      if (k > size) continue;
      for (const float scale : {1e-2f, 1.0f, 10.0f}) {
        const auto seed =
            static_cast<std::uint32_t>(size * 31 + k * 7) + static_cast<std::uint32_t>(scale);
        std::mt19937 random{seed};
        const row r = random_row(size, k, scale, random);
        for (const float temperature : {1.0f, 2.5f}) {
          INFO("seed " << seed << ", " << size << " columns, " << k << " known, scale " << scale
                       << ", temperature " << temperature);
          for_each_loss(temperature, [&](const auto& loss) {
            check(loss, r, renormalize);
            check(loss, r, bucket);
          });
        }
      }
    }
  }
  std::mt19937 random{3};
  const row r = random_row(20, 4, 2, random);
  check(er::generalized_js{.beta = 0}, r, bucket);
  check(er::generalized_js{.beta = 1}, r, bucket);
}

TEST_CASE("a student that is the teacher has no divergence at any temperature") {
  std::mt19937 random{4};
  row r = random_row(700, 30, 3, random);
  const auto log_p = oracle::log_softmax(r.student, r.student.size(), 1);
  for (std::size_t i = 0; i < r.ids.size(); ++i) {
    r.log_p[i] = static_cast<float>(log_p[static_cast<std::size_t>(r.ids[i])]);
  }
  for (const float temperature : {0.5f, 1.0f, 4.0f}) {
    for (const auto tail : {renormalize, bucket}) {
      std::vector<float> gradient(700, 7);
      const er::matrix_view<float> g{gradient.data(), 1, 700};
      // Log-probabilities up to 20, in float: 1e-6 each, and the divergence is of second order in
      // it.
      CHECK(er::top_k_loss{er::symmetric_kl{.temperature = temperature}}(r.logits(),
                                                                         r.teacher(tail), {}, g)
                .value < 1e-10);
      for (const float x : gradient) REQUIRE(std::fabs(x) < 1e-5f);
    }
  }
}

TEST_CASE("a teacher known everywhere gives the whole loss") {
  for (const std::size_t size : {5u, 515u}) {
    std::mt19937 random{8};
    const row r = random_row(size, size, 2, random);
    std::vector<float> teacher(size);
    for (std::size_t i = 0; i < size; ++i) teacher[static_cast<std::size_t>(r.ids[i])] = r.log_p[i];
    for_each_loss(2.0f, [&](const auto& loss) {
      std::vector<float> whole(size), known(size);
      const double expected =
          loss(r.logits(), er::matrix_view<const float>{teacher.data(), 1, size}, er::token_batch{},
               er::matrix_view<float>{whole.data(), 1, size})
              .value;
      for (const auto tail : {renormalize, bucket}) {  // no column is left for a bucket
        const auto result = er::top_k_loss{loss}(r.logits(), r.teacher(tail), er::token_batch{},
                                                 er::matrix_view<float>{known.data(), 1, size});
        CHECK(result.value == doctest::Approx(expected).epsilon(1e-9));
        for (std::size_t i = 0; i < size; ++i)
          REQUIRE(std::fabs(known[i] - whole[i]) <= 1e-6f * std::fabs(whole[i]) + 1e-9f);
      }
    });
  }
}

TEST_CASE("tails of next to no mass, and of none") {
  // The teacher's tail is 1e-13 - 1e-14, the student's about e^-40: 1 minus the sum of the others
  // in double has lost most of the former's digits, and all of the latter. Relative: long double's
  // 1 minus the sum is good to 1e-6.
  const row r{{0, -40, -41, -32.5f, -42}, {0, 3}, {-1e-13f, std::log(1e-14f)}};
  const auto relative_error = [&r](const auto& loss) {
    const real expected = expected_value(loss, r, r.student, bucket);
    return std::fabs(
        static_cast<real>(er::top_k_loss{loss}(r.logits(), r.teacher(bucket), {}).value) /
            expected -
        1);
  };
  CHECK(relative_error(er::forward_kl{}) < 1e-5L);
  CHECK(relative_error(er::reverse_kl{}) < 1e-5L);
  for_each_loss(1.0f, [&](const auto& loss) { check(loss, r, bucket); });
  const double forward = er::top_k_loss{er::forward_kl{}}(r.logits(), r.teacher(bucket), {}).value;

  // A sum of 1 or more leaves nothing.
  for (const bool above : {false, true}) {
    const row none = above ? row{{1, 2, 3}, {1, 0}, {-1e-4f, -7.0f}} : row{{1, 2, 3}, {1}, {0}};
    CHECK(std::isfinite(
        er::top_k_loss{er::forward_kl{}}(none.logits(), none.teacher(bucket), {}).value));
    std::vector<float> gradient(3, 7);
    const er::matrix_view<float> g{gradient.data(), 1, 3};
    CHECK(er::top_k_loss{er::reverse_kl{}}(none.logits(), none.teacher(bucket), {}, g).value ==
          infinity);
    CHECK(gradient == std::vector<float>{0, 0, 0});
    gradient.assign(3, 7);
    CHECK(
        er::top_k_loss{er::skew_reverse_kl{.alpha = 0}}(none.logits(), none.teacher(bucket), {}, g)
            .value == infinity);
    CHECK(gradient == std::vector<float>{0, 0, 0});
    // A floor makes it finite: p = 1 / (1 + f), f / (1 + f).
    const double f = 1e-7, whole = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
    const double sum = above ? std::exp(-1e-4) + std::exp(-7.0) : 1;
    double expected = std::log(sum + f);
    const auto add = [&](double q, double log_p) { expected += q * (std::log(q) - log_p); };
    add(std::exp(2.0) / whole, above ? -1e-4 : 0.0);
    if (above) add(std::exp(1.0) / whole, -7);
    add((above ? std::exp(3.0) : std::exp(1.0) + std::exp(3.0)) / whole, std::log(f));
    const double floored =
        er::top_k_loss{er::reverse_kl{}}(none.logits(), none.teacher(bucket, 1e-7f), {}, g).value;
    CHECK(floored == doctest::Approx(expected).epsilon(1e-6));
    CHECK(gradient[1] < 0);
    CHECK(gradient[2] > 0);
  }
  // One of more than 1 is no probability.
  const row impossible{{1, 2, 3}, {1}, {1e-3f}};
  std::vector<float> untouched(3, 7);
  CHECK_THROWS_WITH(
      er::top_k_loss{er::reverse_kl{}}(impossible.logits(), impossible.teacher(bucket), {},
                                       er::matrix_view<float>{untouched.data(), 1, 3}),
      "top_k_loss: token 0 has id 1 with log-probability 0.001000, expected none above 0");
  CHECK(untouched == std::vector<float>(3, 7));
  CHECK(er::top_k_loss{er::forward_kl{}}(r.logits(), r.teacher(bucket, 1e-20f), {}).value ==
        forward);
}

TEST_CASE("impossible tokens of the student and of the teacher") {
  std::mt19937 random{9};
  const row plain = random_row(600, 6, 2, random);
  row r = plain;
  for (std::size_t i = 0; i < 600; i += 2) {  // of the tail only, whole vectors of it
    if (std::find(r.ids.begin(), r.ids.end(), static_cast<std::int32_t>(i)) == r.ids.end())
      r.student[i] = -infinity;
  }
  for_each_loss(1.0f, [&](const auto& loss) { check(loss, r, bucket); });
  r.student[static_cast<std::size_t>(r.ids[2])] = r.log_p[2] = -infinity;  // of both
  for_each_loss(2.0f, [&](const auto& loss) { check(loss, r, bucket); });
  for_each_loss(2.0f, [&](const auto& loss) { check(loss, r, renormalize); });
  r.log_p[2] = -2;  // the teacher has mass where the student has none
  CHECK(er::top_k_loss{er::forward_kl{}}(r.logits(), r.teacher(bucket), {}).value == infinity);
  check(er::reverse_kl{}, r, bucket);
  check(er::generalized_js{}, r, renormalize);
  check(er::skew_kl{}, r, bucket);

  row no_tail = plain;  // the student knows the same tokens only
  for (std::size_t i = 0; i < 600; ++i) {
    if (std::find(plain.ids.begin(), plain.ids.end(), static_cast<std::int32_t>(i)) ==
        plain.ids.end()) {
      no_tail.student[i] = -infinity;
    }
  }
  std::vector<float> gradient(600, 7);
  const er::matrix_view<float> g{gradient.data(), 1, 600};
  CHECK(er::top_k_loss{er::forward_kl{}}(no_tail.logits(), no_tail.teacher(bucket), {}, g).value ==
        infinity);
  CHECK(std::all_of(gradient.begin(), gradient.end(), [](float x) { return std::isfinite(x); }));
  check(er::reverse_kl{}, no_tail, bucket);
  check(er::total_variation{}, no_tail, bucket);

  row nan = plain;
  nan.student[599] = nan.student[0] = std::numeric_limits<float>::quiet_NaN();
  for_each_loss(1.0f, [&](const auto& loss) {
    CHECK(std::isnan(er::top_k_loss{loss}(nan.logits(), nan.teacher(bucket), {}).value));
  });
}

TEST_CASE("entries that are not in use") {
  std::mt19937 random{10};
  const row r = random_row(40, 5, 2, random);
  row padded = r;
  padded.ids.insert(padded.ids.begin() + 2, {-1, -7});
  padded.log_p.insert(padded.log_p.begin() + 2, {std::numeric_limits<float>::quiet_NaN(), 0.0f});
  padded.ids.push_back(-1);
  padded.log_p.push_back(-1);
  const row nothing{r.student, {-1, -1}, {-0.5f, -0.5f}};
  for (const auto tail : {renormalize, bucket}) {
    for_each_loss(2.0f, [&](const auto& loss) {
      std::vector<float> expected(40), gradient(40);
      const auto run = [&](const row& of, std::vector<float>& g) {
        return er::top_k_loss{loss}(of.logits(), of.teacher(tail), {},
                                    er::matrix_view<float>{g.data(), 1, 40})
            .value;
      };
      const double value = run(r, expected);
      CHECK(run(padded, gradient) == doctest::Approx(value).epsilon(1e-12));
      for (std::size_t i = 0; i < 40; ++i)
        REQUIRE(gradient[i] == doctest::Approx(expected[i]).epsilon(1e-6));
      CHECK(run(nothing, gradient) == 0);
      for (const float x : gradient) REQUIRE(x == 0);
    });
    // Entropy 0, whatever the scope.
    const er::entropy_aware_kl each{.scope = er::gamma_scope::token};
    CHECK(er::top_k_loss{each}(nothing.logits(), nothing.teacher(tail), {}).gamma == 1);
  }
  std::vector<float> gradient(40, 7);  // k = 0
  const er::top_k_teacher empty{{nullptr, 1, 0}, {nullptr, 1, 0}};
  CHECK(er::top_k_loss{er::forward_kl{}}(r.logits(), empty, {},
                                         er::matrix_view<float>{gradient.data(), 1, 40})
            .value == 0);
  CHECK(gradient == std::vector<float>(40, 0));
}

TEST_CASE("ids, shapes and parameters that have no meaning") {
  const std::size_t size = 70000;
  const std::vector<float> student(2 * size, 1);
  const std::vector<float> log_p(6, -2);
  const std::vector<std::int64_t> first_only{0, -100};
  const er::matrix_view<const float> s{student.data(), 2, size};
  const auto run = [&](const std::vector<std::int32_t>& ids, const er::token_batch& tokens) {
    return er::top_k_loss{er::forward_kl{}}(
        s, er::top_k_teacher{{ids.data(), 2, 3}, {log_p.data(), 2, 3}}, tokens);
  };
  CHECK_THROWS_WITH(run({1, 2, 3, 4, 70000, 5}, {}),
                    "top_k_loss: token 1 has id 70000, the student's vocabulary has 70000");
  CHECK_THROWS_WITH(run({1, 2, 3, 69999, 4, 69999}, {}), "top_k_loss: token 1 has id 69999 twice");
  CHECK_THROWS_WITH(run({32768, 0, 32768, 1, 2, 3}, {}), "top_k_loss: token 0 has id 32768 twice");
  CHECK(run({1, 2, 3, 69999, 4, 69999}, {.labels = first_only}).tokens == 1);
  CHECK(run({0, 32768, 65536, 69999, -1, -1}, {}).tokens == 2);

  const std::vector<std::int32_t> ids{1, 2, 3, 1, 2, 3};
  const er::top_k_teacher good{{ids.data(), 2, 3}, {log_p.data(), 2, 3}};
  er::top_k_teacher bad = good;
  bad.log_probabilities.cols = 2;
  CHECK_THROWS_WITH(er::top_k_loss{er::forward_kl{}}(s, bad, {}),
                    "top_k_loss: the student's logits are 2 x 70000, the teacher's ids 2 x 3, its "
                    "log-probabilities "
                    "2 x 2");
  bad = good;
  bad.ids.rows = bad.log_probabilities.rows = 1;
  CHECK_THROWS_WITH(er::top_k_loss{er::total_variation{}}(s, bad, {}),
                    "top_k_loss: the student's logits are 2 x 70000, the teacher's ids 1 x 3, its "
                    "log-probabilities "
                    "1 x 3");
  bad = good;
  bad.tail_floor = 1;
  CHECK_THROWS_WITH(er::top_k_loss{er::forward_kl{}}(s, bad, {}),
                    "top_k_loss: the tail's floor is 1.000000, expected 0 to below 1");
  std::vector<float> gradient(size, 7);
  CHECK_THROWS_WITH(er::top_k_loss{er::forward_kl{}}(
                        s, good, {}, er::matrix_view<float>{gradient.data(), 1, size}),
                    "top_k_loss: the student's logits are 2 x 70000, the gradient 1 x 70000");
  CHECK(gradient == std::vector<float>(size, 7));
  CHECK_THROWS_WITH(er::top_k_loss{er::forward_kl{.mode = er::loss_mode::parity}}(s, good, {}),
                    "top_k_loss: parity mode knows no teacher's top k");
  CHECK_THROWS_WITH(er::top_k_loss{er::skew_kl{.alpha = 1}}(s, good, {}),
                    "skew_kl: alpha is 1.000000, expected 0 to below 1");
  CHECK_THROWS_WITH(er::top_k_loss{er::reverse_kl{.temperature = 0}}(s, good, {}),
                    "reverse_kl: the temperature is 0.000000, expected one above 0");
}

TEST_CASE("a batch is its tokens: mask, weights, upstream, accumulation, scopes of gamma") {
  constexpr std::size_t tokens = 6, size = 530, k = 4;
  std::mt19937 random{21};
  std::vector<row> rows;
  std::vector<float> student, log_p;
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < tokens; ++i) {
    rows.push_back(random_row(size, k, 1.0f + static_cast<float>(i), random));
    if (i == 3) rows.back().ids[0] = 100000;  // doesn't count: not looked at
    student.insert(student.end(), rows[i].student.begin(), rows[i].student.end());
    ids.insert(ids.end(), rows[i].ids.begin(), rows[i].ids.end());
    log_p.insert(log_p.end(), rows[i].log_p.begin(), rows[i].log_p.end());
  }
  const std::vector<std::uint8_t> mask{1, 1, 1, 0, 1, 1};
  const std::vector<float> weights{1, 2, 0.5f, 9, 1, 3};
  const er::top_k_teacher teacher{{ids.data(), tokens, k}, {log_p.data(), tokens, k}};
  const er::matrix_view<const float> s{student.data(), tokens, size};

  std::vector<float> values(tokens, 7), gradient(tokens * size, 0.5f);
  const er::token_batch batch{.mask = mask,
                              .weights = weights,
                              .how = er::reduction::mean,
                              .upstream = 3,
                              .token_values = values,
                              .accumulate = true};
  const er::generalized_js js;
  const er::loss_result result =
      er::top_k_loss{js}(s, teacher, batch, er::matrix_view<float>{gradient.data(), tokens, size});
  CHECK(result.tokens == 5);
  double sum = 0;
  for (std::size_t i = 0; i < tokens; ++i) {
    if (mask[i] == 0) {
      CHECK(values[i] == 0);
      for (std::size_t c = 0; c < size; ++c) REQUIRE(gradient[i * size + c] == 0.5f);
      continue;
    }
    std::vector<float> alone(size);
    const double value = er::top_k_loss{js}(rows[i].logits(), rows[i].teacher(bucket), {},
                                            er::matrix_view<float>{alone.data(), 1, size})
                             .value;
    const float w = weights[i];
    CHECK(values[i] == doctest::Approx(w * value).epsilon(1e-6));
    sum += static_cast<double>(w) * value;
    // 0.5 + g rounds to 2^-24.
    for (std::size_t c = 0; c < size; ++c) {
      REQUIRE(std::fabs(gradient[i * size + c] - 0.5f - 3 * w / 7.5f * alone[c]) < 2e-7f);
    }
  }
  CHECK(result.value == doctest::Approx(sum / 7.5).epsilon(1e-12));

  // 2 samples of 3 tokens.
  const auto confidence = [&](std::size_t i) {
    const reals l = teacher_outcomes(rows[i], bucket);
    return static_cast<double>(1 - oracle::entropy(oracle::log_softmax(l, l.size(), 1)) /
                                       std::log(real{4}));
  };
  const double first = (confidence(0) + confidence(1) + confidence(2)) / 3,
               second = (confidence(4) + confidence(5)) / 2;
  const auto gamma = [&](er::gamma_scope scope) {
    return er::top_k_loss{er::entropy_aware_kl{.confidence_k = 4, .scope = scope}}(
               s, teacher, er::token_batch{.mask = mask, .sample_tokens = 3})
        .gamma;
  };
  const auto clamp = [](double x) { return std::clamp(x, 0.0, 1.0); };
  CHECK(gamma(er::gamma_scope::batch) ==
        doctest::Approx(clamp((first + second) / 2)).epsilon(1e-12));
  CHECK(gamma(er::gamma_scope::sample) ==
        doctest::Approx((clamp(first) + clamp(second)) / 2).epsilon(1e-12));
  double each = 0;
  for (const std::size_t i : {0u, 1u, 2u, 4u, 5u}) each += clamp(confidence(i));
  CHECK(gamma(er::gamma_scope::token) == doctest::Approx(each / 5).epsilon(1e-12));
  const er::blended_result none = er::top_k_loss{er::entropy_aware_kl{}}(
      s, teacher, er::token_batch{.mask = std::vector<std::uint8_t>(tokens, 0)});
  CHECK(none.tokens == 0);
  CHECK(none.gamma == 1);
}

TEST_CASE_TEMPLATE("16-bit students, whose gradient takes their place", Half, er::float16,
                   er::bfloat16) {
  std::mt19937 random{30};
  row r = random_row(700, 9, 2, random);
  std::vector<Half> half;
  for (float& x : r.student) {
    half.emplace_back(x);
    x = static_cast<float>(half.back());
  }
  for (const auto tail : {renormalize, bucket}) {
    std::vector<float> expected(700);
    std::vector<Half> place = half;
    const double value =
        er::top_k_loss{er::symmetric_kl{}}(r.logits(), r.teacher(tail), {},
                                           er::matrix_view<float>{expected.data(), 1, 700})
            .value;
    const er::matrix_view<Half> both{place.data(), 1, 700};
    CHECK(er::top_k_loss{er::symmetric_kl{}}(both, r.teacher(tail), {}, both).value == value);
    for (std::size_t i = 0; i < 700; ++i)
      REQUIRE(static_cast<float>(place[i]) == static_cast<float>(Half{expected[i]}));
  }
}

TEST_SUITE_END();
