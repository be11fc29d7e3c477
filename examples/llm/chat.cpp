// SPDX-License-Identifier: Apache-2.0
#include "chat.hpp"

#include <cstddef>

namespace llm {

namespace {

constexpr std::string_view start_marker = "<|im_start|>", end_marker = "<|im_end|>";

/// The literal system message of a ChatML template: what stands between "<|im_start|>system\n" and
/// "<|im_end|>" inside one Jinja string, where the line break may be the character or its escape.
/// Empty where an expression stands there.
std::string default_system_message(std::string_view jinja) {
  const std::string head = std::string{start_marker} + "system";
  for (std::size_t at = jinja.find(head); at != std::string_view::npos;
       at = jinja.find(head, at + 1)) {
    std::string_view rest = jinja.substr(at + head.size());
    if (rest.starts_with("\\n")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('\n')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    const std::string_view message = rest.substr(0, rest.find(end_marker));
    const bool literal =
        message.size() < rest.size() && message.find_first_of("'\"{}") == std::string_view::npos;
    if (literal && !message.empty()) return std::string{message};
  }
  return {};
}

}  // namespace

std::optional<chat_format> chat_format::detect(const tokenizer& words) {
  const std::string& jinja = words.data().chat_template;
  const auto start = words.find(start_marker), end = words.find(end_marker);
  const bool named = jinja.empty() || jinja.find(start_marker) != std::string::npos;
  if (!named || !start || !end || !words.is_control(*start) || !words.is_control(*end))
    return std::nullopt;
  chat_format result{words, *start, *end};
  result.system_ = default_system_message(jinja);
  return result;
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
