// SPDX-License-Identifier: Apache-2.0
/// What a model's chat template says, as far as this program follows it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "template_parts.hpp"

namespace llm {

/// A layout of conversations whose messages stand between markers:
///
///     start role after_role text end after_end     for each message, then
///     start assistant after_role                   and the model goes on
///
///            start                role        after_role               end             after_end
///     chatml <|im_start|>         assistant   \n                       <|im_end|>      \n
///     llama3 <|start_header_id|>  assistant   <|end_header_id|>\n\n    <|eot_id|>
///     gemma  <start_of_turn>      model       \n                       <end_of_turn>   \n
///
/// and `inst`, which has no markers and no roles:
///
///     question_begin text question_end answer_begin text answer_end eos
struct chat_layout {
  std::string_view name;
  std::string_view start, assistant, after_role, end, after_end;
  bool system_role;  ///< whether system messages have a role; else they begin the first question
};

/// By its name; null where there is none.
const chat_layout* find_layout(std::string_view name);
/// "chatml, llama3, gemma or inst".
std::string layout_names();

/// What a template says, or that it is not understood.
struct chat_template {
  std::string refusal;  ///< empty: it is understood; else the end of a sentence
  const chat_layout* layout = nullptr;
  std::string system;    ///< the message that it opens with where the user gives none
  std::string preamble;  ///< what stands in front of the system message, given or not
  bool opens = false;    ///< there is a system message even where it is empty
  bool trims = false;    ///< messages lose white space at both ends
  bool prints_bos = false;
  bool takes_system = true;  ///< else it raises an error at a system message
  bool alternates = false;   ///< it raises an error where questions and answers do not
  thought_parts thoughts;
  std::optional<tool_parts> tools;
  bool unread_tools = false;  ///< it prints tools, in a way that is not followed
  // inst alone:
  std::string question_begin = "[INST] ", question_end = " [/INST]";
  std::string answer_begin = " ", answer_end = " ";
  std::string system_begin = "<<SYS>>\n", system_end = "\n<</SYS>>\n\n";
  bool bos_each_question = false;
};

/// What a layout has where no template says more.
chat_template plain_template(const chat_layout& layout);

/// Reads Jinja source: comments, trimmed white space, string literals with their escapes. It is not
/// run; strftime_now is the local time of the reading. What it prints is seen as a row of literals
/// and expressions, and is understood where it has the markers of one layout and
///
///     every `start` is followed by a role and after_role, every `end` by after_end, answers begin
///     with nothing more than that, and the system message is a literal, a variable that is set to
///     one, or the user's own; for llama3 also what read_opening finds
///
/// or, for inst, where a question is an expression between two literals with [INST] and [/INST].
/// Everything else is refused.
chat_template read_chat_template(std::string_view jinja);

}  // namespace llm
