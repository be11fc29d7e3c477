// SPDX-License-Identifier: Apache-2.0
/// Statistics merged from pieces, and blends of what isn't finite.
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/kl_statistics.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("distill/row/kl_statistics");

TEST_CASE("kl_statistics: two columns seen one by one are softmax of two") {
  // Student 1 and 3, teacher 2 and 0, each seen from itself.
  er::logit_statistics a{.student_reference = 1,
                         .student_sum = 1,
                         .student_excess = 0,
                         .teacher_reference = 2,
                         .teacher_sum = 1,
                         .teacher_excess = 0,
                         .teacher_weighted = 0},
      b = a;
  b.student_reference = 3;
  b.teacher_reference = 0;
  const double q = 1 / (1 + std::exp(2.0)), p = 1 / (1 + std::exp(-2.0));
  const double forward = p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
  const double reverse = q * std::log(q / p) + (1 - q) * std::log((1 - q) / (1 - p));
  const double entropy = -p * std::log(p) - (1 - p) * std::log(1 - p);
  for (const bool swapped : {false, true}) {
    er::logit_statistics all = swapped ? b : a;
    all.merge(swapped ? a : b);
    CHECK(all.forward_kl() == doctest::Approx(forward).epsilon(1e-14));
    CHECK(all.reverse_kl() == doctest::Approx(reverse).epsilon(1e-14));
    CHECK(all.teacher_entropy() == doctest::Approx(entropy).epsilon(1e-14));
    CHECK(all.student_log_sum() == doctest::Approx(std::log(std::exp(1.0) + std::exp(3.0))));
  }
  er::logit_statistics nothing;
  nothing.merge(a);
  CHECK(nothing.student_sum == 1);
}

TEST_CASE("kl_statistics: what small numbers leave of e^x and of logarithms keeps its digits") {
  for (long double x = 1e-12L; x < 3; x *= 1.37L) {
    for (const long double y : {x, -x}) {
      const double is = static_cast<double>(y);
      const long double of = static_cast<long double>(is);
      // Series beside 0, where expm1(y) - y has lost half its digits or more.
      long double gap = std::expm1(of) - of, log_gap = of - std::log1p(of);
      if (x < 1e-4L) {
        gap = of * of * (0.5L + of * (1 / 6.0L + of * (1 / 24.0L)));
        log_gap = of * of * (0.5L - of * (1 / 3.0L - of * (1 / 4.0L)));
      }
      const auto near = [](double result, long double expected) {
        return std::fabs(static_cast<long double>(result) - expected) <=
               1e-12L * std::fabs(expected);
      };
      CHECK_MESSAGE(near(er::detail::row::exponential_gap(is), gap), "e^x - 1 - x of " << is);
      if (is > -0.9)
        CHECK_MESSAGE(near(er::detail::row::logarithm_gap(is, std::log1p(is)), log_gap),
                      "x - ln(1 + x) of " << is);
    }
  }
}

TEST_CASE("kl_statistics: a direction without weight adds nothing, and NaN stays") {
  using er::detail::row::blended;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(blended(0, 2, infinity) == 2);
  CHECK(blended(1, infinity, 3) == 3);
  CHECK(blended(0.25, 4, 8) == 5);
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(blended(nan, 1, 1)));
  CHECK(std::isnan(blended(1, nan, 0)));
  CHECK(std::isnan(blended(0, 0, nan)));
}

TEST_SUITE_END();
