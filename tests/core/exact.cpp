// SPDX-License-Identifier: Apache-2.0
/// The operations are those of float, in constant expressions too. That no flag changes them is
/// what tests/flags/ is for.
#include <cmath>
#include <initializer_list>

#include <doctest/doctest.h>

#include <edgerazor/core/exact.hpp>

namespace core = edgerazor::detail::core;

static_assert(core::exact(0.1f) == 0.1f && core::exact(0.1) == 0.1);
static_assert(core::quotient(1.0f, 3.0f) == 1.0f / 3.0f);

TEST_SUITE_BEGIN("core/exact");

TEST_CASE("exact, quotient, fused: round once") {
  volatile float a = 0x1.000002p0f, b = 0x1.000002p0f, third = 3;
  CHECK(core::exact(a * b) == 0x1.000004p0f);
  CHECK(core::fused(a, b, -1.0f) == 0x1.000001p-22f);  // 2^-22 + 2^-46; a product rounds that off
  CHECK(core::quotient(1.0f + 0 * third, static_cast<float>(third)) == 0x1.555556p-2f);
  CHECK(core::quotient(-INFINITY, 2.0f) == -INFINITY);
}

TEST_CASE("exact: the root of a float is the correctly rounded one") {
  for (const float x : {0.0f, 1.0f, 2.0f, 3.0f, 7.0f, 448.0f, 0x1.fffffep0f, 1e-45f, 3.4e38f}) {
    const float root = core::square_root(x);
    // At most half an ulp off: x lies between the squares of the middles to both neighbours.
    const double low = (static_cast<double>(root) + std::nextafter(root, 0.0f)) / 2,
                 high = (static_cast<double>(root) + std::nextafter(root, 3e38f)) / 2;
    CHECK(low * low <= static_cast<double>(x));
    CHECK(static_cast<double>(x) <= high * high);
  }
}

TEST_SUITE_END();
