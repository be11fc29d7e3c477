// SPDX-License-Identifier: Apache-2.0
/// Extents of any integral type as std::size_t.
#include <cstddef>
#include <limits>
#include <stdexcept>

#include <doctest/doctest.h>

#include <edgerazor/core/extent.hpp>

namespace er = edgerazor;

static_assert(er::detail::core::extent(7, "x") == std::size_t{7} &&
              er::detail::core::extent(std::numeric_limits<std::size_t>::max(), "x") ==
                  std::numeric_limits<std::size_t>::max());
static_assert(noexcept(er::detail::core::extent(7u, "x")) &&
              !noexcept(er::detail::core::extent(7, "x")));

TEST_SUITE_BEGIN("core/extent");

TEST_CASE("extent: a negative number is refused by name") {
  CHECK(er::detail::core::extent(std::numeric_limits<int>::max(), "x") == 2147483647u);
  CHECK_THROWS_WITH_AS((void)er::detail::core::extent(-1, "thing: rows"),
                       "thing: rows is -1, expected at least 0", std::invalid_argument);
  CHECK_THROWS_WITH_AS((void)er::detail::core::extent(static_cast<signed char>(-128), "n"),
                       "n is -128, expected at least 0", std::invalid_argument);
}

TEST_SUITE_END();
