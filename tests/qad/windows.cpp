// SPDX-License-Identifier: Apache-2.0
#include "qad/windows.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "llm/conversations.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/top_k_writer.hpp>

namespace er = edgerazor;

namespace {

/// Texts of random sizes up to `longest`; every third token and the last are learned. Token t of
/// text i is 1000 i + t.
qad::text_source source_of(std::string name, double weight, std::size_t count, std::size_t longest,
                           unsigned seed) {
  std::mt19937 random(seed);
  qad::text_source result{std::move(name), weight, {}};
  for (std::size_t i = 0; i < count; ++i) {
    qad::labelled_text text;
    const std::size_t size = 2 + random() % (longest - 1);
    for (std::size_t t = 0; t < size; ++t) {
      const auto token = static_cast<qad::token_id>(1000 * i + t);
      text.tokens.push_back(token);
      text.labels.push_back(t % 3 == 2 || t + 1 == size ? token : qad::no_label);
    }
    result.texts.push_back(std::move(text));
  }
  return result;
}

struct copied {
  std::vector<qad::token_id> tokens, labels;
  std::size_t source;
  bool operator==(const copied&) const = default;
};
copied copy_of(const qad::window& one) {
  return {
      {one.tokens.begin(), one.tokens.end()}, {one.labels.begin(), one.labels.end()}, one.source};
}

std::string file_with(const temporary_folder& folder, const char* name, std::string_view text) {
  write_bytes(folder / name, std::as_bytes(std::span{text}));
  return (folder / name).string();
}

}  // namespace

TEST_CASE("every text is in one window a round, whole, and nothing else is learned") {
  const unsigned seed = 5;
  CAPTURE(seed);
  const qad::text_source source = source_of("a", 1, 60, 40, seed);
  qad::windows draw({source}, 32, 9);
  const std::size_t count = draw.account_of(0).windows;
  std::size_t tokens = 0, learned = 0;
  for (const qad::labelled_text& text : source.texts) {
    tokens += text.tokens.size();
    for (std::size_t i = 0; i < text.tokens.size(); ++i)
      learned += i % 32 != 0 && text.labels[i] != qad::no_label;
  }
  // Parts in which nothing is learned are left out: those of one token.
  CHECK(draw.account_of(0).tokens <= tokens);
  CHECK(draw.account_of(0).learned == learned);
  // Best-fit decreasing leaves little: two thirds of every window but one, at worst.
  CHECK(count <= 3 * tokens / (2 * 32) + 1);
  for (std::size_t round = 0; round < 3; ++round) {
    std::map<qad::token_id, int> seen;
    std::size_t seen_learned = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const qad::window one = draw(round * count + i);
      REQUIRE(one.tokens.size() == 32);
      std::size_t at = 0;
      for (const qad::segment& part : one.segments) {
        CHECK(part.begin == at);  // without a gap
        at = part.end;
        for (std::size_t t = part.begin; t < part.end; ++t) {
          const auto expected =
              static_cast<qad::token_id>(1000 * part.text + part.offset + t - part.begin);
          CHECK(one.tokens[t] == expected);
          const qad::token_id label = source.texts[part.text].labels[part.offset + t - part.begin];
          CHECK(one.labels[t] == (t == part.begin ? qad::no_label : label));
          seen_learned += one.labels[t] != qad::no_label;
          ++seen[expected];
        }
      }
      CHECK(at <= 32);
      for (; at < 32; ++at) CHECK((one.tokens[at] == 0 && one.labels[at] == qad::no_label));
    }
    CHECK(seen.size() == draw.account_of(0).tokens);
    CHECK(std::ranges::all_of(seen, [](const auto& item) { return item.second == 1; }));
    CHECK(seen_learned == learned);
  }
}

TEST_CASE("window n is the same whenever it is asked for") {
  const auto made = [](std::uint64_t seed) {
    return qad::windows({source_of("a", 1, 30, 20, 1), source_of("b", 3, 50, 20, 2)}, 24, seed);
  };
  qad::windows in_order = made(3), other = made(4);
  std::vector<copied> all;
  for (std::uint64_t n = 0; n < 60; ++n) all.push_back(copy_of(in_order(n)));
  for (const std::uint64_t n : {59, 0, 17, 17, 18, 3}) {
    CHECK(copy_of(in_order(n)) == all[n]);
    CHECK(copy_of(made(3)(n)) == all[n]);
  }
  std::size_t different = 0;
  for (std::uint64_t n = 0; n < 60; ++n) different += !(copy_of(other(n)) == all[n]);
  CHECK(different > 30);
  // Rounds are in different orders.
  qad::windows one({source_of("a", 1, 30, 20, 1)}, 24, 3);
  const std::size_t count = one.account_of(0).windows;
  std::size_t moved = 0;
  for (std::uint64_t n = 0; n < count; ++n) {
    const copied first = copy_of(one(n));
    moved += !(first == copy_of(one(n + count)));
  }
  CHECK(moved > 0);
}

TEST_CASE("sources are drawn by weight") {
  qad::windows draw({source_of("a", 1, 8, 20, 1), source_of("b", 3, 50, 20, 2)}, 24, 3);
  constexpr std::size_t count = 4000;
  std::array<std::size_t, 2> drawn{};
  for (std::uint64_t n = 0; n < count; ++n) ++drawn[draw(n).source];
  // Five standard deviations of a binomial distribution: sqrt(4000 * 1/4 * 3/4) = 27.4. The seed
  // is fixed: this holds or not.
  CHECK(drawn[0] > 1000 - 137);
  CHECK(drawn[0] < 1000 + 137);
}

