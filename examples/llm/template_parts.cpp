// SPDX-License-Identifier: Apache-2.0
#include "template_parts.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_template.hpp"
#include "template_outputs.hpp"

namespace llm {

namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Whether a block of the output, or one from the `first` on, has that in its condition.
bool within(const template_output& one, std::string_view part, std::size_t first = 0) {
  return std::any_of(
      one.blocks.begin() + static_cast<std::ptrdiff_t>(std::min(first, one.blocks.size())),
      one.blocks.end(), [&](const std::string& block) { return has(block, part); });
}

/// The strings of value.split('string')[index], in order, with whether the index is 0 (else -1).
std::vector<std::pair<std::string, bool>> cuts(const std::vector<template_token>& value) {
  std::vector<std::pair<std::string, bool>> found;
  for (std::size_t i = 0; i + 6 < value.size(); ++i) {
    const auto text = [&](std::size_t k) -> const std::string& { return value[i + k].text; };
    if (text(0) != "split" || value[i + 2].what != template_token::kind::string) continue;
    const bool first = text(4) == "[" && text(5) == "0" && text(6) == "]";
    const bool last = text(4) == "[" && text(5) == "-" && text(6) == "1";
    if (text(1) == "(" && text(3) == ")" && (first || last)) found.emplace_back(text(2), first);
  }
  return found;
}

/// A row of outputs, taken one by one. What is not there makes it fail, and stay so.
class cursor {
 public:
  cursor(const std::vector<template_output>& row, std::size_t at) : row_(row), at_(at) {}

  [[nodiscard]] const template_output* peek() const {
    return at_ < row_.size() ? &row_[at_] : nullptr;
  }

  /// The literals that stand next in exactly `blocks`, put together; empty where there are none.
  std::string literals(const std::vector<std::string>& blocks) {
    std::string text;
    for (; peek() != nullptr && peek()->literal && peek()->blocks == blocks; ++at_)
      text += *peek()->literal;
    return text;
  }
  std::string some_literals(const std::vector<std::string>& blocks) {
    std::string text = literals(blocks);
    failed = failed || text.empty();
    return text;
  }
  /// Passes an expression that names `word`.
  void expression(std::string_view word) {
    const bool there = peek() != nullptr && !peek()->literal && peek()->names(word);
    failed = failed || !there;
    if (there) ++at_;
  }
  /// Passes an expression written as JSON. With arguments tojson writes it another way.
  void json() {
    failed = failed || peek() == nullptr || peek()->expression.empty() ||
             peek()->expression.back().text != "tojson";
    expression("tojson");
  }
  /// Fails where more stands in these blocks.
  void leave(const std::vector<std::string>& outer) {
    const std::vector<std::string> next = blocks();
    failed = failed ||
             (next.size() >= outer.size() && std::equal(outer.begin(), outer.end(), next.begin()));
  }
  [[nodiscard]] std::size_t at() const { return at_; }
  /// The blocks of what is next.
  [[nodiscard]] std::vector<std::string> blocks() const {
    return peek() != nullptr ? peek()->blocks : std::vector<std::string>{};
  }

  bool failed = false;

