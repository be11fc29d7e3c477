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

TEST_CASE("sizes: a product that exceeds the machine's is seen, whatever it wraps to") {
  using er::detail::core::checked_product;
  using er::detail::core::size_product;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max(), none = 0, two = 2;
  constexpr std::size_t half = std::size_t{1} << (std::numeric_limits<std::size_t>::digits / 2);
  CHECK(checked_product(half, half - 1) == half * (half - 1));
  CHECK_FALSE(checked_product(half, half));
  CHECK(checked_product(most, none) == none);
  CHECK(checked_product(most) == most);
  CHECK(checked_product(half / 2, two, half - 1) == half * (half - 1));
  CHECK_FALSE(checked_product(half, two, half / 2));
  CHECK_FALSE(checked_product(most, most, two));
  // A factor of zero, wherever it stands.
  CHECK(checked_product(half, half, none) == none);
  CHECK(checked_product(none, half, half) == none);
  CHECK(size_product("a thing", two, half) == two * half);
  CHECK_THROWS_WITH_AS((void)size_product("a thing", std::size_t{1} << 63, two, std::size_t{3}),
                       "a thing: 9223372036854775808 x 2 x 3 is too large", std::invalid_argument);
}

TEST_SUITE_END();
