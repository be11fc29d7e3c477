// SPDX-License-Identifier: Apache-2.0
/// What a model's chat template says, as far as this program follows it.
#pragma once

#include <string>
#include <string_view>

namespace llm {

/// A template of the ChatML family, or why it is not taken for one.
struct chat_template {
  std::string system;   ///< the message that the template opens with where the user gives none
  std::string refusal;  ///< empty: messages are laid out as ChatML; else the end of a sentence
};

/// Reads Jinja source: comments, trimmed white space, string literals with their escapes. It is not
/// run. What it prints is seen as a row of literals and expressions, and is understood where
///
///     every <|im_start|> is followed by a role and a line feed, every <|im_end|> by a line feed,
///     answers begin with nothing more than that, and the system message is a literal, a variable
///     that is set to one, or the user's own
///
/// Everything else is refused.
chat_template read_chat_template(std::string_view jinja);

}  // namespace llm
