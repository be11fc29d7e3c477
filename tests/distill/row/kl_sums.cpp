// SPDX-License-Identifier: Apache-2.0
/// The block loops against plain loops in long double, guarded and not.
#include <cmath>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/kl_sums_impl.hpp>

namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/kl_sums");

namespace {

using real = long double;

template <bool Guarded, class Real>
void check_sums() {
  constexpr std::size_t count = 448;
  std::mt19937 random{6};
  std::normal_distribution<Real> draw;
  std::vector<Real> s(count), t(count), kept(count), g(count);
  for (Real& x : s) x = draw(random);
  for (Real& x : t) x = draw(random);
  if (Guarded) s[5] = t[5] = t[9] = -std::numeric_limits<Real>::infinity();
  const row::logit_scaling by{0.5, 1.25, -0.75};
  const row::blend_coefficients blend{.slope = 0.3, .student = -0.2, .teacher = 0.7};
  real teacher = 0, weighted = 0, student = 0, excess = 0, forward = 0, largest = 0, error = 0;
  std::vector<real> expected(count);
  for (std::size_t i = 0; i < count; ++i) {
    const real a = (static_cast<real>(s[i]) - 1.25L) / 2, b = (static_cast<real>(t[i]) + 0.75L) / 2;
    const real q = std::exp(a), p = std::exp(b);
    teacher += p;
    student += q;
    weighted += p == 0 ? 0 : p * b;
    excess += q == 0 ? 0 : q * (a - b);
    forward += p == 0 ? 0 : p * (b - a);
    const real u = std::isfinite(a - b) ? a - b : 0;
    expected[i] = q * (u * 0.3L - 0.2L) - p * 0.7L;
    largest = std::max(largest, std::fabs(expected[i]));
  }
  // A few roundings a column.
  const real eps = 8 * static_cast<real>(std::numeric_limits<Real>::epsilon());
  const auto close = [&](double x, real y) {
    return std::isinf(y) ? static_cast<real>(x) == y
                         : std::fabs(static_cast<real>(x) - y) <= eps * count;
  };
  const row::block_sums of_teacher = row::sum_teacher<Guarded>(t.data(), count, by);
  CHECK(close(of_teacher.sum, teacher));
  CHECK(close(of_teacher.weighted, weighted));
  const row::block_sums of_student =
      row::sum_student<Guarded>(s.data(), t.data(), count, by, kept.data());
  CHECK(close(of_student.sum, student));
  CHECK(close(of_student.weighted, excess));
  CHECK(close(row::sum_forward<Guarded>(s.data(), t.data(), count, by), forward));
  for (const Real* from :
       {static_cast<const Real*>(nullptr), static_cast<const Real*>(kept.data())}) {
    CHECK(close(row::blend_gradient<Guarded>(s.data(), t.data(), from, count, by, blend, g.data()),
                forward));
    for (std::size_t i = 0; i < count; ++i)
      error = std::max(error, std::fabs(static_cast<real>(g[i]) - expected[i]));
  }
  CHECK(error <= eps * largest);
}

}  // namespace

TEST_CASE("kl_sums: sums and gradients of a block") {
  check_sums<false, float>();
  check_sums<false, double>();
  check_sums<true, float>();
  check_sums<true, double>();
}

TEST_CASE("kl_sums: near distributions keep the digits of their difference") {
  constexpr std::size_t count = 448;
  std::mt19937 random{8};
  std::normal_distribution<float> draw;
  std::vector<float> t(count), s(count), g(count);
  for (float& x : t) x = draw(random);
  for (std::size_t i = 0; i < count; ++i) s[i] = t[i] + 1e-3f * draw(random);
  const row::logit_scaling by{1, 3, 3};
  real p_sum = 0, q_sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    p_sum += std::exp(static_cast<real>(t[i]) - 3);
    q_sum += std::exp(static_cast<real>(s[i]) - 3);
  }
  const row::difference_sums sums = row::sum_differences(s.data(), t.data(), count, by);
  CHECK(std::fabs(static_cast<real>(sums.sum) - (q_sum - p_sum)) <=
        1e-6L * std::fabs(q_sum - p_sum));
  const real ratio = q_sum / p_sum;
  const row::near_coefficients with{.teacher = static_cast<double>(1 / p_sum),
                                    .student = static_cast<double>(1 / q_sum),
                                    .log_ratio = static_cast<double>(std::log(ratio)),
                                    .mean = sums.excess / static_cast<double>(q_sum),
                                    .forward = 1};
  const row::kl_divergences both = row::compare_near(s.data(), t.data(), count, by, with, g.data());
  real forward = 0, reverse = 0, error = 0, largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const real p = std::exp(static_cast<real>(t[i]) - 3) / p_sum,
               q = std::exp(static_cast<real>(s[i]) - 3) / q_sum;
    forward += p * std::log(p / q);
    reverse += q * std::log(q / p);
    error = std::max(error, std::fabs(static_cast<real>(g[i]) - (q - p)));
    largest = std::max(largest, std::fabs(q - p));
  }
  // Of 5e-7 nats: float's rounding of the difference is 1e-6 of it.
  CHECK(std::fabs(static_cast<real>(both.forward) - forward) <= 1e-5L * forward);
  CHECK(std::fabs(static_cast<real>(both.reverse) - reverse) <= 1e-5L * reverse);
  CHECK(error <= 2e-6L * largest);
}

TEST_SUITE_END();
