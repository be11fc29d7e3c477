// SPDX-License-Identifier: Apache-2.0
/// Every engine that this processor can run keeps the promise of the losses.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "distill/divergence_checks.hpp"
#include "distill/oracle.hpp"
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/engine.hpp>
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/skew_kl.hpp>
#include <edgerazor/distill/total_variation.hpp>

namespace er = edgerazor;
using divergence_checks::mixture;
using oracle::real;

TEST_SUITE_BEGIN("distill/engine");

namespace {

/// Logits of a language model: a Zipf-like tail, and a token that has the probability `top`; the
/// student is the teacher with noise.
struct rows {
  std::vector<float> student, teacher;

  rows(std::size_t size, double top, float apart, float shift, std::uint32_t seed)
      : student(size), teacher(size) {
    std::mt19937 random{seed};
    std::normal_distribution<float> noise;
    double rest = 0;
    for (std::size_t i = 1; i < size; ++i) {
      teacher[i] = -1.3f * std::log(static_cast<float>(i)) + 0.5f * noise(random);
      rest += std::exp(static_cast<double>(teacher[i]));
    }
    teacher[0] = static_cast<float>(std::log(rest * top / (1 - top)));
    std::shuffle(teacher.begin(), teacher.end(), random);
    for (std::size_t i = 0; i < size; ++i) {
      teacher[i] += 9.37f;
      student[i] = teacher[i] + apart * noise(random) + shift;
    }
  }
};

/// sum f(ln p, ln q) and its slope in ln q, d(value) / d(ln q) less what a constant times q adds.
struct divergence {
  real value = 0;
  std::vector<real> gradient;

  template <class Term>
  divergence(const rows& r, real temperature, Term&& term) : gradient(r.student.size()) {
    const auto log_p = oracle::log_softmax(r.teacher, gradient.size(), temperature),
               log_q = oracle::log_softmax(r.student, gradient.size(), temperature);
    real slopes = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const auto [of_value, slope] = term(log_p[i], log_q[i]);
      value += of_value;
      gradient[i] = slope;
      slopes += slope;
    }
    for (std::size_t i = 0; i < gradient.size(); ++i)
      gradient[i] = (gradient[i] - std::exp(log_q[i]) * slopes) / temperature;
  }
};

template <class Loss>
void check(const Loss& loss, const rows& r, const divergence& expected,
           const er::loss_engine& engine) {
  const std::size_t size = r.student.size();
  const real square = static_cast<real>(loss.temperature) * static_cast<real>(loss.temperature);
  std::vector<float> gradient(size);
  const er::token_batch tokens{.engine = &engine};
  const er::matrix_view<const float> s{r.student.data(), 1, size}, t{r.teacher.data(), 1, size};
  const double value = loss(s, t, tokens, er::matrix_view<float>{gradient.data(), 1, size}).value;
  const double alone = loss(s, t, tokens).value;
  CHECK(std::fabs(static_cast<real>(value) / square - expected.value) <= 1e-6L * expected.value);
  CHECK(std::fabs(static_cast<real>(alone) / square - expected.value) <= 1e-6L * expected.value);
  real largest = 0, error = 0;
  for (std::size_t i = 0; i < size; ++i) {
    largest = std::max(largest, std::fabs(expected.gradient[i]));
    error =
        std::max(error, std::fabs(static_cast<real>(gradient[i]) / square - expected.gradient[i]));
  }
  CHECK(error <= 1e-6L * largest);
}

template <class Loss, class Term>
void check_each(const Loss& loss, const rows& r, Term&& term) {
  const divergence expected{r, static_cast<real>(loss.temperature), term};
  for (const er::loss_engine& engine : er::available_loss_engines()) {
    INFO(std::string{engine.name});
    check(loss, r, expected, engine);
  }
}

struct value_and_slope {
  real value, slope;
};
value_and_slope forward(real p, real q) { return {std::exp(p) * (p - q), -std::exp(p)}; }
value_and_slope reverse(real p, real q) { return {std::exp(q) * (q - p), std::exp(q) * (q - p)}; }
real mixed(real a, real p, real b, real q) { return mixture(a, {p}, b, {q})[0]; }

}  // namespace

TEST_CASE("engine: by name, fastest first") {
  const auto all = er::available_loss_engines();
  REQUIRE(!all.empty());
  CHECK(all.back().name == "portable");
  for (const er::loss_engine& engine : all) CHECK(er::find_loss_engine(engine.name) == &engine);
  CHECK(er::find_loss_engine("none") == nullptr);
}

