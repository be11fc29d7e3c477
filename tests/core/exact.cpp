// SPDX-License-Identifier: Apache-2.0
/// The operations are those of float, in constant expressions too. That no flag changes them is
/// what tests/flags/ is for.
#include <cmath>

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

TEST_SUITE_END();
