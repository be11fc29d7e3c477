// SPDX-License-Identifier: Apache-2.0
/// Conversations as data sets have them, one JSON object a line, and texts as a trainer takes them:
/// tokens, and which of them are to be learned.
///
///     {"messages": [{"role": "system", "content": "..."}, {"role": "user", ...}, ...]}
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llm/chat.hpp"
#include "llm/tokenizer.hpp"
#include <edgerazor/io/mapped_file.hpp>

namespace qad {

using llm::token_id;
using conversation = std::vector<llm::chat_format::message>;

/// What one line says. Throws std::invalid_argument, with what was expected, where it is no JSON
/// object with `messages`, an array of objects with a `role` of system, user or assistant and a
/// string `content`; where the system speaks later than first; and where there is no message. Other
/// keys are not looked at, but for calls of tools, which are refused.
conversation parse_conversation(std::string_view line);

/// The same as a line, without its line feed.
std::string conversation_line(std::span<const llm::chat_format::message> messages);

/// The lines of a file; empty ones are passed over.
class conversation_file {
 public:
  /// Throws edgerazor::io_error where the file can't be read.
  explicit conversation_file(const std::filesystem::path& path);

  /// The next conversation; nothing at the end. Throws edgerazor::io_error with the file, the
  /// number of the line and what was expected of it.
  std::optional<conversation> next();
  /// The next line that is not empty, without its line feed; nothing at the end.
  std::optional<std::string_view> next_line();
  /// Of what came last, from 1.
  [[nodiscard]] std::size_t line() const noexcept { return line_; }
  /// Throws edgerazor::io_error: the file, the line that came last, and the sentence.
  [[noreturn]] void refuse(const std::string& sentence) const;

 private:
  std::string name_;
  edgerazor::mapped_file file_;
  std::size_t at_ = 0, line_ = 0;
};

/// Label of a token that nobody is to learn to predict.
inline constexpr token_id no_label = -100;

/// labels[i] is tokens[i] or no_label: the library's `token_batch` with `label_shift` 1.
struct labelled_text {
  std::vector<token_id> tokens, labels;

  /// Tokens with a label that have one before them, from which they can be predicted.
  [[nodiscard]] std::size_t learned() const noexcept;
};

/// How EdgeRazor (Python) prepares conversations.
struct conversation_rules {
  /// Stands in front of a conversation that has none; empty: what the template itself has. Left out
  /// where the template takes none.
  std::string system = "You are a helpful and harmless AI assistant.";
  std::size_t longest = 1024;  ///< tokens; what follows is cut off
  bool ends = true;            ///< one end token after the last, with a label
};

/// The conversation in the model's layout. What the assistant says has labels, from behind the
/// header of an answer to the marker of its end and what the layout puts there; all else has none.
/// Each answer is encoded on its own, as a model writes one: none of its tokens reaches into the
/// header. Throws std::invalid_argument where the template refuses the conversation.
labelled_text encode_conversation(std::span<const llm::chat_format::message> messages,
                                  const llm::chat_format& format, const llm::tokenizer& words,
                                  const conversation_rules& rules = {});

/// The tokens after which the model is to answer the last of `messages`, which is a user's: with
/// the header of the answer, and the same system message. Throws as above.
std::vector<token_id> encode_history(std::span<const llm::chat_format::message> messages,
                                     const llm::chat_format& format, const llm::tokenizer& words,
                                     const conversation_rules& rules = {});

/// A text in which every token is learned, cut into pieces of at most `longest` tokens of which
/// each begins where the one before it ends.
std::vector<labelled_text> encode_text(std::string_view text, const llm::tokenizer& words,
                                       std::size_t longest);

/// The model's layout of conversations: that of its chat template. Throws std::invalid_argument,
/// with the reason, where it has none that is understood. Thoughts are off where there is a switch
/// and `thoughts` is false. Refers to `words`.
llm::chat_format layout_of(const llm::tokenizer& words, bool thoughts);

}  // namespace qad
