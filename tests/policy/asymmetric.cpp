// SPDX-License-Identifier: Apache-2.0
/// The asymmetric grid by hand.
#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <edgerazor/policy/asymmetric.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("policy/asymmetric");

TEST_CASE(
    "asymmetric: the maximum is level 7, below -8/7 of it is clipped, a negative group takes its "
    "magnitude") {
  using policy = er::int4_asymmetric<>;
  CHECK(policy{}.scale(std::vector<float>{7, -100}) == 1.0f);
  CHECK(policy::level(7.0f, 1.0f) == 7);
  CHECK(policy::level(-100.0f, 1.0f) == -8);
  CHECK(policy{}.scale(std::vector<float>{-7, -14}) == 2.0f);
  CHECK(policy{}.scale(std::vector<float>{0, -14}) == 1e-5f);
  // 1.5 - 2^-23 has one bit more than a sum with 8 keeps: the sum is 9.5, a tie, and 10 is even.
  CHECK(policy::level(std::nextafter(1.5f, 0.0f), 1.0f) == 2);
  CHECK(er::int4<>::level(std::nextafter(1.5f, 0.0f), 1.0f) == 1);
  CHECK(policy::level(2.5f, 1.0f) == 2);
}

namespace {

using rule = er::zero_rule;
template <int Bits, rule Rule>
using by = er::asymmetric<Bits, er::per_channel, er::float16, Rule>;

template <class Policy>
std::vector<int> codes_of(const std::vector<float>& group, er::group_fit& fit) {
  fit = Policy{}.fit(group);
  std::vector<int> codes;
  for (const float w : group) codes.push_back(Policy::code(w, fit));
  return codes;
}

}  // namespace

TEST_CASE("asymmetric: minimum and maximum are the first and the last code") {
  er::group_fit fit;
  // s = 7.5 / 15, z = 2.5 / 0.5; 0.25 / 0.5 + 5 is a tie.
  CHECK(codes_of<by<4, rule::real>>({-2.5f, 5.0f, 0.0f, 0.25f, 0.75f}, fit) ==
        std::vector{0, 15, 5, 6, 6});
  CHECK(fit.scale == 0.5f);
  CHECK(fit.zero == 5.0f);
  // s = 3 / 3, z = 0.75, which no code is.
  CHECK(codes_of<by<2, rule::real>>({-0.75f, 2.25f, 0.0f, 0.8f}, fit) == std::vector{0, 3, 1, 2});
  CHECK(fit.scale == 1.0f);
  CHECK(fit.zero == 0.75f);
  CHECK(codes_of<by<2, rule::minimum>>({-0.75f, 2.25f, 0.0f, 0.8f}, fit) ==
        std::vector{0, 3, 1, 2});
  CHECK(fit.scale == 1.0f);
  CHECK(fit.zero == -0.75f);
}

TEST_CASE("asymmetric: an integer zero is a code, and the range holds 0") {
  er::group_fit fit;
  // z = round(0.75) = 1; round(2.25) + 1 = 3, round(-0.75) + 1 = 0.
  CHECK(codes_of<by<2, rule::integer>>({-0.75f, 2.25f, 0.0f, 0.8f}, fit) ==
        std::vector{0, 3, 1, 2});
  CHECK(fit.scale == 1.0f);
  CHECK(fit.zero == 1.0f);
  // All above 0: lo = 0, z = 0. All below: z is the last code.
  CHECK(codes_of<by<4, rule::integer>>({7.5f, 3.0f}, fit) == std::vector{15, 6});
  CHECK(fit.scale == 0.5f);
  CHECK(fit.zero == 0.0f);
  CHECK(codes_of<by<4, rule::integer>>({-7.5f, -3.0f}, fit) == std::vector{0, 9});
  CHECK(fit.zero == 15.0f);
  // A real zero needs no 0 in the range: s = 4.5 / 15, z = -10.
  CHECK(codes_of<by<4, rule::real>>({7.5f, 3.0f}, fit) == std::vector{15, 0});
  CHECK(fit.scale == 4.5f / 15);
  CHECK(fit.zero == -(3.0f / (4.5f / 15)));
}

TEST_CASE("asymmetric: groups of one value, of zeros, and far from zero") {
  er::group_fit fit;
  for (const float v : {0.37f, -0.37f}) {
    CHECK(codes_of<by<3, rule::real>>({v, v, v}, fit) == std::vector(3, v > 0 ? 1 : 0));
    CHECK(fit.scale == 0.37f);
    CHECK(fit.zero == (v < 0 ? 1.0f : 0.0f));
    CHECK(codes_of<by<3, rule::minimum>>({v, v, v}, fit) == std::vector(3, 0));
    CHECK(fit.scale == 1e-5f);
    CHECK(fit.zero == v);
    CHECK(codes_of<by<3, rule::integer>>({v, v, v}, fit) == std::vector(3, v > 0 ? 7 : 0));
    CHECK(fit.zero == (v < 0 ? 7.0f : 0.0f));
  }
  const std::vector<float> zeros{0.0f, -0.0f, 0.0f};
  CHECK(codes_of<by<3, rule::real>>(zeros, fit) == std::vector(3, 0));
  CHECK(fit.zero == 0.0f);
  CHECK(codes_of<by<3, rule::integer>>(zeros, fit) == std::vector(3, 0));
  CHECK(fit.zero == 0.0f);
  CHECK(codes_of<by<3, rule::minimum>>(zeros, fit) == std::vector(3, 0));
  CHECK(fit.scale == 1e-5f);
  // (hi - lo) / 15 would be 2^-17: the zero would be -2^17.
  CHECK(codes_of<by<4, rule::real>>({1.0f, 1.0f + 15 * 0x1p-17f}, fit) == std::vector{0, 0});
  CHECK(fit.scale == (1.0f + 15 * 0x1p-17f) / 1024);
  CHECK(fit.zero == -(1.0f / fit.scale));
}

TEST_CASE("asymmetric: every weight is within half a step of its value") {
  std::mt19937 random(5);
  const auto check = [&]<class Policy>(const Policy& policy) {
    std::size_t wrong = 0;
    for (const samples::kind kind : samples::all_kinds) {
      const std::vector<float> w = samples::draw(kind, 64, random);
      const er::group_fit fit = policy.fit(w);
      for (const float x : w) {
        const int code = Policy::code(x, fit);
        const float value = er::detail::policy::value_of<Policy::zero>(static_cast<float>(code),
                                                                       fit.scale, fit.zero);
        // The sum w / s + z and the value round; an integer zero moves both ends by half a step.
        const float steps = (Policy::zero == er::zero_kind::minimum ? 0.5f : 1.0f) * fit.scale;
        wrong += code < 0 || code > Policy::max_code || !(std::fabs(value - x) <= steps * 1.001f);
      }
    }
    CHECK(wrong == 0);
  };
  check(by<2, rule::real>{}), check(by<4, rule::real>{}), check(by<8, rule::real>{});
  check(by<3, rule::integer>{}), check(by<6, rule::integer>{}), check(by<8, rule::integer>{});
  check(by<4, rule::minimum>{}), check(by<5, rule::minimum>{}), check(by<8, rule::minimum>{});
}

TEST_SUITE_END();
