// SPDX-License-Identifier: Apache-2.0
/// Each term of two columns, and pieces of a row that add up.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/terms.hpp>

namespace er = edgerazor;
namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/terms");

TEST_CASE("terms: each kind is the function it names") {
  const std::vector<float> s{0.3f, -1, 2}, t{1, 0.5f, -0.25f};
  double p[3], q[3], ps = 0, qs = 0;
  for (std::size_t i = 0; i < 3; ++i) ps += p[i] = std::exp(static_cast<double>(t[i]));
  for (std::size_t i = 0; i < 3; ++i) qs += q[i] = std::exp(static_cast<double>(s[i]));
  const auto sum = [&](auto&& f) {
    double result = 0;
    for (std::size_t i = 0; i < 3; ++i) result += f(p[i] / ps, q[i] / qs);
    return result;
  };
  const er::input_row student{s.data(), 3}, teacher{t.data(), 3};
  const er::logit_statistics seen = row::row_statistics({student, teacher}, false);
  const auto of = [&](row::term_kind kind, double a, double b = 0) {
    return row::sum_terms({kind, a, b}, {student, teacher}, seen).value;
  };
  using kind = row::term_kind;
  const auto ln = [](double x, double y) { return x * std::log(x / y); };
  CHECK(of(kind::kl_blend, 2, 3) ==
        doctest::Approx(sum([&](double x, double y) { return 2 * ln(x, y) + 3 * ln(y, x); })));
  CHECK(of(kind::jensen_shannon, 0.3) == doctest::Approx(sum([&](double x, double y) {
          const double m = 0.3 * x + 0.7 * y;
          return 0.3 * ln(x, m) + 0.7 * ln(y, m);
        })));
  CHECK(of(kind::skew_forward, 0.2) ==
        doctest::Approx(sum([&](double x, double y) { return ln(x, 0.2 * x + 0.8 * y); })));
  CHECK(of(kind::skew_reverse, 0.2) ==
        doctest::Approx(sum([&](double x, double y) { return ln(y, 0.8 * x + 0.2 * y); })));
  CHECK(of(kind::total_variation, 0) ==
        doctest::Approx(sum([](double x, double y) { return std::fabs(x - y) / 2; })));
}

TEST_CASE("terms: pieces add up to the row") {
  std::vector<float> s(900), t(900);
  for (std::size_t i = 0; i < s.size(); ++i) {
    s[i] = std::sin(static_cast<float>(i));
    t[i] = std::cos(static_cast<float>(3 * i));
  }
  const er::logit_statistics seen = row::row_statistics({{s.data(), 900}, {t.data(), 900}}, false);
  const row::divergence_term term{row::term_kind::jensen_shannon, 0.5};
  const auto all = row::sum_terms(term, {{s.data(), 900}, {t.data(), 900}}, seen);
  const auto a = row::sum_terms(term, {{s.data(), 333}, {t.data(), 333}}, seen);
  const auto b = row::sum_terms(term, {{s.data() + 333, 567}, {t.data() + 333, 567}}, seen);
  CHECK(a.value + b.value == doctest::Approx(all.value).epsilon(1e-13));
  CHECK(a.slope + b.slope == doctest::Approx(all.slope).epsilon(1e-12));
}

// Student and teacher agree about the student's likeliest columns, and the teacher gives most of
// its mass to others: all slopes that count are nearly their mean, and far from 0.
TEST_CASE("terms: the gradient of a sure student under a teacher that is not, in float") {
  constexpr std::size_t size = 9000;
  std::vector<float> s(size, 0.0f), t(size);
  for (std::size_t i = 0; i < size; ++i) t[i] = 28 + std::sin(static_cast<float>(i));
  s[4579] = t[4579] = 33;
  s[7110] = t[7110] = 36;
  const er::input_row student{s.data(), size}, teacher{t.data(), size};
  using kind = row::term_kind;
  for (const row::divergence_term term : {row::divergence_term{kind::jensen_shannon, 0.5},
                                          row::divergence_term{kind::skew_forward, 0.2},
                                          row::divergence_term{kind::skew_reverse, 0.2},
                                          row::divergence_term{kind::total_variation, 0}}) {
    CAPTURE(static_cast<int>(term.kind));
    std::vector<float> is(size), expected(size);
    const row::logit_pair rows{student, teacher};
    const double value = row::term_row(term, rows, 1, std::span{is});
    const er::logit_statistics seen = row::row_statistics(rows, false);
    const row::term_sums sums = row::sum_terms(term, rows, seen);
    row::term_gradient(term, rows, seen, sums, 1, std::span{expected});
    CHECK(value == doctest::Approx(sums.value).epsilon(1e-6));
    // Slopes of about 0.1 have an ulp of 7e-9, which is what the mean was known to.
    double largest = 0, furthest = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double g = static_cast<double>(expected[i]);
      largest = std::max(largest, std::fabs(g));
      furthest = std::max(furthest, std::fabs(static_cast<double>(is[i]) - g));
    }
    CHECK(furthest <= 2e-6 * largest + 1e-10);
  }
}

TEST_CASE("terms: a temperature beside which the difference of two logits is rounded") {
  constexpr std::size_t size = 9000;
  std::vector<float> s(size), t(size);
  for (std::size_t i = 0; i < size; ++i) {
    s[i] = i % 3 == 0 ? 1e-6f : -1e-6f;
    t[i] = 1e-30f * std::sin(static_cast<float>(i));
  }
  const row::logit_pair rows{{s.data(), size}, {t.data(), size}, 1e30};
  const row::divergence_term term{row::term_kind::jensen_shannon, 0.5};
  const double expected = row::sum_terms(term, rows, row::row_statistics(rows, false)).value;
  CHECK(row::term_row(term, rows, 1, {}) == doctest::Approx(expected).epsilon(1e-6));
}

TEST_SUITE_END();
