// SPDX-License-Identifier: Apache-2.0
/// What a chat template prints for thoughts and for tools. Every literal is the template's own.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace llm {

struct chat_layout;
struct template_outputs;

/// Thoughts in answers. An answer that has `end` in it is cut there: what stands before the first
/// one, behind the last `begin`, is its thought, and what stands behind the last one is its text.
/// Where `open` is not empty, the thought of an answer after the last question is printed, if it
/// has one or if the answer is the last message:
///
///     start assistant after_role open thought close text ...
///
/// All other answers are printed without theirs.
struct thought_parts {
  std::string begin, end;   ///< empty: answers are printed as they are
  std::string open, close;  ///< empty: no thought is printed
  std::string off;  ///< follows an answer's header without thoughts; empty: there is no switch
};

/// Tools, in a system message that has them all:
///
///     start system after_role (text own_end | otherwise) begin
///     each_begin tool each_end ...                          for each tool, as JSON
///     finish end after_end
///
/// calls of them, behind the text of an answer, with `separator` before each but one that nothing
/// stands before,
///
///     call_begin name call_middle arguments call_end
///
/// and their results: `result_open` before the first of a row, end after_end behind the last, and
///
///     result_begin text result_end
///
/// Or tools in the first question, as Llama 3.1 has them, behind a system message of their own:
///
///     start system after_role preamble (text) end after_end
///     start user after_role begin (each_begin tool each_end)... finish text end after_end
///
/// where a message calls one tool alone, its text is not printed, and each result is a message with
/// a role of its own:
///
///     start result_role after_role result_begin text result_end end after_end
struct tool_parts {
  std::string own_end, otherwise, begin, each_begin, each_end, finish;
  std::string separator, call_begin, call_middle, call_end;
  std::string result_open, result_begin, result_end;
  std::size_t indent = 0;  ///< of a tool's JSON, a level; 0: on one line
  bool in_question = false;
  std::string preamble, result_role;
  bool result_json = false, result_trims = false;  ///< how a result's text is printed
};

/// A system message that is always there:
///
///     start system after_role preamble (text) end after_end
///
/// and messages that are their text alone.
struct opening_parts {
  std::string preamble;
  bool trims = false;  ///< texts lose white space at both ends
  std::optional<tool_parts> tools;
};

/// Finds them in a template whose first message is that one, by what it prints with and without a
/// system message of the user's, with and without tools, for each kind of message. Throws `refused`
/// where what opens a conversation without tools is not of that form; tools that are not printed as
/// in tool_parts are not found.
opening_parts read_opening(const template_outputs& source, const chat_layout& layout);

/// Finds both in what a template prints. What is not of the form above is not found.
class template_parts {
 public:
  template_parts(const template_outputs& source, const chat_layout& layout)
      : source_(source), layout_(layout) {}
  [[nodiscard]] thought_parts thoughts() const;
  [[nodiscard]] std::optional<tool_parts> tools() const;

 private:
  const template_outputs& source_;
  const chat_layout& layout_;
};

}  // namespace llm