 private:
  const std::vector<template_output>& row_;
  std::size_t at_;
};

/// Drops `end`, or fails.
std::string without_end(std::string text, std::string_view end, bool& failed) {
  if (text.ends_with(end)) {
    text.resize(text.size() - end.size());
  } else {
    failed = true;
  }
  return text;
}

bool inside(const std::vector<std::string>& blocks, const std::vector<std::string>& outer) {
  return blocks.size() == outer.size() + 1 &&
         std::equal(outer.begin(), outer.end(), blocks.begin());
}

bool in_calls(const template_output& one) {
  return std::any_of(one.blocks.begin(), one.blocks.end(), [](const std::string& block) {
    return block.starts_with("for ") && block.ends_with(" tool_calls ");
  });
}

/// The system message with tools, from behind its header on.
void read_list(cursor& row, const std::vector<std::string>& outer, std::string_view end,
               tool_parts& found) {
  std::vector<std::string> blocks = row.blocks();
  if (!inside(blocks, outer) || !has(blocks.back(), "messages [ 0 ]") ||
      !has(blocks.back(), "system")) {
    row.failed = true;
    return;
  }
  row.expression("messages");
  found.own_end = row.literals(blocks);
  if (blocks = row.blocks(); inside(blocks, outer) && blocks.back() == "else ")
    found.otherwise = row.some_literals(blocks);
  found.begin = row.some_literals(outer);
  blocks = row.blocks();
  row.failed = row.failed || !inside(blocks, outer) || !blocks.back().starts_with("for ") ||
               !blocks.back().ends_with(" in tools ");
  found.each_begin = row.literals(blocks);
  row.json();
  found.each_end = row.literals(blocks);
  found.finish = without_end(row.some_literals(outer), end, row.failed);
  row.leave(outer);
}

void read_call(cursor& row, std::string_view after_role, tool_parts& found) {
  std::vector<std::string> blocks = row.blocks();
  if (!blocks.empty() && has(blocks.back(), "loop . first")) {
    found.separator = row.some_literals(blocks);
    blocks.pop_back();
  }
  found.call_begin = row.some_literals(blocks);
  if (found.separator.empty() && found.call_begin.starts_with(after_role)) {
    found.separator = after_role;
    found.call_begin.erase(0, after_role.size());
  }
  row.failed = row.failed || found.separator.empty();
  row.expression("name");
  found.call_middle = row.some_literals(blocks);
  if (row.peek() != nullptr && within(*row.peek(), " is string ", blocks.size()))
    row.expression("arguments");
  row.json();
  found.call_end = row.some_literals(blocks);
  row.leave(blocks);
}

void read_result(cursor& row, std::string_view end, tool_parts& found) {
  std::vector<std::string> blocks = row.blocks();
  found.result_open = row.some_literals(blocks);
  const bool first_of_a_row = has(blocks.back(), "- 1 ]") && has(blocks.back(), "! = tool ");
  blocks.pop_back();
  found.result_begin = row.some_literals(blocks);
  row.expression("content");
  found.result_end = row.some_literals(blocks);
  const std::vector<std::string> last = row.blocks();
  row.failed = row.failed || !first_of_a_row || !inside(last, blocks) ||
               !has(last.back(), "+ 1 ]") || !has(last.back(), "! = tool ") ||
               row.literals(last) != end;
  row.leave(blocks);
}

}  // namespace

thought_parts template_parts::thoughts() const {
  thought_parts found;
  std::string thought, text;  // variables
  for (const auto& [name, value, guards, at] : source_.sets) {
    const auto strings = cuts(value);
    const bool trims = value.size() > 4 && value[value.size() - 4].text == "lstrip";
    if (!trims || strings.empty()) continue;
    if (strings.size() == 1 && !strings[0].second) {
      text = name;
      found.end = strings[0].first;
    }
    if (strings.size() == 2 && strings[0].second && !strings[1].second) {
      thought = name;
      found.begin = strings[1].first;
    }
  }
  if (found.end.empty() || found.begin.empty()) found = {};

  const std::vector<template_output>& row = source_.outputs;
  const std::string header =
      std::string{layout_.start} + std::string{layout_.assistant} + std::string{layout_.after_role};
  for (std::size_t i = 1; i < row.size(); ++i) {
    const std::string_view before = row[i - 1].literal ? *row[i - 1].literal : std::string_view{};
    if (row[i].literal) {
      const bool off =
          !row[i].blocks.empty() && (has(row[i].blocks.back(), "enable_thinking is false ") ||
                                     has(row[i].blocks.back(), "not enable_thinking "));
      if (off && before.ends_with(header)) found.off = *row[i].literal;
    } else if (i + 2 < row.size() && !found.end.empty() && row[i].names(thought) &&
               row[i + 1].literal && row[i + 2].names(text) && within(row[i], "loop . index0 > ") &&
               before.starts_with(layout_.after_role)) {
      found.open = before.substr(layout_.after_role.size());
      found.close = *row[i + 1].literal;
    }
  }
  return found;
}

std::optional<tool_parts> template_parts::tools() const {
  const std::vector<template_output>& row = source_.outputs;
  const std::string end = std::string{layout_.end} + std::string{layout_.after_end};
  const std::string system =
      std::string{layout_.start} + "system" + std::string{layout_.after_role};
  tool_parts found;
  bool list = false, call = false, result = false;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const template_output& one = row[i];
    if (!one.literal || one.blocks.empty()) continue;
    cursor next(row, i);
    bool* part = nullptr;
    if (*one.literal == system && one.blocks.back() == "if tools ") {
      part = &list;
      (void)next.literals(one.blocks);
      read_list(next, one.blocks, end, found);
    } else if (in_calls(one)) {
      part = &call;
      read_call(next, layout_.after_role, found);
    } else if (one.literal->starts_with(layout_.start) && within(one, "= = tool ")) {
      part = &result;
      read_result(next, end, found);
    }
    if (part == nullptr) continue;
    if (next.failed || std::exchange(*part, true)) return std::nullopt;
    i = next.at() - 1;
  }
  if (!list || !call || !result) return std::nullopt;
  return found;
}

}  // namespace llm
