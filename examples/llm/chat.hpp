// SPDX-License-Identifier: Apache-2.0
/// Conversations as a model was trained on them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_template.hpp"
#include "tokenizer.hpp"

namespace llm {

class chat_format {
 public:
  struct tool_call {
    std::string name, arguments;  ///< as to_json has them
  };
  struct message {
    std::string role;  ///< "system", "user", "assistant" or "tool"
    std::string text;
    std::vector<tool_call> calls = {};  ///< of the assistant
  };
  using pieces = std::vector<tokenizer::piece>;

  /// What the model's template says (see read_chat_template) or, without one, ChatML where its
  /// control tokens show it. Nothing otherwise: a template that is not understood, or needs control
  /// tokens that the vocabulary lacks, is then the reason in `why`, which stays empty where the
  /// model has none. The result refers to `words`.
  static std::optional<chat_format> detect(const tokenizer& words, std::string& why);
  static std::optional<chat_format> detect(const tokenizer& words) {
    std::string ignored;
    return detect(words, ignored);
  }
  /// A layout by its name, whatever the template says. Throws std::invalid_argument where there is
  /// none of that name, and where the vocabulary lacks its control tokens.
  static chat_format named(const tokenizer& words, std::string_view name);

  /// Opens the conversation with this system message; empty: with none. Throws
  /// std::invalid_argument where the template takes none.
  void set_system_message(std::string text);
  /// Answers without thoughts from here on. Throws std::invalid_argument where the template has no
  /// switch for that.
  void turn_thoughts_off();
  /// Offers tools, each as to_json has it. Throws std::invalid_argument where the template takes
  /// none, or in a way that this program does not follow.
  void set_tools(std::vector<std::string> tools);

  /// The tokens that open a conversation: of the beginning, and of the system message, if there is
  /// one with a role.
  [[nodiscard]] std::vector<token_id> opening() const;
  /// A user's message and the header of the answer; `first`: there was none before. Control tokens
  /// spelled out in `text` stay plain text.
  [[nodiscard]] std::vector<token_id> question(std::string_view text, bool first = true) const;
  /// Whether another question makes this answer, the text of all its tokens, look otherwise than it
  /// was written: without its thought. `past` is then the question and the answer as they look.
  [[nodiscard]] bool forgets(std::string_view answer) const;
  [[nodiscard]] std::vector<token_id> past(std::string_view question, std::string_view answer,
                                           bool first) const;
  /// What closes an answer whose last token was `last`.
  [[nodiscard]] std::vector<token_id> end_of_answer(token_id last) const;

  /// A whole conversation, without the beginning-of-sequence token of its first message; with the
  /// header of an answer where one is `wanted`. Throws std::invalid_argument where the first
  /// message is of the system and the template takes none, where questions and answers do not
  /// alternate and the template raises an error at that, where tools are called or answer and the
  /// template prints that in a way that this program does not follow, and where it takes one call
  /// at a time, or tools with the first question alone, and there are several or none.
  [[nodiscard]] pieces render(std::span<const message> conversation, bool wanted) const;
  /// The same. `begins` becomes where the pieces of each message begin. The first piece of an
  /// answer is what any answer begins with: its header.
  [[nodiscard]] pieces render(std::span<const message> conversation, bool wanted,
                              std::vector<std::size_t>& begins) const;

  [[nodiscard]] const std::string& system_message() const noexcept { return says_.system; }
  [[nodiscard]] const chat_template& layout() const noexcept { return says_; }

 private:
  chat_format(const tokenizer& words, chat_template says)
      : words_(&words), says_(std::move(says)) {}
  /// The control token of the layout that the vocabulary lacks; empty where it has them all.
  [[nodiscard]] std::string missing_token() const;

  void append_system(pieces& out, const std::string& text, bool own) const;
  void append_message(pieces& out, std::string_view role, const pieces& text) const;
  void append_result(pieces& out, std::span<const message> conversation, std::size_t i) const;
  void append_tools(pieces& out) const;
  [[nodiscard]] pieces text_of_answer(const message& one, bool latest, bool last) const;
  void append_question(pieces& out, std::string_view text, bool first,
                       const std::string& system) const;
  [[nodiscard]] pieces system_of_question(const std::string& text) const;
  void append_header(pieces& out) const;
  [[nodiscard]] std::string trimmed(std::string_view text) const;
  [[nodiscard]] std::string text_of(std::optional<token_id> token) const;
  [[nodiscard]] std::optional<token_id> end_token() const;

  const tokenizer* words_;
  chat_template says_;
  bool own_system_ = false;  ///< the system message is the user's
  bool thoughts_off_ = false;
  std::vector<std::string> tools_;
};

}  // namespace llm
