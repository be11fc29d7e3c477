// SPDX-License-Identifier: Apache-2.0
#include "chat_template.hpp"

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>
#include <vector>

#include "template_outputs.hpp"

namespace llm {

namespace {

constexpr chat_layout layouts[] = {
    {"chatml", "<|im_start|>", "assistant", "\n", "<|im_end|>", "\n", true},
    {"llama3", "<|start_header_id|>", "assistant", "<|end_header_id|>\n\n", "<|eot_id|>", "", true},
    {"gemma", "<start_of_turn>", "model", "\n", "<end_of_turn>", "\n", false},
    {"inst", "", "", "", "", "", false},
};
constexpr std::string_view question_marker = "[INST]", question_end_marker = "[/INST]";

/// The rules of read_chat_template over the row of outputs.
class row_reader {
 public:
  row_reader(const template_outputs& source, const chat_layout& layout)
      : source_(source), outputs_(source.outputs), layout_(layout) {
    result_.layout = &layout;
  }

  chat_template read() {
    read_habits();
    if (layout_.start.empty()) {
      read_questions();
    } else {
      read_messages();
      const template_parts parts(source_, layout_);
      result_.thoughts = parts.thoughts();
      if (!result_.opens) {
        result_.tools = parts.tools();
      } else {
        opening_parts opening = read_opening(source_, layout_);
        result_.preamble = std::move(opening.preamble);
        result_.trims = opening.trims;
        result_.tools = std::move(opening.tools);
      }
    }
    result_.unread_tools =
        !result_.tools && std::any_of(outputs_.begin(), outputs_.end(),
                                      [](const template_output& one) { return one.for_tools(); });
    return result_;
  }

 private:
  static constexpr std::size_t npos = std::string_view::npos;

  /// What the expressions do, wherever they stand.
  void read_habits() {
    for (const template_output& one : outputs_) {
      const bool trims = one.names("trim") || one.names("strip");
      result_.trims = result_.trims || (trims && one.mentions("content"));
      result_.prints_bos = result_.prints_bos || one.names("bos_token");
      if (!one.names("raise_exception")) continue;
      for (const template_token& t : one.expression) {
        const bool about_system = t.text.find("ystem") != std::string::npos &&
                                  t.text.find("support") != std::string::npos;
        if (about_system) result_.takes_system = false;
        if (t.text.find("alternate") != std::string::npos) result_.alternates = true;
      }
    }
  }

