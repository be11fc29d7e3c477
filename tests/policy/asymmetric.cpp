// SPDX-License-Identifier: Apache-2.0
/// The asymmetric grid by hand.
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

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

TEST_SUITE_END();
