// SPDX-License-Identifier: Apache-2.0
/// The ChatML conversation format, which SmolLM2, Qwen2 and Qwen3 were trained on:
///
///     <|im_start|>role\ntext<|im_end|>\n     for each message, then
///     <|im_start|>assistant\n                 and the model goes on
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer.hpp"

namespace llm {

class chat_format {
 public:
  /// ChatML where the model's template or, without one, its control tokens show it, with the system
  /// message that the template supplies by default (see read_chat_template). Nothing otherwise: a
  /// template that is not understood is then the reason in `why`, which stays empty where the model
  /// has none. The result refers to `words`.
  static std::optional<chat_format> detect(const tokenizer& words, std::string& why);
  static std::optional<chat_format> detect(const tokenizer& words) {
    std::string ignored;
    return detect(words, ignored);
  }
  /// ChatML whatever the template says. Throws std::invalid_argument where the vocabulary lacks its
  /// control tokens.
  static chat_format chatml(const tokenizer& words);

  /// Opens the conversation with this system message; empty: with none.
  void set_system_message(std::string text) { system_ = std::move(text); }

  /// The tokens that open a conversation: the system message, if there is one.
  [[nodiscard]] std::vector<token_id> opening() const;
  /// A user's message and the header of the answer. Control tokens spelled out in `text` stay plain
  /// text.
  [[nodiscard]] std::vector<token_id> question(std::string_view text) const;
  /// What closes an answer whose last token was `last`.
  [[nodiscard]] std::vector<token_id> end_of_answer(token_id last) const;

  [[nodiscard]] const std::string& system_message() const noexcept { return system_; }

 private:
  explicit chat_format(const tokenizer& words, token_id start, token_id end)
      : words_(&words), start_(start), end_(end) {}
  static std::optional<chat_format> with_markers(const tokenizer& words);

  void append_message(std::vector<token_id>& out, std::string_view role,
                      std::string_view text) const;
  void append_text(std::vector<token_id>& out, std::string_view text) const;

  const tokenizer* words_;
  token_id start_, end_;
  std::string system_;
};

}  // namespace llm
