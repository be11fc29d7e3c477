// SPDX-License-Identifier: Apache-2.0
#include "llm/marker_set.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace {

/// The stretches as text, markers in brackets.
std::string shown(const llm::marker_set& set, const std::string& text, int refused = -1) {
  std::string result;
  std::size_t at = 0;
  for (const auto& part : set.split(text, [refused](std::int32_t token, std::size_t, std::size_t) {
         return token != refused;
       })) {
    CHECK(part.begin == at);
    CHECK(part.end > part.begin);
    at = part.end;
    const std::string name = part.marker < 0 ? "" : std::to_string(part.marker) + ":";
    result += "[" + name + text.substr(part.begin, part.end - part.begin) + "]";
  }
  CHECK(at == text.size());
  return result;
}

}  // namespace

TEST_CASE("the leftmost marker is found, and there the longest") {
  const llm::marker_set set({{"ab", 1, false, false},
                             {"abcd", 2, false, false},
                             {"bcde", 3, false, false},
                             {"x", 4, false, false},
                             {"ab", 5, false, false}});
  CHECK(shown(set, "") == "");
  CHECK(shown(set, "none") == "[none]");
  CHECK(shown(set, "abcde") == "[2:abcd][e]");
  CHECK(shown(set, "abcx") == "[1:ab][c][4:x]");
  CHECK(shown(set, "abc") == "[1:ab][c]");
  CHECK(shown(set, "aabab") == "[a][1:ab][1:ab]");
  CHECK(shown(set, "abcde", 2) == "[1:ab][cde]");
  CHECK(shown(set, "abcde", 1) == "[2:abcd][e]");
  CHECK(shown(llm::marker_set{}, "abc") == "[abc]");
  const llm::marker_set bytes({{"\xff\x80", 1, false, false}, {"\x7f", 2, false, false}});
  CHECK(shown(bytes, "a\xff\x80\x7f") == "[a][1:\xff\x80][2:\x7f]");
}

TEST_CASE("white space beside a marker is its own where it takes it") {
  const llm::marker_set set({{"L", 1, true, false}, {"R", 2, false, true}, {"B", 3, true, true}});
  CHECK(shown(set, "a \u3000\tL b") == "[a][1: \u3000\tL][ b]");
  CHECK(shown(set, "a R\u00a0\n b") == "[a ][2:R\u00a0\n ][b]");
  CHECK(shown(set, " B ") == "[3: B ]");
  CHECK(shown(set, "R L") == "[2:R ][1:L]");
  CHECK(shown(set, "\u00e9L\u200b") == "[\u00e9][1:L][\u200b]");
}
