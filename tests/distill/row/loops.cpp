// SPDX-License-Identifier: Apache-2.0
/// The loops of every instruction set that this processor has, against plain loops in long double,
/// guarded and not.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/loops.hpp>

namespace er = edgerazor;
namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/loops");

namespace {

using real = long double;
constexpr std::size_t block = 448;

template <class Check>
void with_each(Check&& check) {
  for (const row::loops* by : row::available_loops()) {
    INFO(std::string{by->name});
    check(*by);
  }
}

/// e^x of all x.
template <class Real>
std::vector<Real> exponentials(const row::loops& by, std::vector<Real> x) {
  const std::size_t count = x.size();
  x.resize(row::whole_vectors(count, by));
  std::vector<Real> result(x.size());
  by.of<Real>().softmax(x.data(), x.size(), 0, 1, 0, result.data());
  result.resize(count);
  return result;
}

template <class Real>
real worst_error(const std::vector<Real>& x, const std::vector<Real>& result) {
  real worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const real exact = std::exp(static_cast<real>(x[i]));
    worst = std::max(worst, std::fabs(static_cast<real>(result[i]) - exact) / exact);
  }
  return worst;
}

template <class Real>
void check_sums(const row::loops& by, bool guarded) {
  std::mt19937 random{6};
  std::normal_distribution<Real> draw;
  std::vector<Real> s(block), t(block), kept(block), g(block);
  for (Real& x : s) x = draw(random);
  for (Real& x : t) x = draw(random);
  if (guarded) s[5] = t[5] = t[9] = -std::numeric_limits<Real>::infinity();
  const row::logit_scaling scaling{0.5, 1.25, -0.75, 1.5, -0.75};
  const row::blend_coefficients blend{.slope = 0.3, .student = -0.2, .teacher = 0.7};
  real teacher = 0, weighted = 0, student = 0, excess = 0, forward = 0, largest = 0, error = 0;
  std::vector<real> expected(block);
  for (std::size_t i = 0; i < block; ++i) {
    const real a = (static_cast<real>(s[i]) - 1.25L) / 2, b = (static_cast<real>(t[i]) + 0.75L) / 2;
    const real q = std::exp(a), p = std::exp(b), apart = a - b - 0.125L;
    teacher += p;
    student += q;
    weighted += p == 0 ? 0 : p * b;
    excess += q == 0 ? 0 : q * apart;
    forward += p == 0 ? 0 : p * -apart;
    const real u = std::isfinite(apart) ? apart : 0;
    expected[i] = q * (u * 0.3L - 0.2L) - p * 0.7L;
    largest = std::max(largest, std::fabs(expected[i]));
  }
  // A few roundings a column.
  const real eps = 8 * static_cast<real>(std::numeric_limits<Real>::epsilon());
  const auto close = [&](double x, real y) {
    return std::isinf(y) ? static_cast<real>(x) == y
                         : std::fabs(static_cast<real>(x) - y) <= eps * block;
  };
  const row::real_loops<Real>& of = by.of<Real>();
  const row::block_sums of_teacher = of.sum_teacher(t.data(), block, scaling, guarded);
  CHECK(close(of_teacher.sum, teacher));
  CHECK(close(of_teacher.weighted, weighted));
  const row::block_sums of_student =
      of.sum_student(s.data(), t.data(), block, scaling, kept.data(), guarded);
  CHECK(close(of_student.sum, student));
  CHECK(close(of_student.weighted, excess));
  CHECK(close(of.sum_forward(s.data(), t.data(), block, scaling, guarded), forward));
  if constexpr (std::is_same_v<Real, float>) {
    for (const float* from :
         {static_cast<const float*>(nullptr), static_cast<const float*>(kept.data())}) {
      CHECK(close(
          by.blend_gradient(s.data(), t.data(), from, block, scaling, blend, guarded, g.data()),
          forward));
      for (std::size_t i = 0; i < block; ++i)
        error = std::max(error, std::fabs(static_cast<real>(g[i]) - expected[i]));
    }
    CHECK(error <= eps * largest);
  }
}

}  // namespace

TEST_CASE("loops: there is one for every machine, and each has a name of its own") {
  const auto all = row::available_loops();
  REQUIRE(!all.empty());
  CHECK(all.back()->name == "portable");
  for (std::size_t i = 1; i < all.size(); ++i) CHECK(all[i]->name != all[i - 1]->name);
}

TEST_CASE("loops: e^x in double is within 2 ulp, and right where it ends") {
  std::vector<double> x;
  for (int i = -707000; i < 708000; i += 37) x.push_back(i * 1e-3 + i * 1e-10);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  with_each([&](const row::loops& by) {
    CHECK(worst_error(x, exponentials(by, x)) <= 2 * 0x1p-52L);
    const std::vector<double> ends = exponentials<double>(
        by, {0.0, -infinity, -1e300, infinity, 710.0, std::numeric_limits<double>::quiet_NaN()});
    CHECK(ends[0] == 1);
    CHECK(ends[1] == 0);
    CHECK(ends[2] == 0);
    CHECK(ends[3] == infinity);
    CHECK(ends[4] == infinity);
    CHECK(std::isnan(ends[5]));
  });
}

