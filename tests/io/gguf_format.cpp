// SPDX-License-Identifier: Apache-2.0
// What a name may be, and arithmetic on sizes that a file claims.
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <edgerazor/io/gguf_format.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("io/gguf_format");

TEST_CASE("names are UTF-8 without NUL") {
  for (const char* good :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(er::detail::io::is_valid_name(good));
  }
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf",
                          "\xed\xa0\x80", "\xed\xbf\xbf", "\xef\xbf", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xf0\x90\x80"}) {
    CHECK_FALSE(er::detail::io::is_valid_name(bad));
  }
  CHECK_FALSE(er::detail::io::is_valid_name(std::string_view{"a\0b", 3}));
}

TEST_CASE("sizes that exceed the machine's are seen, whatever they wrap to") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(er::detail::io::checked_align(33, 32) == std::size_t{64});
  CHECK(er::detail::io::checked_align(most - 31, 32) == most - 31);
  CHECK_FALSE(er::detail::io::checked_align(most - 30, 32));
}

TEST_CASE("a name in an error message is short and printable") {
  CHECK(er::detail::io::quoted("blk.0.w") == "'blk.0.w'");
  CHECK(er::detail::io::quoted(std::string_view{"a\0\x1b\x7f\xc3\xa9", 6}) ==
        "'a\\x00\\x1b\\x7f\xc3\xa9'");
  CHECK(er::detail::io::quoted(std::string(81, 'x')) == "'" + std::string(80, 'x') + "...'");
}

TEST_SUITE_END();
