// SPDX-License-Identifier: Apache-2.0
#include "chat_template.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "utf8.hpp"

namespace llm {

namespace {

constexpr std::string_view start_marker = "<|im_start|>", end_marker = "<|im_end|>";

struct refused {
  std::string why;
};

/// A word, a string literal (its value) or a sign of an expression.
struct token {
  enum class kind { word, string, sign } what;
  std::string text;
};

/// What a template prints: a literal, or an expression in its tokens.
struct output {
  std::optional<std::string> literal;
  std::vector<token> expression;

  [[nodiscard]] bool names(std::string_view word) const {
    return std::any_of(expression.begin(), expression.end(), [&](const token& t) {
      return t.what == token::kind::word && t.text == word;
    });
  }
};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// The template as it is printed, and the variables that it sets to literals.
class reader {
 public:
  explicit reader(std::string_view source) : source_(source) {
    while (at_ < source_.size()) text_and_tag();
  }

  std::vector<output> outputs;
  std::map<std::string, std::set<std::string>> literals;  ///< by variable
  std::set<std::string> computed;  ///< variables that are set to something else too

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
      if (line == std::string::npos && (statement_ || outputs.empty())) text.clear();
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
    std::vector<token> tokens;
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
        tokens.push_back({token::kind::string, string(rest[0])});
      } else if (is_word(rest[0])) {
        const std::size_t begin = at_;
        while (at_ < source_.size() && is_word(source_[at_])) ++at_;
        tokens.push_back({token::kind::word, std::string{source_.substr(begin, at_ - begin)}});
      } else {
        if (rest[0] == '{') ++braces;
        if (rest[0] == '}' && braces > 0) --braces;
        tokens.push_back({token::kind::sign, std::string{rest[0]}});
        ++at_;
      }
    }
    if (end == "}}") return add_expression(tokens);
    if (tokens.empty() || tokens[0].text == "raw" || tokens[0].text == "include")
      throw refused{"it has a statement that this program does not read"};
    if (tokens[0].text == "set") set(tokens);
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

  /// Literals without a statement between them are one.
  void add_text(const std::string& text) {
    if (text.empty()) return;
    if (!branched_ && !outputs.empty() && outputs.back().literal) {
      *outputs.back().literal += text;
    } else {
      outputs.push_back({text, {}});
    }
    branched_ = false;
  }

  /// The operands of + and ~ one by one.
  void add_expression(const std::vector<token>& tokens) {
    std::vector<token> operand;
    std::size_t depth = 0;
    const auto finish = [&] {
      if (operand.size() == 1 && operand[0].what == token::kind::string) {
        add_text(operand[0].text);
      } else if (!operand.empty()) {
        outputs.push_back({std::nullopt, operand});
        branched_ = false;
      }
      operand.clear();
    };
    for (const token& t : tokens) {
      if (t.what == token::kind::sign) {
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

  /// set name = value
  void set(const std::vector<token>& tokens) {
    if (tokens.size() < 4 || tokens[2].text != "=") return;
    if (tokens.size() == 4 && tokens[3].what == token::kind::string) {
      literals[tokens[1].text].insert(tokens[3].text);
    } else {
      computed.insert(tokens[1].text);
    }
  }

  static constexpr std::size_t npos = std::string_view::npos;
  std::string_view source_;
  std::size_t at_ = 0;
  bool trim_ = false, statement_ = false;  // how the tag before ended, and whether it was no {{ }}
  bool branched_ = false;                  // a statement stands behind the last output
};

/// The rules of read_chat_template over the row of outputs.
class layout {
 public:
  explicit layout(const reader& source) : source_(source), outputs_(source.outputs) {}

  std::string system_message() {
    bool found = false;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i].literal) {
        for (const token& t : outputs_[i].expression) {
          if (t.what == token::kind::string && t.text.find(start_marker) != std::string::npos &&
              t.text != std::string{start_marker} + "assistant\n")
            throw refused{"a message begins inside of an expression"};
        }
        continue;
      }
      const std::string_view text = *outputs_[i].literal;
      for (std::size_t at = text.find(start_marker); at != npos;
           at = text.find(start_marker, at + 1)) {
        found = true;
        message(i, text.substr(at + start_marker.size()));
      }
      for (std::size_t at = text.find(end_marker); at != npos; at = text.find(end_marker, at + 1)) {
        const std::string_view rest = text.substr(at + end_marker.size());
        const bool last = rest.empty() && i + 1 == outputs_.size();
        if (!last && !line_feed(i, rest)) throw refused{"no line feed follows <|im_end|>"};
      }
    }
    if (!found) throw refused{"it has no <|im_start|>, so it is not ChatML"};
    if (systems_.size() > 1) throw refused{"it has several system messages"};
    return systems_.empty() ? std::string{} : *systems_.begin();
  }

 private:
  static constexpr std::size_t npos = std::string_view::npos;

  /// Whether `rest` of output i, or what is printed after it, begins with a line feed.
  [[nodiscard]] bool line_feed(std::size_t i, std::string_view rest) const {
    while (rest.empty() && ++i < outputs_.size()) {
      if (!outputs_[i].literal) return false;
      rest = *outputs_[i].literal;
    }
    return rest.starts_with('\n');
  }

  /// What follows a <|im_start|> of output i.
  void message(std::size_t i, std::string_view rest) {
    std::size_t letters = 0;
    while (letters < rest.size() && is_word(rest[letters])) ++letters;
    const std::string_view role = rest.substr(0, letters);
    rest.remove_prefix(letters);
    if (role.empty()) {  // an expression names it
      const bool expression = rest.empty() && i + 1 < outputs_.size() && !outputs_[i + 1].literal;
      if (!expression || (i + 2 < outputs_.size() && !line_feed(i + 1, {})))
        throw refused{"no role and line feed follow <|im_start|>"};
      return;
    }
    if (!line_feed(i, rest)) throw refused{"no line feed follows <|im_start|> and its role"};
    if (role == "system") system(i, rest);
    if (role == "assistant" && rest.size() > 1)
      throw refused{"its answers begin with more than a line feed"};
  }

  void system(std::size_t i, std::string_view rest) {
    while (rest.empty()) rest = *outputs_[++i].literal;  // which line_feed has seen
    rest.remove_prefix(1);
    if (const std::size_t end = rest.find(end_marker); end != npos) {
      if (end > 0) systems_.emplace(rest.substr(0, end));
      return;
    }
    if (!rest.empty()) throw refused{"its system message is put together of parts"};
    if (++i == outputs_.size()) throw refused{"its system message has no end"};
    const output& next = outputs_[i];
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

  const reader& source_;
  const std::vector<output>& outputs_;
  std::set<std::string> systems_;
};

}  // namespace

chat_template read_chat_template(std::string_view jinja) {
  try {
    const reader source(jinja);
    return {layout(source).system_message(), {}};
  } catch (const refused& reason) {
    return {{}, reason.why};
  }
}

}  // namespace llm
