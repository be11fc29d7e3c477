// SPDX-License-Identifier: Apache-2.0
#include "llm/tokenizer.hpp"

#include <limits>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "llm/pre_tokenizer.hpp"
#include "llm/utf8.hpp"
#include "support/golden.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

llm::vocabulary vocabulary_of(const nlohmann::json& data, const std::string& rule) {
  llm::vocabulary result;
  result.tokens = data["tokens"].get<std::vector<std::string>>();
  result.types = data["types"].get<std::vector<std::int32_t>>();
  result.merges = data["merges"].get<std::vector<std::string>>();
  result.words = *llm::parse_pre_tokenizer(rule);
  result.whole_words_first = rule == "llama-bpe";
  return result;
}

/// Bytes a, b, c, then ab, abc, and a control token.
llm::vocabulary small_vocabulary() {
  llm::vocabulary result;
  result.tokens = {"a", "b", "c", "ab", "abc", "<|end|>"};
  result.types = {1, 1, 1, 1, 1, 3};
  result.merges = {"a b", "ab c"};
  return result;
}

}  // namespace

TEST_CASE("words are those of the published regular expressions") {
  const nlohmann::json data = golden::load("tokenizer.json");
  for (const char* rule : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    CAPTURE(rule);
    for (const nlohmann::json& item : data["cases"]) {
      const std::string text = item["text"];
      CAPTURE(text);
      std::vector<std::string> words;
      for (const std::string_view word : llm::split_words(*llm::parse_pre_tokenizer(rule), text))
        words.emplace_back(word);
      CHECK(words == item["words"][rule].get<std::vector<std::string>>());
    }
  }
}

TEST_CASE("tokens are llama.cpp's, and their bytes give the text back") {
  const nlohmann::json data = golden::load("tokenizer.json");
  for (const char* rule : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    CAPTURE(rule);
    const llm::tokenizer words(vocabulary_of(data, rule));
    for (const nlohmann::json& item : data["cases"]) {
      const std::string text = item["text"];
      CAPTURE(text);
      using enum llm::tokenizer::markup;
      for (const auto mode : {plain, control_tokens}) {
        const char* const name = mode == plain ? "plain" : "control_tokens";
        CAPTURE(name);
        const std::vector<llm::token_id> tokens = words.encode(text, mode);
        CHECK(tokens == item[name][rule].get<std::vector<llm::token_id>>());
        std::string bytes;
        for (const llm::token_id token : tokens) bytes += words.bytes_of(token);
        CHECK(bytes == text);
      }
    }
  }
}

TEST_CASE("any bytes survive, UTF-8 or not") {
  const llm::tokenizer words(vocabulary_of(golden::load("tokenizer.json"), "smollm"));
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 200; ++i) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random());
    std::string bytes;
    for (const llm::token_id token : words.encode(text, llm::tokenizer::markup::plain))
      bytes += words.bytes_of(token);
    CHECK(bytes == text);
  }
}

TEST_CASE("a word of a million symbols takes fewer than three looks at pairs for each") {
  std::size_t looks = 0;
  // 0 0 merges to 1, 1 1 to 2 and so on: as many merges as there can be.
  const auto find = [&looks](std::int32_t left, std::int32_t right) {
    ++looks;
    return left == right
               ? std::optional{llm::merge_result{static_cast<std::uint32_t>(left), left + 1}}
               : std::nullopt;
  };
  std::vector<std::int32_t> symbols(1 << 20, 0);
  llm::merge_pairs(symbols, find);
  CHECK(symbols == std::vector<std::int32_t>{20});
  CHECK(looks < std::size_t{3} << 20);
  symbols = {7};
  llm::merge_pairs(symbols, find);
  CHECK(symbols == std::vector<std::int32_t>{7});
  symbols.clear();
  llm::merge_pairs(symbols, find);
  CHECK(symbols.empty());
}

