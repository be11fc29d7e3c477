// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "llm/utf8.hpp"
#include "qad/byte_pair_training.hpp"
#include "small_run.hpp"

namespace {

/// The definition: pairs counted anew for each merge.
std::vector<std::string> merges_by_definition(const std::string& text, std::size_t size) {
  std::vector<std::string> names, merges;
  for (const std::uint32_t code : llm::byte_alphabet())
    llm::append_utf8(names.emplace_back(), code);
  std::unordered_map<std::string, std::size_t> ids;
  for (std::size_t i = 0; i < names.size(); ++i) ids[names[i]] = i;
  std::vector<std::vector<std::size_t>> words;
  for (const std::string_view word : llm::split_words(llm::pre_tokenizer::gpt2, text)) {
    words.emplace_back();
    for (const char c : word) words.back().push_back(static_cast<unsigned char>(c));
  }
  while (names.size() + 1 < size) {
    std::map<std::pair<std::size_t, std::size_t>, std::size_t> counts;
    for (const auto& word : words) {
      for (std::size_t i = 1; i < word.size(); ++i) ++counts[{word[i - 1], word[i]}];
    }
    std::pair<std::size_t, std::size_t> best;
    std::size_t most = 1;
    for (const auto& entry : counts) {  // in order of left, then right: the first of equals stays
      if (entry.second > most) {
        best = entry.first;
        most = entry.second;
      }
    }
    if (most < 2) break;
    merges.push_back(names[best.first] + " " + names[best.second]);
    const std::string joined = names[best.first] + names[best.second];
    if (ids.try_emplace(joined, names.size()).second) names.push_back(joined);
    for (auto& word : words) {
      std::vector<std::size_t> shorter;
      for (std::size_t i = 0; i < word.size(); ++i) {
        const bool here =
            i + 1 < word.size() && word[i] == best.first && word[i + 1] == best.second;
        shorter.push_back(here ? ids[joined] : word[i]);
        i += here ? 1 : 0;
      }
      word = std::move(shorter);
    }
  }
  return merges;
}

}  // namespace

TEST_CASE("merges are those of counting anew") {
  // Runs of one letter overlap themselves; "abc" arises from "ab" + "c" and from "a" + "bc".
  const std::string runs = "aaaa aaaaa aa abcabc abc bc bcbc bca ab ab aab\n\n\n  x  y aaaa aaa\n";
  for (const std::string& text : {runs, small_text(3000), runs + small_text(500) + runs}) {
    CAPTURE(text);
    for (const std::size_t size : {257, 258, 263, 300, 400}) {
      CAPTURE(size);
      CHECK(qad::train_byte_pairs(text, size).merges == merges_by_definition(text, size));
    }
  }
}

TEST_CASE("two merges by hand") {
  // Words "aab", " aab", " ab": the pair a b occurs 3 times, then a + ab twice, "aab" behind a
  // space once, " a" once.
  const llm::vocabulary words = qad::train_byte_pairs("aab aab ab", 259);
  CHECK(words.merges == std::vector<std::string>{"a b", "a ab"});
  REQUIRE(words.tokens.size() == 259);
  CHECK(words.tokens[256] == "ab");
  CHECK(words.tokens[257] == "aab");
}

TEST_CASE("a vocabulary encodes any text, in fewer tokens than bytes") {
  const std::string text = small_text(3000);
  const llm::tokenizer tokens(qad::train_byte_pairs(text, 300));
  CHECK(tokens.size() == 300);
  for (const std::string& sample :
       {text, std::string{"never seen: \xc3\xa4\xf0\x9f\x98\x80\r\n\t\x01"}}) {
    std::string back;
    for (const llm::token_id id : tokens.encode(sample, llm::tokenizer::markup::plain))
      back += tokens.bytes_of(id);
    CHECK(back == sample);
  }
  CHECK(tokens.encode(text, llm::tokenizer::markup::plain).size() < text.size() / 2);
  REQUIRE(tokens.data().eos.has_value());
  CHECK(*tokens.data().eos == 299);
  CHECK(tokens.is_control(299));
  CHECK(tokens.bytes_of(299) == qad::end_of_text);
}

TEST_CASE(
    "a text with few pairs gives a small vocabulary, and a vocabulary holds the bytes at least") {
  CHECK(qad::train_byte_pairs("", 1000).tokens.size() == 257);
  CHECK(qad::train_byte_pairs("abab", 1000).tokens.size() == 258);
  CHECK_THROWS_AS(qad::train_byte_pairs("abab", 256), std::invalid_argument);
}
