// SPDX-License-Identifier: Apache-2.0
#include "llm/unicode.hpp"

#include <string>

#include <doctest/doctest.h>

TEST_CASE("characters are letters, numbers, white space or others") {
  using enum llm::character_kind;
  for (const std::uint32_t code : {0x41u, 0xaau, 0x3b1u, 0x5d0u, 0x1c5u, 0x2b0u, 0x4e00u, 0x1d4b3u})
    CHECK(llm::kind_of(code) == letter);
  for (const std::uint32_t code : {0x30u, 0xb2u, 0xbdu, 0x661u, 0x2167u, 0x1d7ceu})
    CHECK(llm::kind_of(code) == number);
  // The property White_Space, whole.
  std::string all;
  for (std::uint32_t code = 0; code < 0x110000; ++code) {
    if (llm::kind_of(code) == white_space) all += std::to_string(code) + " ";
  }
  CHECK(all ==
        "9 10 11 12 13 32 133 160 5760 8192 8193 8194 8195 8196 8197 8198 8199 8200 8201 8202 8232 "
        "8233 8239 8287 12288 ");
  for (const std::uint32_t code :
       {0u, 0x24u, 0x200bu, 0x301u, 0xfffdu, 0x1f600u, 0xe000u, 0x10ffffu})
    CHECK(llm::kind_of(code) == other);
}

TEST_CASE("form C composes, puts marks in order, and leaves what it may not compose") {
  CHECK(llm::composed("") == "");
  CHECK(llm::composed("plain ASCII\n") == "plain ASCII\n");
  CHECK(llm::composed("e\u0301x") == "\u00e9x");
  CHECK(llm::composed("\u00e9") == "\u00e9");
  // A dot below comes before a circumflex, whichever came first.
  CHECK(llm::composed("a\u0302\u0323") == "\u1ead");
  CHECK(llm::composed("a\u0323\u0302") == "\u1ead");
  CHECK(llm::composed("\u1100\u1161\u11a8") == "\uac01");  // Hangul
  CHECK(llm::composed("\u212b\u2126") == "\u00c5\u03a9");  // singletons
  CHECK(llm::composed("\u0958") == "\u0915\u093c");        // excluded from composition
  CHECK(llm::composed("\ufb01") == "\ufb01");              // compatibility alone
  CHECK(llm::composed("\u0301") == "\u0301");
  CHECK(llm::composed(std::string("a\0e\u0301", 5)) == std::string("a\0\u00e9", 4));
}

TEST_CASE("bytes that are not UTF-8 stay, and stand between marks and letters") {
  CHECK(llm::composed("\xff") == "\xff");
  CHECK(llm::composed("e\xff"
                      "e\u0301\xc3") == "e\xff\u00e9\xc3");
  CHECK(llm::composed("e\xff\u0301") == "e\xff\u0301");
  CHECK(llm::composed("\ufffde\u0301") == "\ufffd\u00e9");
}

TEST_CASE("a long run of marks out of order takes no quadratic time") {
  std::string text = "a", marks = "a", above, below;
  for (int i = 0; i < 200'000; ++i) {
    text += "\u0301\u0323";  // minutes, if each were carried past all before it
    below += "\u0323";
    above += "\u0301";
  }
  CHECK(llm::composed(text) == "\u1ea1" + below.substr(2) + above);
}
