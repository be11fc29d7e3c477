// SPDX-License-Identifier: Apache-2.0
#include "qad/text.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "small_run.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

std::string file_with(const temporary_folder& folder, const char* name, std::string_view text) {
  write_bytes(folder / name, std::as_bytes(std::span{text}));
  return (folder / name).string();
}

}  // namespace

TEST_CASE("verses become chapters of one line") {
  CHECK(qad::join_verses(
            "Ge1:1 In the beginning.\nGe1:2 And: the earth.\nGe2:1 Thus.\n1Sm2:1 And Hannah.\n") ==
        "In the beginning. And: the earth.\nThus.\nAnd Hannah.\n");
  CHECK(qad::join_verses("Ge1:1 One\nnot a verse\n\nGe1:2 Two") == "One Two\n");
  CHECK(qad::join_verses("").empty());
}

TEST_CASE("files are read one after the other, each a line of its own") {
  const temporary_folder folder;
  const std::string a = file_with(folder, "a", "one"), b = file_with(folder, "b", "two\n"),
                    c = file_with(folder, "c", "\xef\xbf\xbd three \xc3\xa9");
  CHECK(qad::read_text({a, b, c}) == "one\ntwo\n\xef\xbf\xbd three \xc3\xa9");
}

TEST_CASE("files that are no text are refused") {
  const temporary_folder folder;
  CHECK_THROWS_AS(qad::read_text({(folder / "missing").string()}), edgerazor::io_error);
  CHECK_THROWS_AS(qad::read_text({file_with(folder, "empty", "")}), edgerazor::io_error);
  CHECK_THROWS_WITH_AS(qad::read_text({file_with(folder, "latin", "caf\xe9 noir")}),
                       doctest::Contains("at byte 3"), edgerazor::io_error);
}

TEST_CASE("every fifth block is for validation, and blocks end with lines") {
  const std::string text = small_text(10'000);
  const qad::divided_text parts = qad::divide(text, {.block = 200, .every = 5});
  CHECK(parts.training.size() + parts.validation.size() == text.size());
  // Putting the blocks together again gives the text.
  std::string joined;
  std::size_t training = 0, validation = 0;
  for (std::size_t index = 0; joined.size() < text.size(); ++index) {
    const bool kept = index % 5 == 4;
    const std::string& source = kept ? parts.validation : parts.training;
    std::size_t& at = kept ? validation : training;
    REQUIRE(at < source.size());
    const std::size_t end =
        std::min(source.find('\n', at + 199), source.size() - 1);  // the last block may be short
    joined += source.substr(at, end + 1 - at);
    at = end + 1;
  }
  CHECK(joined == text);
  CHECK(parts.validation.size() > text.size() / 6);
  CHECK(parts.validation.size() < text.size() / 4);
}

TEST_CASE("a text of too few blocks can't be divided") {
  CHECK_THROWS_AS(qad::divide("one line without an end"), std::invalid_argument);
  CHECK_THROWS_AS(qad::divide(small_text(1000), {.block = 200, .every = 20}),
                  std::invalid_argument);
  CHECK_THROWS_AS(qad::divide(small_text(1000), {.block = 200, .every = 1}), std::invalid_argument);
}

TEST_CASE("windows are stretches of the text that a step's number decides") {
  std::vector<qad::token_id> text(101);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<qad::token_id>(i);
  qad::batches some(text, 3, 8, 42), again(text, 3, 8, 42), other(text, 3, 8, 43);
  std::set<qad::token_id> starts;
  std::size_t differ = 0;
  for (std::uint64_t step = 0; step < 2000; ++step) {
    const auto rows = some(step);
    REQUIRE(rows.size() == 3 * 9);
    for (std::size_t i = 0; i < rows.size(); ++i)
      REQUIRE(rows[i] == rows[i / 9 * 9] + static_cast<int>(i % 9));
    for (std::size_t row = 0; row < 3; ++row) starts.insert(rows[row * 9]);
    differ += std::ranges::equal(rows, other(step)) ? 0 : 1;
  }
  // 6000 draws of 93 starts: one is missing with probability 93 * (92/93)^6000 < 1e-26.
  CHECK(starts.size() == 93);
  CHECK(*starts.rbegin() == 92);
  CHECK(differ > 1990);
  const auto late = some(1234);
  CHECK(std::ranges::equal(late, again(1234)));
  CHECK_THROWS_AS(qad::batches(std::span{text}.first(8), 1, 8, 1), std::invalid_argument);
}

TEST_CASE("a corpus is its text in tokens") {
  qad::run_options options = small_options();
  const qad::corpus corpus = small_corpus(options);
  const qad::divided_text parts = qad::divide(small_text(6000), options.split);
  const auto text_of = [&](const std::vector<qad::token_id>& tokens) {
    std::string text;
    for (const qad::token_id token : tokens) text += corpus.tokenizer.bytes_of(token);
    return text;
  };
  CHECK(text_of(corpus.training) == parts.training);
  CHECK(text_of(corpus.validation) == parts.validation);
}
