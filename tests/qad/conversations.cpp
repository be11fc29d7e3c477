// SPDX-License-Identifier: Apache-2.0
#include "qad/conversations.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "llm/conversations.hpp"
#include "llm/tokenizer_json.hpp"
#include <edgerazor/core/contract.hpp>

namespace {

/// ChatML over bytes, with <|im_end|> as the token that ends a text.
llm::tokenizer chatml() {
  llm::vocabulary data = byte_vocabulary("");
  data.eos = 257;
  return llm::tokenizer(std::move(data));
}

/// The text of all tokens, those with a label in brackets.
std::string marked(const llm::tokenizer& words, const qad::labelled_text& text) {
  std::string result;
  bool inside = false;
  for (std::size_t i = 0; i < text.tokens.size(); ++i) {
    const bool learned = text.labels[i] != qad::no_label;
    if (learned) CHECK(text.labels[i] == text.tokens[i]);
    if (learned != inside) result += learned ? "[" : "]";
    inside = learned;
    result += words.bytes_of(text.tokens[i]);
  }
  return inside ? result + "]" : result;
}

const qad::conversation two_turns{
    {"user", "Hi"}, {"assistant", "Yes?"}, {"user", "Go\n"}, {"assistant", "\nNo."}};

}  // namespace

TEST_CASE("a line is a conversation, and a conversation its line") {
  const qad::conversation one = qad::parse_conversation(
      R"({"id": 7, "messages": [{"role": "system", "content": "S"},
          {"role": "user", "content": "a\n\u00e9", "info": {}},
          {"role": "assistant", "content": "", "tool_calls": []}]})");
  REQUIRE(one.size() == 3);
  CHECK(one[1].role == "user");
  CHECK(one[1].text == "a\n\xc3\xa9");
  const std::string line = qad::conversation_line(one);
  CHECK(line ==
        "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", "
        "\"content\": \"a\\n\xc3\xa9\"}, {\"role\": \"assistant\", \"content\": \"\"}]}");
  CHECK(qad::conversation_line(qad::parse_conversation(line)) == line);
}

TEST_CASE("lines that are no conversation are refused with file, line and what was expected") {
  const temporary_folder folder;
  const std::filesystem::path path = folder / "a.jsonl";
  const std::string good = R"({"messages": [{"role": "user", "content": "x"}]})";
  const auto refusal = [&](const std::string& line) -> std::string {
    const std::string text = good + "\r\n \n\n" + line + "\n" + good;
    write_bytes(path, std::as_bytes(std::span{text}));
    qad::conversation_file file(path);
    CHECK(file.next().has_value());
    CHECK(file.line() == 1);
    try {
      (void)file.next();
    } catch (const edgerazor::io_error& error) {
      return error.what();
    }
    return "taken";
  };
  CHECK(refusal(good) == "taken");
  const std::vector<std::pair<std::string, std::string>> bad{
      {"{\"messages\": [", "got what is no JSON at byte"},
      {"{\"messages\": \"\xff\"}", "got what is no JSON at byte"},
      {"[1]", "a JSON object with \"messages\""},
      {"{}", "a JSON object with \"messages\", an array of one message or more"},
      {R"({"messages": []})", "an array of one message or more"},
      {R"({"messages": {"role": "user"}})", "an array of one message or more"},
      {R"({"messages": ["x"]})", "message 1 to be an object"},
      {R"({"messages": [{"role": "user"}]})", "message 1 to have a string \"content\""},
      {R"({"messages": [{"role": "user", "content": ["x"]}]})", "a string \"content\""},
      {R"({"messages": [{"role": 1, "content": "x"}]})", "a string \"role\""},
      {R"({"messages": [{"role": "tool", "content": "x"}]})",
       "system, user or assistant, got 'tool'"},
      {R"({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]})",
       "as the first alone, got it as message 2"},
      {R"({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]})",
       "message 1 to call no tools"},
      {std::string(100000, '['), "got what is no JSON at byte"},
  };
  for (const auto& one : bad) {
    const std::string said = refusal(one.first);
    const std::string where = "'" + path.string() + "', line 4: expected ";
    CAPTURE(said);
    CHECK(said.starts_with(where));
    CHECK(said.find(one.second) != std::string::npos);
  }
  CHECK_THROWS_AS(qad::conversation_file(folder / "none"), edgerazor::io_error);
}

TEST_CASE("the assistant's tokens alone have labels") {
  const llm::tokenizer words = chatml();
  const llm::chat_format format = qad::layout_of(words, false);
  const std::string system =
      "<|im_start|>system\nYou are a helpful and harmless AI assistant.<|im_end|>\n";
  const std::string rest =
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Yes?<|im_end|>\n]"
      "<|im_start|>user\nGo\n<|im_end|>\n<|im_start|>assistant\n[\nNo.<|im_end|>\n";
  const qad::labelled_text all = qad::encode_conversation(two_turns, format, words);
  CHECK(marked(words, all) == system + rest + "<|im_end|>]");
  CHECK(all.learned() == 6 + 6 + 1);

  // Without an end token, with another system message, with the conversation's own, with none.
  CHECK(marked(words, qad::encode_conversation(two_turns, format, words,
                                               {.system = "X", .ends = false})) ==
        "<|im_start|>system\nX<|im_end|>\n" + rest + "]");
  qad::conversation own = two_turns;
  own.insert(own.begin(), {"system", "Own"});
  CHECK(marked(words, qad::encode_conversation(own, format, words)) ==
        "<|im_start|>system\nOwn<|im_end|>\n" + rest + "<|im_end|>]");
  CHECK(marked(words, qad::encode_conversation(two_turns, format, words, {.system = ""})) ==
        rest + "<|im_end|>]");

  // An answer alone, and none at all.
  CHECK(marked(words, qad::encode_conversation(std::span{two_turns}.first(1), format, words,
                                               {.system = "", .ends = false})) ==
        "<|im_start|>user\nHi<|im_end|>\n");
}