TEST_CASE("sources that can't be drawn from are refused by name") {
  const qad::text_source good = source_of("a", 1, 3, 20, 1);
  const auto refuses = [](std::vector<qad::text_source> sources, std::size_t length,
                          const char* sentence) {
    CHECK_THROWS_WITH_AS(qad::windows(std::move(sources), length, 1), doctest::Contains(sentence),
                         std::invalid_argument);
  };
  refuses({}, 8, "no source of text");
  refuses({good}, 1, "fewer than 2 tokens");
  refuses({good, {"empty.jsonl", 1, {}}}, 8, "nothing to learn in 'empty.jsonl'");
  refuses({{"mute", 1, {{{1, 2}, {qad::no_label, qad::no_label}}, {{1}, {1}}}}}, 8,
          "nothing to learn in 'mute'");
  for (const double weight : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity()}) {
    qad::text_source bad = good;
    bad.weight = weight;
    refuses({bad}, 8, "the weight of 'a' is");
  }
}

TEST_CASE("a command line names a source and its weight") {
  CHECK(qad::parse_source("a.jsonl").path == "a.jsonl");
  CHECK(qad::parse_source("a.jsonl").weight == 1);
  CHECK(qad::parse_source("a=b.jsonl=0.25").path == "a=b.jsonl");
  CHECK(qad::parse_source("a=b.jsonl=0.25").weight == 0.25);
  for (const char* const bad : {"a=", "a=0", "a=-1", "a=nan", "a=x", "=1"})
    CHECK_THROWS_AS((void)qad::parse_source(bad), std::invalid_argument);
}

TEST_CASE("files are sources: conversations, text, and a teacher's top k") {
  const temporary_folder folder;
  llm::vocabulary data = byte_vocabulary("");
  data.eos = 257;
  const llm::tokenizer words(std::move(data));
  const llm::chat_format format = qad::layout_of(words, false);
  const qad::conversation_rules rules{.system = "", .longest = 100, .ends = false};

  const std::string talk = file_with(
      folder, "a.jsonl",
      R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]})"
      "\n");
  const qad::text_source conversations = qad::read_source({talk, 2}, words, &format, rules);
  CHECK(conversations.weight == 2);
  REQUIRE(conversations.texts.size() == 1);
  CHECK(conversations.texts[0].learned() == 3);  // y, its end, a line feed
  CHECK_THROWS_AS((void)qad::read_source({talk, 1}, words, nullptr, rules), std::invalid_argument);

  const std::string plain = file_with(folder, "b.txt", std::string(250, 'z'));
  CHECK(qad::read_source({plain, 1}, words, nullptr, rules).texts.size() == 3);
  CHECK_THROWS_AS((void)qad::read_source({(folder / "none").string(), 1}, words, nullptr, rules),
                  er::io_error);

  const std::string path = (folder / "c.topk").string();
  const auto fill = [&](er::top_k_writer& writer) {
    for (std::int32_t s = 0; s < 5; ++s) {
      std::vector<std::int32_t> tokens, labels, ids;
      std::vector<float> logs;
      for (std::int32_t t = 0; t < 6 + s; ++t) {
        tokens.push_back(10 * s + t);
        labels.push_back(t < 2 ? -100 : 10 * s + t);
        ids.insert(ids.end(), {10 * s + t, t < 2 ? -1 : 200});
        logs.insert(logs.end(), {-1, -2});
      }
      if (s == 4) std::ranges::fill(ids, -1);
      writer.add(tokens, labels, {ids.data(), tokens.size(), std::size_t{2}},
                 {logs.data(), tokens.size(), std::size_t{2}});
    }
  };
  {
    er::top_k_writer writer(path, 2, 258);
    fill(writer);
  }
  const er::top_k_file file = er::top_k_file::open(path);
  qad::windows draw({qad::read_source({path, 1}, words, nullptr, rules)}, 16, 1);
  std::vector<std::int32_t> ids(32);
  std::vector<float> logs(32);
  std::size_t rows = 0;
  for (std::uint64_t n = 0; n < draw.account_of(0).windows; ++n) {
    const qad::window one = draw(n);
    qad::read_teacher(one, file, {ids.data(), 16, 2}, {logs.data(), 16, 2});
    for (const qad::segment& part : one.segments) {
      for (std::size_t t = part.begin; t < part.end; ++t, ++rows) {
        const bool asked = part.text != 4;
        CHECK(ids[2 * t] == (asked ? one.tokens[t] : -1));
        CHECK(logs[2 * t] == (asked ? -1 : 0));
        if (asked) CHECK(ids[2 * t + 1] == (t - part.begin < 2 ? -1 : 200));
      }
    }
    for (std::size_t t = one.segments.back().end; t < 16; ++t) CHECK(ids[2 * t] == -1);
    CHECK_THROWS_AS(qad::read_teacher(one, file, {ids.data(), 8, 2}, {logs.data(), 16, 2}),
                    std::invalid_argument);
  }
  CHECK(rows == 6 + 7 + 8 + 9 + 10);
  {
    er::top_k_writer writer(path, 2, 257);  // fewer tokens than the model has
  }
  CHECK_THROWS_WITH_AS((void)qad::read_source({path, 1}, words, nullptr, rules),
                       doctest::Contains("has a vocabulary of 257, and the model one of 258"),
                       er::io_error);
}
