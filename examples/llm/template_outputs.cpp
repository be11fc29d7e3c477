// SPDX-License-Identifier: Apache-2.0
#include "template_outputs.hpp"

#include <cstddef>
#include <iterator>
#include <utility>

#include "utf8.hpp"

namespace llm {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

class reader {
 public:
  reader(std::string_view source, template_outputs& into)
      : outputs_(into.outputs),
        literals_(into.literals),
        computed_(into.computed),
        all_blocks_(into.blocks),
        sets_(into.sets),
        source_(source) {
    while (at_ < source_.size()) text_and_tag();
  }

 private:
  /// The text up to a tag, and the tag. As chat templates are rendered: a line feed after a
  /// statement is dropped, and so is the white space of a line before it.
  void text_and_tag() {
    std::size_t open = source_.find('{', at_);
    while (open != npos && open + 1 < source_.size() && !is_tag(source_[open + 1]))
      open = source_.find('{', open + 1);
    if (open != npos && open + 1 >= source_.size()) open = npos;
    std::string text{source_.substr(at_, open == npos ? npos : open - at_)};
    if (trim_) text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    if (statement_ && !trim_ && text.starts_with('\n')) text.erase(0, 1);
    if (open == npos) {
      at_ = source_.size();
      return add_text(text);
    }
    const char kind = source_[open + 1];
    at_ = open + 2;
    const bool keep = at_ < source_.size() && source_[at_] == '+';
    const bool trims = at_ < source_.size() && source_[at_] == '-';
    if (keep || trims) ++at_;
    if (trims) {
      while (!text.empty() && is_space(text.back())) text.pop_back();
    } else if (kind != '{' && !keep) {
      const std::size_t line = text.find_last_not_of(" \t");
      if (line != std::string::npos && text[line] == '\n') text.resize(line + 1);
      if (line == std::string::npos && (statement_ || outputs_.empty())) text.clear();
    }
    add_text(text);
    if (kind == '#') return comment();
    tag(kind == '{' ? "}}" : "%}");
  }

  static bool is_tag(char c) { return c == '{' || c == '%' || c == '#'; }

  void comment() {
    const std::size_t end = source_.find("#}", at_);
    if (end == npos) throw refused{"a comment has no end"};
    close(end > at_ && source_[end - 1] == '-', true, end + 2);
  }

  void close(bool trims, bool statement, std::size_t next) {
    trim_ = trims;
    statement_ = statement;
    branched_ = branched_ || statement;
    at_ = next;
  }

  void tag(std::string_view end) {
    std::vector<template_token> tokens;
    std::size_t braces = 0;
    for (;;) {
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
      if (at_ >= source_.size()) throw refused{"a tag has no end"};
      const std::string_view rest = source_.substr(at_);
      if (braces == 0 &&
          (rest.starts_with(end) || (rest.size() > 2 && rest.substr(1).starts_with(end) &&
                                     (rest[0] == '-' || rest[0] == '+')))) {
        close(rest[0] == '-', end == "%}", at_ + (rest.starts_with(end) ? 2 : 3));
        break;
      }
      if (rest[0] == '\'' || rest[0] == '"') {
        tokens.push_back({template_token::kind::string, string(rest[0])});
      } else if (is_word(rest[0])) {
        const std::size_t begin = at_;
        while (at_ < source_.size() && is_word(source_[at_])) ++at_;
        tokens.push_back(
            {template_token::kind::word, std::string{source_.substr(begin, at_ - begin)}});
      } else {
        if (rest[0] == '{') ++braces;
        if (rest[0] == '}' && braces > 0) --braces;
        tokens.push_back({template_token::kind::sign, std::string{rest[0]}});
        ++at_;
      }
    }
    if (end == "}}") return add_expression(tokens);
    if (tokens.empty() || tokens[0].text == "raw" || tokens[0].text == "include")
      throw refused{"it has a statement that this program does not read"};
    if (tokens[0].text == "set") set(tokens);
    block(tokens);
  }

  /// A statement that begins, turns or ends a block.
  void block(const std::vector<template_token>& tokens) {
    constexpr std::size_t deepest = 64;
    const std::string& name = tokens[0].text;
    const bool turns = name == "else" || name == "elif";
    const bool begins = name == "if" || name == "for" || name == "macro";
    std::vector<std::size_t> before;
    if ((turns || name.starts_with("end")) && !blocks_.empty()) {
      if (turns) {
        before = all_blocks_[guards_.back()].before;
        before.push_back(guards_.back());
      }
      blocks_.pop_back();
      guards_.pop_back();
    }
    if (!begins && !turns) return;
    if (blocks_.size() == deepest) throw refused{"its blocks are nested too deep"};
    if (before.size() == deepest) throw refused{"a condition has too many branches"};
    std::string condition;
    for (const template_token& t : tokens) condition += t.text + " ";
    blocks_.push_back(condition);
    guards_.push_back(all_blocks_.size());
    all_blocks_.push_back({tokens, std::move(before)});
  }