TEST_CASE("long conversations are cut, and end with an end token that has a label") {
  const llm::tokenizer words = chatml();
  const llm::chat_format format = qad::layout_of(words, false);
  const qad::labelled_text whole =
      qad::encode_conversation(two_turns, format, words, {.ends = false});
  for (std::size_t longest = 1; longest < whole.tokens.size() + 4; ++longest) {
    for (const bool ends : {false, true}) {
      const qad::labelled_text cut =
          qad::encode_conversation(two_turns, format, words, {.longest = longest, .ends = ends});
      const std::size_t kept = std::min(whole.tokens.size(), longest - (ends ? 1 : 0));
      REQUIRE(cut.tokens.size() == kept + (ends ? 1 : 0));
      CHECK(cut.labels.size() == cut.tokens.size());
      CHECK(std::equal(cut.tokens.begin(), cut.tokens.begin() + static_cast<std::ptrdiff_t>(kept),
                       whole.tokens.begin()));
      if (ends) CHECK(cut.labels.back() == 257);
    }
  }
}

TEST_CASE("what a model is asked is what it has learned to answer") {
  const llm::tokenizer words = chatml();
  const llm::chat_format format = qad::layout_of(words, false);
  const qad::labelled_text all =
      qad::encode_conversation(two_turns, format, words, {.ends = false});
  for (const std::size_t turn : {std::size_t{1}, std::size_t{3}}) {
    const std::vector<llm::token_id> asked =
        qad::encode_history(std::span{two_turns}.first(turn), format, words);
    REQUIRE(asked.size() < all.tokens.size());
    CHECK(std::equal(asked.begin(), asked.end(), all.tokens.begin()));
    CHECK(all.labels[asked.size() - 1] == qad::no_label);
    CHECK(all.labels[asked.size()] != qad::no_label);  // the answer's first token
  }
}

TEST_CASE("conversations of every layout are their templates' text, answers and ends learned") {
  const std::filesystem::path folder(EDGERAZOR_TEST_DATA);
  const auto published = llm::read_ordered_json(folder / "chat_templates.json");
  const auto families = llm::read_ordered_json(folder / "chat_families.json");
  std::vector<llm::vocabulary> all;
  for (const auto& item : published["templates"].items())
    all.push_back(byte_vocabulary(item.value().get<std::string>()));
  for (const auto& item : families["families"].items()) {
    all.push_back(byte_vocabulary(item.value()["template"].get<std::string>(),
                                  item.value()["control"].get<std::vector<std::string>>()));
    all.back().bos = 256;
  }
  std::size_t seen = 0;
  for (llm::vocabulary& vocabulary : all) {
    vocabulary.eos = 257;
    const std::string jinja = vocabulary.chat_template;
    CAPTURE(jinja);
    const llm::tokenizer words(std::move(vocabulary));
    if (!llm::chat_format::detect(words)) continue;  // its control tokens are others
    ++seen;
    const llm::chat_format format = qad::layout_of(words, false);
    const qad::labelled_text one =
        qad::encode_conversation(two_turns, format, words, {.system = "", .ends = false});
    std::string text, learned, whole;
    for (const auto& piece : format.render(two_turns, false)) text += piece.text;
    for (std::size_t i = 0; i < one.tokens.size(); ++i) {
      whole += words.bytes_of(one.tokens[i]);
      if (one.labels[i] != qad::no_label) learned += words.bytes_of(one.tokens[i]);
    }
    CHECK(whole.ends_with(text));  // what stands before it is the beginning-of-sequence token
    CHECK(learned.find("Yes?") == 0);
    CHECK(learned.find("No.") != std::string::npos);
    for (const char* const other : {"Hi", "Go", "user", "assistant", "model"})
      CHECK(learned.find(other) == std::string::npos);
  }
  CHECK(seen >= 6);
}

TEST_CASE("text is learned whole, in pieces that are the text again") {
  const llm::tokenizer words = chatml();
  const std::string text = "One line.\nAnother, <|im_end|> and the last.";
  for (const std::size_t longest : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
    std::string again;
    for (const qad::labelled_text& piece : qad::encode_text(text, words, longest)) {
      CHECK(piece.tokens == piece.labels);
      CHECK(piece.tokens.size() <= longest);
      for (const llm::token_id token : piece.tokens) again += words.bytes_of(token);
    }
    CHECK(again == text);
  }
  CHECK(qad::encode_text("", words, 5).empty());
  CHECK_THROWS_AS((void)qad::encode_text("x", words, 0), std::invalid_argument);
}

TEST_CASE("a model without a layout of conversations is refused") {
  llm::vocabulary none = byte_vocabulary("", {"<|end|>"});
  const llm::tokenizer words(std::move(none));
  CHECK_THROWS_WITH_AS((void)qad::layout_of(words, false),
                       doctest::Contains("has no chat template"), std::invalid_argument);
}
