// SPDX-License-Identifier: Apache-2.0
/// What a chat template prints for one kind of conversation, with its conditions followed.
#pragma once

#include <cstddef>
#include <ctime>
#include <string>
#include <vector>

#include "template_outputs.hpp"

namespace llm {

/// A conversation: a system message or none, a question, and the message that is looked at.
struct template_scene {
  bool system = false;    ///< whether there is a system message
  bool tools = false;     ///< whether there are tools
  std::string role;       ///< of the message that is looked at
  std::size_t calls = 0;  ///< of tools, in that message
  std::tm now{};          ///< what strftime_now writes
};

/// A literal, or a part of the conversation by its path:
///
///     messages.0.content   the first message's text; messages.1.content, the second's
///     message.content, message.tool_calls.0.function.name, ...arguments   of the message looked at
///     tool                 one of the tools
///     bos_token, raise_exception
///     ?                    what is not understood, or depends on what is not
struct printed_part {
  std::string literal = {}, path = {};  ///< one of both is empty
  bool trims = false;                   ///< without white space at both ends
  bool json = false;                    ///< as JSON, `indent` spaces a level, 0: on one line
  std::size_t indent = 0;
  bool each = false;  ///< printed once for each tool
};

struct printed_scene {
  std::vector<printed_part> head;     ///< before the loop over messages
  std::vector<printed_part> message;  ///< in it, for the message that is looked at
  std::size_t first = 0;              ///< the message that the loop begins with
  bool loops = false;                 ///< there is such a loop, and one alone
};

/// Runs through the template's parts once. Variables that are set keep what they are set to; names
/// that nobody sets are undefined, as Jinja has them; conditions are those of `and`, `or`, `not`,
/// `==`, `!=`, `in` and `is`. What stands in a condition that can't be decided is printed as "?".
printed_scene print_scene(const template_outputs& source, const template_scene& scene);

}  // namespace llm