TEST_CASE("engine: logits of a language model, to 1e-6 of long double") {
  struct shape {
    std::size_t size;
    double top;
    float apart, shift, temperature;
  };
  // 9001 is a multiple of no vector.
  for (const shape& c : {shape{9001, 0.9, 0.1f, 0, 1}, shape{16384, 0.99, 0.5f, 0, 1},
                         shape{9001, 0.6, 0.3f, 100, 1}, shape{9001, 0.7, 0.02f, -3, 2},
                         shape{16384, 0.999, 0.1f, 0.3f, 1}, shape{9001, 0.4, 1.5f, 0, 0.3f},
                         shape{40, 0.9, 0.3f, 5, 1}, shape{9001, 0.9, 1e-4f, 1, 1}}) {
    INFO("size " << c.size << ", top " << c.top << ", apart " << c.apart << ", shift " << c.shift
                 << ", temperature " << c.temperature << ", seed 3");
    const rows r{c.size, c.top, c.apart, c.shift, 3};
    check_each(er::forward_kl{.temperature = c.temperature}, r, forward);
    check_each(er::symmetric_kl{.temperature = c.temperature, .gamma = 0.75f}, r,
               [](real p, real q) {
                 const value_and_slope f = forward(p, q), b = reverse(p, q);
                 return value_and_slope{0.25L * f.value + 0.75L * b.value,
                                        0.25L * f.slope + 0.75L * b.slope};
               });
    check_each(
        er::generalized_js{.temperature = c.temperature, .beta = 0.25f}, r, [](real p, real q) {
          const real m = mixed(0.25L, p, 0.75L, q);
          return value_and_slope{0.25L * std::exp(p) * (p - m) + 0.75L * std::exp(q) * (q - m),
                                 0.75L * std::exp(q) * (q - m)};
        });
    check_each(er::skew_kl{.temperature = c.temperature, .alpha = 0.125f}, r, [](real p, real q) {
      const real m = mixed(0.125L, p, 0.875L, q);
      return value_and_slope{std::exp(p) * (p - m), -0.875L * std::exp(p + q - m)};
    });
    check_each(er::skew_reverse_kl{.temperature = c.temperature, .alpha = 0.125f}, r,
               [](real p, real q) {
                 const real m = mixed(0.875L, p, 0.125L, q);
                 return value_and_slope{std::exp(q) * (q - m),
                                        std::exp(q) * (q - m) - 0.125L * std::exp(2 * q - m)};
               });
    check_each(er::total_variation{.temperature = c.temperature}, r, [](real p, real q) {
      const real apart = std::exp(q) - std::exp(p);
      return value_and_slope{std::fabs(apart) / 2, std::copysign(std::exp(q), apart) / 2};
    });
  }
}

TEST_CASE("engine: cross-entropy of labels sure and unlikely") {
  const rows r{9001, 0.999, 0.1f, 3, 5};
  const std::size_t size = r.student.size();
  const auto log_q = oracle::log_softmax(r.student, size, 1);
  const auto top = static_cast<std::int64_t>(std::max_element(r.student.begin(), r.student.end()) -
                                             r.student.begin());
  for (const std::int64_t label : {top, top / 2}) {
    for (const er::loss_engine& engine : er::available_loss_engines()) {
      INFO(std::string{engine.name});
      std::vector<float> gradient(size);
      const std::vector<std::int64_t> labels{label};
      const double value =
          er::cross_entropy{}(er::matrix_view<const float>{r.student.data(), 1, size},
                              er::token_batch{.labels = labels, .engine = &engine},
                              er::matrix_view<float>{gradient.data(), 1, size})
              .value;
      const real expected = -log_q[static_cast<std::size_t>(label)];
      CHECK(std::fabs(static_cast<real>(value) - expected) <= 1e-6L * expected);
      real largest = 0, error = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const bool is_label = static_cast<std::int64_t>(i) == label;
        const real slope = is_label ? std::expm1(log_q[i]) : std::exp(log_q[i]);
        largest = std::max(largest, std::fabs(slope));
        error = std::max(error, std::fabs(static_cast<real>(gradient[i]) - slope));
      }
      CHECK(error <= 1e-6L * largest);
    }
  }
}

TEST_CASE("engine: a row's result is that of the row alone") {
  constexpr std::size_t size = 9001, tokens = 3;
  std::vector<float> s(tokens * size), t(s.size()), g(s.size()), alone(size);
  for (std::size_t i = 0; i < tokens; ++i) {
    const rows r{size, 0.8, 0.2f, 0, static_cast<std::uint32_t>(i)};
    std::copy(r.student.begin(), r.student.end(),
              s.begin() + static_cast<std::ptrdiff_t>(i * size));
    std::copy(r.teacher.begin(), r.teacher.end(),
              t.begin() + static_cast<std::ptrdiff_t>(i * size));
  }
  for (const er::loss_engine& engine : er::available_loss_engines()) {
    INFO(std::string{engine.name});
    std::vector<float> values(tokens), value(1);
    const er::symmetric_kl loss{.gamma = 0.75f};
    loss(er::matrix_view<const float>{s.data(), tokens, size},
         er::matrix_view<const float>{t.data(), tokens, size},
         er::token_batch{.how = er::reduction::none, .token_values = values, .engine = &engine},
         er::matrix_view<float>{g.data(), tokens, size});
    for (std::size_t i = 0; i < tokens; ++i) {
      loss(er::matrix_view<const float>{s.data() + i * size, 1, size},
           er::matrix_view<const float>{t.data() + i * size, 1, size},
           er::token_batch{.how = er::reduction::none, .token_values = value, .engine = &engine},
           er::matrix_view<float>{alone.data(), 1, size});
      CHECK(value[0] == values[i]);
      CHECK(std::equal(alone.begin(), alone.end(),
                       g.begin() + static_cast<std::ptrdiff_t>(i * size)));
    }
  }
}

TEST_SUITE_END();
