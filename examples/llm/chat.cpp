// SPDX-License-Identifier: Apache-2.0
#include "chat.hpp"

#include <stdexcept>
#include <utility>

#include "chat_template.hpp"

namespace llm {

namespace {

constexpr std::string_view start_marker = "<|im_start|>", end_marker = "<|im_end|>";

}  // namespace

std::optional<chat_format> chat_format::with_markers(const tokenizer& words) {
  const auto start = words.find(start_marker), end = words.find(end_marker);
  if (!start || !end || !words.is_control(*start) || !words.is_control(*end)) return std::nullopt;
  return chat_format{words, *start, *end};
}

std::optional<chat_format> chat_format::detect(const tokenizer& words, std::string& why) {
  const std::string& jinja = words.data().chat_template;
  std::optional<chat_format> result = with_markers(words);
  if (jinja.empty()) return result;
  chat_template read = read_chat_template(jinja);
  why = read.refusal;
  if (why.empty() && !result)
    why = "the vocabulary has no control tokens <|im_start|> and <|im_end|>";
  if (!why.empty()) return std::nullopt;
  result->set_system_message(std::move(read.system));
  return result;
}

chat_format chat_format::chatml(const tokenizer& words) {
  const std::optional<chat_format> result = with_markers(words);
  if (!result) {
    throw std::invalid_argument(
        "the model's vocabulary has no control tokens <|im_start|> and <|im_end|>, which ChatML "
        "needs");
  }
  return *result;
}

void chat_format::append_text(std::vector<token_id>& out, std::string_view text) const {
  const std::vector<token_id> tokens = words_->encode(text, tokenizer::markup::plain, false);
  out.insert(out.end(), tokens.begin(), tokens.end());
}

void chat_format::append_message(std::vector<token_id>& out, std::string_view role,
                                 std::string_view text) const {
  out.push_back(start_);
  append_text(out, std::string{role} + "\n" + std::string{text});
  out.push_back(end_);
  append_text(out, "\n");
}

std::vector<token_id> chat_format::opening() const {
  std::vector<token_id> tokens = words_->encode("", tokenizer::markup::plain, true);
  if (!system_.empty()) append_message(tokens, "system", system_);
  return tokens;
}

std::vector<token_id> chat_format::question(std::string_view text) const {
  std::vector<token_id> tokens;
  append_message(tokens, "user", text);
  tokens.push_back(start_);
  append_text(tokens, "assistant\n");
  return tokens;
}

std::vector<token_id> chat_format::end_of_answer(token_id last) const {
  std::vector<token_id> tokens;
  if (last != end_) tokens.push_back(end_);
  append_text(tokens, "\n");
  return tokens;
}

}  // namespace llm