  /// A string literal with Python's escapes.
  std::string string(char quote) {
    std::string value;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      if (source_[at_] != '\\') {
        value += source_[at_];
        continue;
      }
      if (++at_ >= source_.size()) break;
      const char c = source_[at_];
      constexpr std::string_view from = "ntrabfv\\'\"", to = "\n\t\r\a\b\f\v\\'\"";
      const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (const std::size_t known = from.find(c); known != npos) {
        value += to[known];
      } else if (digits != 0) {
        append_utf8(value, code(digits));
      } else if (c != '\n') {
        (value += '\\') += c;
      }
    }
    if (at_ >= source_.size()) throw refused{"a string has no end"};
    ++at_;
    return value;
  }

  std::uint32_t code(std::size_t digits) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char c = ++at_ < source_.size() ? source_[at_] : ' ';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) throw refused{"a string has an escape that is none"};
      value = value * 16 + static_cast<std::uint32_t>(digit);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
      throw refused{"a string has an escape that is no character"};
    return value;
  }

  void add(template_output one) {
    constexpr std::size_t longest = std::size_t{1} << 24;
    for (const std::string& block : one.blocks) letters_ += block.size();
    if (letters_ > longest) throw refused{"its conditions are too long"};
    outputs_.push_back(std::move(one));
  }

  /// Literals without a statement between them are one.
  void add_text(const std::string& text) {
    if (text.empty()) return;
    if (!branched_ && !outputs_.empty() && outputs_.back().literal) {
      *outputs_.back().literal += text;
    } else {
      add({text, {}, blocks_, guards_});
    }
    branched_ = false;
  }

  /// The operands of + and ~ one by one.
  void add_expression(const std::vector<template_token>& tokens) {
    std::vector<template_token> operand;
    std::size_t depth = 0;
    const auto finish = [&] {
      if (operand.size() == 1 && operand[0].what == template_token::kind::string) {
        add_text(operand[0].text);
      } else if (!operand.empty()) {
        add({std::nullopt, operand, blocks_, guards_});
        branched_ = false;
      }
      operand.clear();
    };
    for (const template_token& t : tokens) {
      if (t.what == template_token::kind::sign) {
        const char sign = t.text[0];
        if (sign == '(' || sign == '[' || sign == '{') ++depth;
        if ((sign == ')' || sign == ']' || sign == '}') && depth > 0) --depth;
        if (depth == 0 && (sign == '+' || sign == '~')) {
          finish();
          continue;
        }
      }
      operand.push_back(t);
    }
    finish();
  }

  /// set name = value. A value with a message's markers is taken for what is printed: it will be.
  void set(const std::vector<template_token>& tokens) {
    if (tokens.size() < 2) return;
    const std::string& name = tokens[1].text;
    const bool assigns = tokens.size() > 3 && tokens[2].text == "=";
    if (assigns || tokens.size() == 2 || tokens[2].text != ".") {
      sets_.push_back({name,
                       {tokens.begin() + (assigns ? 3 : static_cast<std::ptrdiff_t>(tokens.size())),
                        tokens.end()},
                       guards_,
                       outputs_.size()});
    }
    if (!assigns) return;
    if (tokens.size() == 4 && tokens[3].what == template_token::kind::string) {
      literals_[name].insert(tokens[3].text);
      return;
    }
    computed_.insert(name);
    const std::vector<template_token> value(tokens.begin() + 3, tokens.end());
    const bool printed = std::any_of(value.begin(), value.end(), [](const template_token& t) {
      constexpr std::string_view markers[] = {"<|start_header_id|>", "<start_of_turn>", "<<SYS>>"};
      return t.what == template_token::kind::string &&
             std::any_of(std::begin(markers), std::end(markers), [&](std::string_view marker) {
               return t.text.find(marker) != std::string::npos;
             });
    });
    if (printed) add_expression(value);
  }

  static constexpr std::size_t npos = std::string_view::npos;
  std::vector<template_output>& outputs_;
  std::map<std::string, std::set<std::string>>& literals_;
  std::set<std::string>& computed_;
  std::vector<template_block>& all_blocks_;
  std::vector<template_set>& sets_;
  std::string_view source_;
  std::size_t at_ = 0;
  std::size_t letters_ = 0;                // of the outputs' conditions
  bool trim_ = false, statement_ = false;  // how the tag before ended, and whether it was no {{ }}
  bool branched_ = false;                  // a statement stands behind the last output
  std::vector<std::string> blocks_;        // that are open
  std::vector<std::size_t> guards_;        // the same
};

}  // namespace

template_outputs::template_outputs(std::string_view jinja) { const reader all(jinja, *this); }

}  // namespace llm
