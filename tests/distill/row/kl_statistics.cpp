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
