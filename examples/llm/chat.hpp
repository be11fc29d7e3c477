// SPDX-License-Identifier: Apache-2.0
/// The ChatML conversation format, which SmolLM2, Qwen2 and Qwen3 were trained on:
///
///     <|im_start|>role\ntext<|im_end|>\n     for each message, then
///     <|im_start|>assistant\n                 and the model goes on
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer.hpp"

namespace llm {

class chat_format {
 public:
  /// ChatML where the model's template or, without one, its control tokens show it; nothing
  /// otherwise. Templates are not interpreted; a system message that the template supplies by
  /// default is taken from it. The result refers to `words`.
  static std::optional<chat_format> detect(const tokenizer& words);

  /// The tokens that open a conversation: the template's own system message, if it has one.
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

  void append_message(std::vector<token_id>& out, std::string_view role,
                      std::string_view text) const;
  void append_text(std::vector<token_id>& out, std::string_view text) const;

  const tokenizer* words_;
  token_id start_, end_;
  std::string system_;
};

}  // namespace llm
