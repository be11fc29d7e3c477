// SPDX-License-Identifier: Apache-2.0
/// The exponentials of the losses against long double.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <doctest/doctest.h>

#include <edgerazor/distill/row/exp_impl.hpp>

namespace row = edgerazor::detail::row;

TEST_SUITE_BEGIN("distill/row/exp");

TEST_CASE("e^x in double is within 2 ulp, and right where it ends") {
  using reals = row::doubles;
  long double worst = 0;
  for (int i = -707000; i < 708000; i += 7) {
    const double x = i * 1e-3 + i * 1e-10;
    const long double exact = std::exp(static_cast<long double>(x));
    const double result = row::exp(reals{x}).get(0);
    worst = std::max(worst, std::fabs(static_cast<long double>(result) - exact) / exact);
  }
  CHECK(worst <= 2 * 0x1p-52L);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(row::exp(reals{0.0}).get(0) == 1);
  CHECK(row::exp(reals{-infinity}).get(0) == 0);
  CHECK(row::exp(reals{-1e300}).get(0) == 0);
  CHECK(row::exp(reals{infinity}).get(0) == infinity);
  CHECK(row::exp(reals{710.0}).get(0) == infinity);
  CHECK(std::isnan(row::exp(reals{std::numeric_limits<double>::quiet_NaN()}).get(0)));
}

TEST_CASE("2^x in float is within 1.5 ulp, and 0 where it ends") {
  using reals = row::floats;
  long double worst = 0;
  for (int i = -126000; i <= 126000; ++i) {
    const float x = static_cast<float>(i) * 1e-3f;
    const long double exact = std::exp2(static_cast<long double>(x));
    const float result = row::exp2_approx(reals{x}).get(0);
    worst = std::max(worst, std::fabs(static_cast<long double>(result) - exact) / exact);
  }
  CHECK(worst <= 1.5L * 0x1p-23L);
  CHECK(row::exp2_approx(reals{0.0f}).get(0) == 1);
  CHECK(row::exp2_approx(reals{-127.0f}).get(0) == 0);
  CHECK(row::exp2_approx(reals{-std::numeric_limits<float>::infinity()}).get(0) == 0);
}

TEST_SUITE_END();