  void read_messages() {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i].literal) {
        for (const template_token& t : outputs_[i].expression) {
          if (t.what == template_token::kind::string &&
              t.text.find(layout_.start) != std::string::npos && t.text != header_of_answers())
            throw refused{"a message begins inside of an expression"};
        }
        continue;
      }
      const std::string_view text = *outputs_[i].literal;
      for (std::size_t at = text.find(layout_.start); at != npos;
           at = text.find(layout_.start, at + 1))
        message(i, text.substr(at + layout_.start.size()));
      for (std::size_t at = text.find(layout_.end); at != npos;
           at = text.find(layout_.end, at + 1)) {
        ends_ = true;
        const std::string_view rest = text.substr(at + layout_.end.size());
        const bool last = rest.empty() && i + 1 == outputs_.size();
        if (!last && !follows(i, rest, layout_.after_end))
          throw refused{"no " + shown(layout_.after_end) + " follows " + std::string{layout_.end}};
      }
    }
    if (!ends_) throw refused{"no " + std::string{layout_.end} + " ends its messages"};
    if (systems_.size() > 1) throw refused{"it has several system messages"};
    if (!systems_.empty()) result_.system = *systems_.begin();
  }

  [[nodiscard]] std::string header_of_answers() const {
    return std::string{layout_.start} + std::string{layout_.assistant} +
           std::string{layout_.after_role};
  }
  static std::string shown(std::string_view text) {
    return text == "\n" ? "line feed" : std::string{text.substr(0, text.find('\n'))};
  }

  /// Whether `rest` of template_output i, and what is printed after it, begins with `wanted`.
  [[nodiscard]] bool follows(std::size_t i, std::string_view rest, std::string_view wanted) const {
    while (rest.empty() && !wanted.empty() && ++i < outputs_.size()) {
      if (!outputs_[i].literal) return false;
      rest = *outputs_[i].literal;
    }
    return rest.starts_with(wanted);
  }

  /// What follows a `start` of template_output i.
  void message(std::size_t i, std::string_view rest) {
    std::size_t letters = 0;
    while (letters < rest.size() && is_word(rest[letters])) ++letters;
    const std::string_view role = rest.substr(0, letters);
    rest.remove_prefix(letters);
    const std::string after =
        "no role and " + shown(layout_.after_role) + " follow " + std::string{layout_.start};
    if (role.empty()) {  // an expression names it
      const bool expression = rest.empty() && i + 1 < outputs_.size() && !outputs_[i + 1].literal;
      if (!expression || (i + 2 < outputs_.size() && !follows(i + 1, {}, layout_.after_role)))
        throw refused{after};
      return;
    }
    if (!follows(i, rest, layout_.after_role)) throw refused{after};
    if (role == "system") system(i, rest);
    if (role == layout_.assistant && rest.size() > layout_.after_role.size() &&
        !outputs_[i].for_tools())
      throw refused{"its answers begin with more than their header"};
  }

  void system(std::size_t i, std::string_view rest) {
    while (rest.empty()) rest = *outputs_[++i].literal;  // which follows() has seen
    rest.remove_prefix(layout_.after_role.size());
    if (layout_.name == "llama3" && outputs_[i].blocks.empty()) {
      result_.opens = true;
      return;
    }
    if (const std::size_t end = rest.find(layout_.end); end != npos) {
      if (end > 0) systems_.emplace(rest.substr(0, end));
      return;
    }
    if (!rest.empty()) throw refused{"its system message is put together of parts"};
    if (++i == outputs_.size()) throw refused{"its system message has no end"};
    const template_output& next = outputs_[i];
    if (next.literal) throw refused{"its system message is put together of parts"};
    if (next.names("messages") || next.names("message")) return;  // the user's own
    const std::string name = next.expression.size() == 1 ? next.expression[0].text : std::string{};
    const auto set = source_.literals.find(name);
    if (set == source_.literals.end()) {
      if (source_.computed.contains(name)) return;
      throw refused{"its system message is an expression"};
    }
    for (const std::string& one : set->second) {
      if (!one.empty()) systems_.insert(one);
    }
  }

  void read_questions() {
    bool found = false;
    result_.system_begin.clear();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const template_output& one = outputs_[i];
      if (one.for_tools()) continue;
      if (one.literal) refuse_other_markers(*one.literal);
      if (one.literal && one.literal->find("<<SYS>>") != std::string::npos) system_block(i);
      if (one.literal && !found && one.literal->find(question_marker) != std::string::npos) {
        question(i);
        found = true;
      }
      if (one.names("eos_token")) answer(i);
    }
    if (!found) throw refused{"no question stands between [INST] and [/INST]"};
    if (result_.system_begin.empty()) result_.takes_system = false;
  }

  /// Refuses [SYSTEM_PROMPT] and its kind.
  static void refuse_other_markers(std::string_view text) {
    for (std::size_t at = text.find('['); at != npos; at = text.find('[', at + 1)) {
      const std::size_t end = text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_/", at + 1);
      if (end == npos || text[end] != ']' || end == at + 1) continue;
      const std::string_view marker = text.substr(at, end + 1 - at);
      if (marker != question_marker && marker != question_end_marker)
        throw refused{"it prints " + std::string{marker}};
    }
  }

  [[nodiscard]] std::string_view literal(std::size_t i) const {
    return i < outputs_.size() && outputs_[i].literal ? std::string_view{*outputs_[i].literal}
                                                      : std::string_view{};
  }

  void question(std::size_t i) {
    const std::string_view begin = literal(i), end = literal(i + 2);
    const std::size_t at = begin.find(question_marker), stop = end.find(question_end_marker);
    const bool whole = stop != npos && i + 1 < outputs_.size() && !outputs_[i + 1].literal &&
                       begin.find(question_end_marker) == npos;
    if (!whole) throw refused{"no question stands between [INST] and [/INST]"};
    result_.question_begin = begin.substr(at);
    result_.question_end = end.substr(0, stop + question_end_marker.size());
    result_.bos_each_question = at == 0 && i > 0 && outputs_[i - 1].names("bos_token") &&
                                outputs_[i - 1].blocks == outputs_[i].blocks &&
                                !outputs_[i].blocks.empty();
  }

  /// What is printed before an end of text, template_output i: an answer, and literals around it.
  void answer(std::size_t i) {
    const bool space = i > 0 && outputs_[i - 1].literal;
    result_.answer_end = space ? *outputs_[i - 1].literal : "";
    const std::size_t content = i - (space ? 2 : 1);
    if (content >= outputs_.size() || outputs_[content].literal)
      throw refused{"no answer stands before the end of text"};
    const bool before = content > 0 && outputs_[content - 1].literal &&
                        outputs_[content - 1].blocks == outputs_[i].blocks &&
                        outputs_[content - 1].literal->find(question_end_marker) == npos;
    result_.answer_begin = before ? *outputs_[content - 1].literal : "";
  }

  void system_block(std::size_t i) {
    result_.system_begin = literal(i);
    result_.system_end = literal(i + 2);
    if (i + 1 >= outputs_.size() || outputs_[i + 1].literal ||
        result_.system_end.find("<</SYS>>") == std::string::npos)
      throw refused{"its system message is put together of parts"};
  }

  const template_outputs& source_;
  const std::vector<template_output>& outputs_;
  const chat_layout& layout_;
  std::set<std::string> systems_;
  bool ends_ = false;
  chat_template result_;
};

/// The layout whose marker is printed.
const chat_layout& layout_of(const template_outputs& source) {
  const chat_layout* found = nullptr;
  for (const chat_layout& one : layouts) {
    const std::string_view marker = one.start.empty() ? question_marker : one.start;
    const bool there =
        std::any_of(source.outputs.begin(), source.outputs.end(), [&](const template_output& o) {
          return (o.literal && o.literal->find(marker) != std::string::npos) ||
                 std::any_of(o.expression.begin(), o.expression.end(),
                             [&](const template_token& t) {
                               return t.what == template_token::kind::string &&
                                      t.text.find(marker) != std::string::npos;
                             });
        });
    if (!there) continue;
    if (found != nullptr) throw refused{"it has the markers of two layouts"};
    found = &one;
  }
  if (found == nullptr) {
    throw refused{"it has none of <|im_start|>, <|start_header_id|>, <start_of_turn> and [INST]"};
  }
  return *found;
}

}  // namespace

const chat_layout* find_layout(std::string_view name) {
  for (const chat_layout& one : layouts) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

std::string layout_names() { return "chatml, llama3, gemma or inst"; }

chat_template plain_template(const chat_layout& layout) {
  chat_template result;
  result.layout = &layout;
  result.trims = layout.name != "chatml";
  result.prints_bos = result.trims;
  result.bos_each_question = layout.name == "inst";
  return result;
}

chat_template read_chat_template(std::string_view jinja) {
  try {
    const template_outputs source(jinja);
    return row_reader(source, layout_of(source)).read();
  } catch (const refused& reason) {
    chat_template result;
    result.refusal = reason.why;
    return result;
  }
}

}  // namespace llm
