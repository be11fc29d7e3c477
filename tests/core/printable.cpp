// SPDX-License-Identifier: Apache-2.0
/// What a message shows of a stranger's text: never a control, always UTF-8, never long.
#include <random>
#include <string>

#include <doctest/doctest.h>

#include <edgerazor/core/printable.hpp>

namespace er = edgerazor;

TEST_SUITE_BEGIN("core/printable");

TEST_CASE("text that can be read stays, in any script") {
  CHECK(er::printable("") == "");
  CHECK(er::printable("blk.0.ffn_up.weight") == "blk.0.ffn_up.weight");
  CHECK(er::printable("gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x99\x82 C:\\x") ==
        "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x99\x82 C:\\x");
  CHECK(er::quoted("a") == "'a'");
}

TEST_CASE("controls and what is not UTF-8 are shown by their bytes") {
  CHECK(er::printable("\x1b[2J\x1b]0;title\x07") == "\\x1b[2J\\x1b]0;title\\x07");
  CHECK(er::printable(std::string_view{"a\0b\n\r\t\x7f", 7}) == "a\\x00b\\x0a\\x0d\\x09\\x7f");
  CHECK(er::printable("\xc2\x9b"
                      "2J") == "\\xc2\\x9b2J");  // CSI of C1
  CHECK(er::printable("\xe2\x80\xae"
                      "fdp.exe") ==
        "\\xe2\\x80\\xae"
        "fdp.exe");  // from right to left
  CHECK(er::printable("\xe2\x80\xa8\xe2\x81\xa6") == "\\xe2\\x80\\xa8\\xe2\\x81\\xa6");
  for (const char* bad : {"\x80", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xe2\x82", "\xc3"}) {
    for (const char c : er::printable(bad)) CHECK((c >= 0x20 && c < 0x7f));
  }
}

TEST_CASE("long text is cut at a character") {
  CHECK(er::printable(std::string(80, 'x')) == std::string(80, 'x'));
  CHECK(er::printable(std::string(81, 'x')) == std::string(80, 'x') + "...");
  CHECK(er::printable("abcd\xc3\xbc", 5) == "abcd...");
  CHECK(er::printable("abcd\xc3\xbc", 6) == "abcd\xc3\xbc");
  CHECK(er::quoted(std::string(1'000'000, '\x1b')).size() == 2 + 4 * 80 + 3);
}

TEST_CASE("whatever the bytes, the result is UTF-8 without controls") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto i = random() % 40; i > 0; --i)
      text += static_cast<char>(random() % 3 == 0 ? 0xe2 : random());
    const std::string shown = er::printable(text);
    CAPTURE(round);
    for (std::size_t at = 0; at < shown.size();) {
      const std::size_t size = er::detail::core::utf8_size(std::string_view{shown}.substr(at));
      REQUIRE(size > 0);
      CHECK_FALSE(er::detail::core::is_control(std::string_view{shown}.substr(at, size)));
      at += size;
    }
    CHECK(er::printable(shown, shown.size()) == shown);
  }
}

TEST_SUITE_END();