TEST_CASE("merges go by rank, leftmost first; a long word takes no quadratic time") {
  const llm::tokenizer words(small_vocabulary());
  using markup = llm::tokenizer::markup;
  CHECK(words.encode("abc", markup::plain) == std::vector<llm::token_id>{4});
  CHECK(words.encode("aabcb", markup::plain) == std::vector<llm::token_id>{0, 4, 1});
  CHECK(words.encode("bca", markup::plain) == std::vector<llm::token_id>{1, 2, 0});
  std::string text;
  for (int i = 0; i < 300'000; ++i)
    text += "abc";  // minutes, if every merge searched the word again
  CHECK(words.encode(text, markup::plain) == std::vector<llm::token_id>(300'000, 4));
}

TEST_CASE("control tokens are found only where they may be") {
  llm::vocabulary data = small_vocabulary();
  const llm::tokenizer words(std::move(data));
  CHECK(words.encode("a<|end|>b", llm::tokenizer::markup::control_tokens) ==
        std::vector<llm::token_id>{0, 5, 1});
  for (const llm::token_id token : words.encode("a<|end|>b", llm::tokenizer::markup::plain))
    CHECK(token != 5);
  CHECK(words.is_control(5));
  CHECK(!words.is_control(4));
}

TEST_CASE("a control token is found across pieces, but not where one of them is plain") {
  const llm::tokenizer words(small_vocabulary());
  using enum llm::tokenizer::markup;
  using pieces = std::vector<llm::tokenizer::piece>;
  using ids = std::vector<llm::token_id>;
  const ids spelled = words.encode("<|end|>", plain);
  CHECK(words.encode(pieces{{"a<|end|>", control_tokens}, {"b", plain}}) == ids{0, 5, 1});
  CHECK(words.encode(pieces{{"a<|en", control_tokens}, {"d|>b", control_tokens}}) == ids{0, 5, 1});
  for (const pieces& mixed :
       {pieces{{"<|en", control_tokens}, {"d|>", plain}},
        pieces{{"<|en", plain}, {"d|>", control_tokens}},
        pieces{{"<|e", control_tokens}, {"n", plain}, {"d|>", control_tokens}},
        pieces{{"<|end|>", plain}}, pieces{{"", control_tokens}, {"<|end|>", plain}}})
    CHECK(words.encode(mixed) == spelled);
  CHECK(words.encode(pieces{{"<|end|>", plain}, {"<|end|>", control_tokens}}).back() == 5);
  // What lies between two control tokens is one text, whoever wrote it.
  CHECK(words.encode(pieces{{"a", control_tokens}, {"b", plain}, {"c", control_tokens}}) == ids{4});
  CHECK(words.encode(pieces{}).empty());
}

TEST_CASE("no merge and no whole word makes a control token of plain text") {
  using markup = llm::tokenizer::markup;
  llm::vocabulary data = small_vocabulary();
  data.types[4] = llm::vocabulary::control;  // abc, which a merge gives
  data.whole_words_first = true;
  const llm::tokenizer merged(data);
  CHECK(merged.encode("abc", markup::plain) == std::vector<llm::token_id>{3, 2});
  CHECK(merged.encode("abc", markup::control_tokens) == std::vector<llm::token_id>{4});
  data.merges.clear();
  data.letters = llm::vocabulary::spelling::characters;
  data.scores = {0, 0, 0, -1, -2, 0};
  const llm::tokenizer scored(data);
  CHECK(scored.encode("abc", markup::plain) == std::vector<llm::token_id>{3, 2});
}

TEST_CASE("characters without a token become bytes, or one unknown token, or nothing") {
  using markup = llm::tokenizer::markup;
  using ids = std::vector<llm::token_id>;
  llm::vocabulary data = small_vocabulary();
  data.letters = llm::vocabulary::spelling::characters;
  data.words = llm::pre_tokenizer::none;
  data.merges = {"a b"};
  for (const char* token : {"<unk>", "<0xC3>", "<0xA9>", "<0xFF>"}) data.tokens.emplace_back(token);
  for (const std::int32_t type : {2, 6, 6, 6}) data.types.push_back(type);
  const auto encode = [&](std::string_view text) {
    return llm::tokenizer(data).encode(text, markup::plain);
  };
  CHECK(encode("a\u00e9b") == ids{3});
  data.unknown_token = 6;
  CHECK(encode("a\u00e9\u00e9b") == ids{0, 6, 6, 1});
  data.fuse_unknown = true;
  CHECK(encode("a\u00e9\u00e9b\u00e9") == ids{0, 6, 1, 6});
  data.byte_fallback = true;
  CHECK(encode("a\u00e9\xff\xfe") == ids{0, 7, 8, 9, 6});
  CHECK(llm::tokenizer(data).bytes_of(7) == "\xc3");
  CHECK(encode("<0xFF>") == ids{6});  // spelled out it is text, here of unknown characters
}

TEST_CASE("the beginning token stands in front where the model wants it") {
  llm::vocabulary data = small_vocabulary();
  data.bos = 5;
  data.add_bos = true;
  const llm::tokenizer words(std::move(data));
  CHECK(words.encode("a", llm::tokenizer::markup::plain) == std::vector<llm::token_id>{5, 0});
  CHECK(words.encode("a", llm::tokenizer::markup::plain, false) == std::vector<llm::token_id>{0});
}

TEST_CASE("a text ends with the tokens that the model names, and with those known by name") {
  llm::vocabulary data = small_vocabulary();
  data.eos = 1;
  data.other_ends = {0, 2};
  const llm::tokenizer words(std::move(data));
  for (const llm::token_id end : {0, 1, 2}) CHECK(words.ends_text(end));
  CHECK(!words.ends_text(3));
  CHECK(words.ends_text(5));  // <|end|>
  data = small_vocabulary();
  data.other_ends = {6};
  CHECK_THROWS_AS(llm::tokenizer{std::move(data)}, edgerazor::io_error);

  // Whatever their type: a converter may have lost it. Spelled out in plain text they stay text.
  for (const std::int32_t type : {llm::vocabulary::normal, llm::vocabulary::user_defined,
                                  llm::vocabulary::control, llm::vocabulary::unused}) {
    for (const char* name :
         {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"}) {
      CAPTURE(type);
      CAPTURE(name);
      data = small_vocabulary();
      data.tokens.back() = name;
      data.types.back() = type;
      const llm::tokenizer typed(std::move(data));
      CHECK(typed.ends_text(5));
      CHECK(typed.is_control(5));
      for (const llm::token_id token : typed.encode(name, llm::tokenizer::markup::plain))
        CHECK(token != 5);
    }
  }
}

TEST_CASE("a vocabulary that contradicts itself is refused") {
  llm::vocabulary data = small_vocabulary();
  data.merges.emplace_back("a z");
  CHECK_THROWS_AS(llm::tokenizer{std::move(data)}, edgerazor::io_error);
  data = small_vocabulary();
  data.merges.emplace_back("nothing");
  CHECK_THROWS_AS(llm::tokenizer{std::move(data)}, edgerazor::io_error);
  data = small_vocabulary();
  data.types.pop_back();
  CHECK_THROWS_AS(llm::tokenizer{std::move(data)}, edgerazor::io_error);
  for (const float score : {0.0f, std::numeric_limits<float>::quiet_NaN()}) {
    data = small_vocabulary();
    data.merges.clear();
    data.scores.assign(score == 0.0f ? 5 : 6, score);
    CHECK_THROWS_AS(llm::tokenizer{std::move(data)}, edgerazor::io_error);
  }
  data = small_vocabulary();
  data.eos = 6;
  CHECK_THROWS_AS(llm::tokenizer{std::move(data)}, edgerazor::io_error);
  CHECK_THROWS_AS(llm::tokenizer{llm::vocabulary{}}, edgerazor::io_error);
}

TEST_CASE("a stream prints whole characters, however they are cut") {
  const std::string text = "a\u00e9\u20ac\U0001f600z";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    llm::utf8_stream stream;
    std::string printed;
    for (std::size_t at = 0; at < text.size(); at += size) {
      const std::string part = stream.push(std::string_view{text}.substr(at, size));
      for (std::size_t i = 0; i < part.size();) {
        const llm::utf8_character next = llm::first_character(std::string_view{part}.substr(i));
        CHECK(next.code != llm::replacement_character);
        i += next.size;
      }
      printed += part;
    }
    CHECK(printed + stream.finish() == text);
  }
}

TEST_CASE("on a terminal a model's text is shown, and obeyed in line feeds and tabs alone") {
  CHECK(llm::without_controls("a\tb\n\u00e9") == "a\tb\n\u00e9");
  CHECK(llm::without_controls("\x1b[2J\r\x07\u009b") == "\\x1b[2J\\x0d\\x07\\xc2\\x9b");
  const std::string text(100'000, 'x');
  CHECK(llm::without_controls(text) == text);
}

TEST_CASE("bytes that are not UTF-8 become replacement characters") {
  llm::utf8_stream stream;
  CHECK(stream.push("a\xff") == "a\ufffd");
  CHECK(stream.push("\xe2\x82") == "");
  CHECK(stream.push("b") == "\ufffd\ufffdb");
  CHECK(stream.push("\xf0\x9f") == "");
  CHECK(stream.finish() == "\ufffd\ufffd");
  CHECK(stream.finish() == "");
  CHECK(llm::first_character("\xc0\x80").code == llm::replacement_character);      // overlong
  CHECK(llm::first_character("\xed\xa0\x80").code == llm::replacement_character);  // surrogate
  CHECK(llm::first_character("\xf4\x90\x80\x80").code == llm::replacement_character);
}