TEST_CASE("loops: e^x in float is within 1.5 ulp, and 0 where it ends") {
  std::vector<float> x;
  for (int i = -86900; i <= 88000; ++i) x.push_back(static_cast<float>(i) * 1e-3f);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  with_each([&](const row::loops& by) {
    CHECK(worst_error(x, exponentials(by, x)) <= 1.5L * 0x1p-23L);
    const std::vector<float> ends = exponentials<float>(
        by, {0.0f, -88.0f, -infinity, -1e38f, std::numeric_limits<float>::quiet_NaN()});
    CHECK(ends[0] == 1);
    for (std::size_t i = 1; i < ends.size(); ++i) CHECK(ends[i] == 0);
  });
}

TEST_CASE("loops: logarithms in double") {
  std::vector<double> p(block);
  for (std::size_t i = 0; i < block; ++i)
    p[i] = std::exp(-static_cast<double>(i * i) * 3e-3) * (1 + 1e-9 * static_cast<double>(i));
  p[7] = 0;
  real expected = 0;
  for (const double x : p)
    expected -= x == 0 ? 0 : static_cast<real>(x) * std::log(static_cast<real>(x));
  with_each([&](const row::loops& by) {
    CHECK(std::fabs(static_cast<real>(by.entropy(p.data(), block)) - expected) <=
          1e-14L * expected);
    // One column at a time, relative: also beside 1.
    for (const double x : {1e-300, 1e-3, 0.5, 0.999999, 1 + 1e-12, 1.4142, 3.0, 1e300}) {
      std::vector<double> one(16, 1.0);
      one[0] = x;
      const real exact = -static_cast<real>(x) * std::log(static_cast<real>(x));
      CHECK(std::fabs(static_cast<real>(by.entropy(one.data(), by.lanes)) - exact) <=
            1e-15L * std::fabs(exact));
    }
    std::vector<double> bad(16, 1.0);
    bad[3] = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(by.entropy(bad.data(), by.lanes)));
    bad[3] = -0.5;
    CHECK(std::isnan(by.entropy(bad.data(), by.lanes)));
  });
}

TEST_CASE("loops: sums and gradients of a block") {
  with_each([](const row::loops& by) {
    for (const bool guarded : {false, true}) {
      check_sums<float>(by, guarded);
      check_sums<double>(by, guarded);
    }
  });
}

TEST_CASE("loops: near distributions keep the digits of their difference") {
  std::mt19937 random{8};
  std::normal_distribution<float> draw;
  std::vector<float> t(block), s(block), g(block), kept(block);
  for (float& x : t) x = draw(random);
  for (std::size_t i = 0; i < block; ++i) s[i] = t[i] + 1e-3f * draw(random);
  const row::logit_scaling scaling{1, 3, 3};
  real p_sum = 0, q_sum = 0, mean = 0;
  for (std::size_t i = 0; i < block; ++i) {
    p_sum += std::exp(static_cast<real>(t[i]) - 3);
    q_sum += std::exp(static_cast<real>(s[i]) - 3);
  }
  for (std::size_t i = 0; i < block; ++i) {
    mean += std::exp(static_cast<real>(s[i]) - 3) / q_sum *
            (static_cast<real>(s[i]) - static_cast<real>(t[i]));
  }
  const real ratio = q_sum / p_sum;
  row::near_coefficients with{.teacher = static_cast<double>(1 / p_sum),
                              .student = static_cast<double>(1 / p_sum),
                              .log_ratio = 0,
                              .mean = static_cast<double>(mean),
                              .forward = 1};
  with_each([&](const row::loops& by) {
    by.of_floats.sum_student(s.data(), t.data(), block, scaling, kept.data(), false);
    for (const float* from :
         {static_cast<const float*>(nullptr), static_cast<const float*>(kept.data())}) {
      row::near_coefficients here = with;
      const row::near_sums sums =
          by.near_difference(s.data(), t.data(), from, block, scaling, here);
      CHECK(std::fabs(static_cast<real>(sums.difference) - (ratio - 1)) <=
            1e-6L * std::fabs(ratio - 1));
      here.student = static_cast<double>(1 / q_sum);
      here.log_ratio = static_cast<double>(std::log(ratio));
      const row::kl_divergences both =
          by.near_blend(s.data(), t.data(), from, block, scaling, here, g.data());
      real forward = 0, reverse = 0, error = 0, largest = 0;
      for (std::size_t i = 0; i < block; ++i) {
        const real p = std::exp(static_cast<real>(t[i]) - 3) / p_sum,
                   q = std::exp(static_cast<real>(s[i]) - 3) / q_sum;
        forward += p * std::log(p / q);
        reverse += q * std::log(q / p);
        error = std::max(error, std::fabs(static_cast<real>(g[i]) - (q - p)));
        largest = std::max(largest, std::fabs(q - p));
      }
      // Of 5e-7 nats: a difference is known to 2^-23 of 1e-3, and to 2^-24 of the logits.
      CHECK(std::fabs(static_cast<real>(both.forward) - forward) <= 1e-6L * forward);
      CHECK(std::fabs(static_cast<real>(both.reverse) - reverse) <= 1e-6L * reverse);
      CHECK(error <= 1e-6L * largest);
    }
  });
}

TEST_SUITE_END();
