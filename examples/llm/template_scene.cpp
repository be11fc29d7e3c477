// SPDX-License-Identifier: Apache-2.0
#include "template_scene.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace llm {

namespace {

/// What an expression is, as far as it is known.
struct value {
  enum class kind { unknown, undefined, none, boolean, number, several, text, path, function };
  kind what = kind::unknown;
  std::size_t number = 0;  ///< of `number`; of the path "messages": those that were taken off
  std::string text = {};   ///< of `text` and `path`
  bool truth = false;
  bool trims = false, json = false;
  std::size_t indent = 0;

  static value of(bool truth) { return {.what = kind::boolean, .truth = truth}; }
  static value of(std::size_t number) { return {.what = kind::number, .number = number}; }
  static value path_of(std::string path) { return {.what = kind::path, .text = std::move(path)}; }
  static value text_of(std::string text) { return {.what = kind::text, .text = std::move(text)}; }
  static value of(kind what) { return {.what = what}; }
};
using kind = value::kind;

std::optional<std::size_t> number_of(const std::string& word) {
  std::size_t number = 0;
  const auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (failed != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
}

/// The format's conversions are numbers and the names of months and days; others are not written.
std::optional<std::string> date(const std::tm& now, const std::string& format) {
  constexpr std::string_view conversions = "aAbBdHIjmMpSyY%";
  if (format.empty() || format.size() > 100) return std::nullopt;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') continue;
    if (++i == format.size() || conversions.find(format[i]) == std::string_view::npos)
      return std::nullopt;
  }
  std::array<char, 2000> text{};
  return std::string{text.data(), std::strftime(text.data(), text.size(), format.c_str(), &now)};
}

/// The variables of a scene.
struct scene_names {
  const template_scene& scene;
  std::map<std::string, value> set = {};

  [[nodiscard]] value root(const std::string& name) const {
    if (const auto found = set.find(name); found != set.end()) return found->second;
    if (name == "messages" || name == "bos_token") return value::path_of(name);
    if (name == "tools") return scene.tools ? value::path_of(name) : value::of(kind::none);
    if (name == "documents") return value::of(kind::none);
    if (name == "add_generation_prompt") return value::of(false);
    if (name.ends_with("_token") || name == "loop" || name == "message") return {};
    for (const char* one : {"strftime_now", "raise_exception", "namespace", "range", "dict"}) {
      if (name == one) return value::of(kind::function);
    }
    return value::of(kind::undefined);
  }

  /// What stands at a path below messages, message or tools.
  [[nodiscard]] value at(const std::string& path) const {
    const std::string call = "message.tool_calls.0.function";
    if (path == "messages.0.role") return value::text_of(scene.system ? "system" : "user");
    if (path == "messages.1.role" && scene.system) return value::text_of("user");
    if (path == "message.role") return value::text_of(scene.role);
    if (path.starts_with("message.tool_calls") && scene.calls == 0)
      return path == "message.tool_calls" ? value::of(kind::undefined) : value{};
    for (const std::string& known :
         {std::string{"messages.0"}, std::string{"messages.1"}, std::string{"messages.0.content"},
          std::string{"messages.1.content"}, std::string{"message.content"},
          std::string{"message.tool_calls"}, std::string{"message.tool_calls.0"}, call,
          call + ".name", call + ".arguments"}) {
      if (path == known) return value::path_of(path);
    }
    return {};
  }
};

/// Of the path "messages", with those taken off that precede the question: something is left.
bool has_question(const value& one, const template_scene& scene) {
  return one.text == "messages" && one.number <= (scene.system ? 1U : 0U);
}

std::optional<bool> truth(const value& one, const template_scene& scene) {
  switch (one.what) {
    case kind::undefined:
    case kind::none:
      return false;
    case kind::boolean:
      return one.truth;
    case kind::number:
      return one.number != 0;
    case kind::text:
      return !one.text.empty();
    case kind::several:
    case kind::function:
      return true;
    case kind::path:
      if (one.text == "tools" || one.text == "message.tool_calls" || has_question(one, scene))
        return true;
      return std::nullopt;
    case kind::unknown:
      break;
  }
  return std::nullopt;
}

value value_of(std::optional<bool> known) { return known ? value::of(*known) : value{}; }

std::optional<bool> equal(const value& a, const value& b) {
  if (a.what == kind::text && b.what == kind::text) return a.text == b.text;
  if (a.what == kind::number && b.what == kind::number) return a.number == b.number;
  if (a.what == kind::boolean && b.what == kind::boolean) return a.truth == b.truth;
  if (a.what == kind::several && b.what == kind::number && b.number == 0) return false;
  return std::nullopt;
}

std::optional<bool> is(const value& one, const std::string& test) {
  if (one.what == kind::unknown) return std::nullopt;
  if (test == "defined") return one.what != kind::undefined;
  if (test == "undefined") return one.what == kind::undefined;
  if (test == "none") return one.what == kind::none;
  const bool path = one.what == kind::path && !one.json;
  const bool text = one.what == kind::text ||
                    (path && (one.text.ends_with(".content") || one.text.ends_with(".name")));
  const bool mapping = path && one.text.ends_with(".arguments");
  if (!text && !mapping) return std::nullopt;
  if (test == "string") return text;
  if (test == "mapping") return mapping;
  if (test == "iterable") return true;
  return std::nullopt;
}

/// One expression, whole, by recursive descent.
class evaluation {
 public:
  evaluation(const std::vector<template_token>& tokens, std::size_t from,
             const scene_names& variables)
      : tokens_(tokens), variables_(variables), at_(from) {}

  value run() {
    value result = either();
    return failed_ || at_ != tokens_.size() ? value{} : result;
  }

 private:
  [[nodiscard]] bool next(template_token::kind what, std::string_view text,
                          std::size_t skip = 0) const {
    return at_ + skip < tokens_.size() && tokens_[at_ + skip].what == what &&
           tokens_[at_ + skip].text == text;
  }
  bool word(std::string_view text) {
    const bool there = next(template_token::kind::word, text);
    at_ += there ? 1 : 0;
    return there;
  }
  bool sign(std::string_view text) {
    const bool there = next(template_token::kind::sign, text);
    at_ += there ? 1 : 0;
    return there;
  }
  std::string any(template_token::kind what) {
    if (at_ < tokens_.size() && tokens_[at_].what == what) return tokens_[at_++].text;
    failed_ = true;
    return {};
  }

  value either() {
    value result = both();
    while (word("or")) {
      const auto a = truth(result, variables_.scene), b = truth(both(), variables_.scene);
      result = value_of((a && *a) || (b && *b) ? std::optional{true}
                        : a && b               ? std::optional{false}
                                               : std::nullopt);
    }
    return result;
  }
  value both() {
    value result = inverted();
    while (word("and")) {
      const auto a = truth(result, variables_.scene), b = truth(inverted(), variables_.scene);
      result = value_of((a && !*a) || (b && !*b) ? std::optional{false}
                        : a && b                 ? std::optional{true}
                                                 : std::nullopt);
    }
    return result;
  }
  value inverted() {
    bool turns = false, any = false;
    while (word("not")) {
      turns = !turns;
      any = true;
    }
    value result = compared();
    if (!any) return result;
    const auto known = truth(result, variables_.scene);
    return known ? value::of(*known != turns) : value{};
  }
  value compared() {
    value a = tested();
    const bool same =
        next(template_token::kind::sign, "=") && next(template_token::kind::sign, "=", 1);
    const bool differs =
        next(template_token::kind::sign, "!") && next(template_token::kind::sign, "=", 1);
    if (same || differs) {
      at_ += 2;
      const auto known = equal(a, tested());
      return known ? value::of(*known == same) : value{};
    }
    const bool absent =
        next(template_token::kind::word, "not") && next(template_token::kind::word, "in", 1);
    if (!absent && !next(template_token::kind::word, "in")) return a;
    at_ += absent ? 2 : 1;
    const value b = tested();
    const bool member = a.what == kind::text && b.what == kind::path && b.text == "message";
    if (!member) return {};
    if (a.text == "tool_calls") return value::of((variables_.scene.calls > 0) != absent);
    if (a.text == "role" || a.text == "content") return value::of(!absent);
    return {};
  }
  value tested() {
    value result = filtered();
    while (word("is")) {
      const bool turns = word("not");
      const auto known = is(result, any(template_token::kind::word));
      result = known ? value::of(*known != turns) : value{};
    }
    return result;
  }
  value filtered() {
    value result = primary();
    while (sign("|")) {
      const std::string filter = any(template_token::kind::word);
      const bool path = result.what == kind::path && !result.json;
      if (filter == "trim" && path) {
        result.trims = true;
      } else if (filter == "trim" && result.what == kind::text && result.text.empty()) {
        // stays empty
      } else if (filter == "tojson" && path) {
        result.json = true;
        if (sign("(")) {
          if (!word("indent") || !sign("=")) failed_ = true;
          const auto indent = number_of(any(template_token::kind::word));
          failed_ = failed_ || !sign(")") || !indent || *indent > 16 || *indent == 0;
          result.indent = indent.value_or(0);
        }
      } else if (filter == "length" && path && result.text == "message.tool_calls") {
        result = value::of(variables_.scene.calls);
      } else if (filter == "length" && path && has_question(result, variables_.scene)) {
        result = value::of(kind::several);
      } else {
        result = {};
      }
    }
    return result;
  }
  value primary() {
    if (at_ < tokens_.size() && tokens_[at_].what == template_token::kind::string)
      return value::text_of(tokens_[at_++].text);
    if (sign("(")) {
      constexpr std::size_t deepest = 64;
      failed_ = failed_ || ++depth_ > deepest;
      value result = failed_ ? value{} : either();
      --depth_;
      failed_ = failed_ || !sign(")");
      return result;
    }
    const std::string name = any(template_token::kind::word);
    if (failed_) return {};
    if (name == "true" || name == "True") return value::of(true);
    if (name == "false" || name == "False") return value::of(false);
    if (name == "none" || name == "None") return value::of(kind::none);
    if (const auto number = number_of(name)) return value::of(*number);
    if (next(template_token::kind::sign, "(")) return called(name);
    value result = variables_.root(name);
    while (at_ < tokens_.size() &&
           (next(template_token::kind::sign, ".") || next(template_token::kind::sign, "[")))
      result = member(result);
    return result;
  }
  value called(const std::string& name) {
    const bool known = variables_.root(name).what == kind::function;
    if (known && name == "raise_exception") {
      at_ = tokens_.size();
      return value::path_of(name);
    }
    (void)sign("(");
    const std::string format = any(template_token::kind::string);
    failed_ = failed_ || !known || name != "strftime_now" || !sign(")");
    const auto text = failed_ ? std::nullopt : date(variables_.scene.now, format);
    return text ? value::text_of(*text) : value{};
  }
  value member(const value& whole) {
    std::string key;
    if (sign(".")) {
      key = any(template_token::kind::word);
    } else {
      (void)sign("[");
      const bool text = at_ < tokens_.size() && tokens_[at_].what == template_token::kind::string;
      key = any(text ? template_token::kind::string : template_token::kind::word);
      const auto number = text ? std::nullopt : number_of(key);
      if (whole.what == kind::path && whole.text == "messages" && number) {
        const std::size_t first = whole.number + *number;
        if (sign(":")) {
          failed_ = failed_ || !sign("]");
          value rest = whole;
          rest.number = first;
          return rest;
        }
        key = std::to_string(first);
      } else {
        failed_ = failed_ || (!text && !number);
      }
      failed_ = failed_ || !sign("]");
    }
    if (failed_ || whole.what != kind::path || whole.trims || whole.json) return {};
    return variables_.at(whole.text + "." + key);
  }

  const std::vector<template_token>& tokens_;
  const scene_names& variables_;
  std::size_t at_;
  std::size_t depth_ = 0;
  bool failed_ = false;
};

class stage {
 public:
  stage(const template_outputs& source, const template_scene& scene)
      : source_(source), variables_{scene} {}

  printed_scene run() {
    std::size_t set = 0;
    for (std::size_t i = 0; i <= source_.outputs.size(); ++i) {
      for (; set < source_.sets.size() && source_.sets[set].at <= i; ++set)
        assign(source_.sets[set]);
      if (i < source_.outputs.size()) print(source_.outputs[i]);
    }
    return std::move(result_);
  }

 private:
  struct place {
    std::optional<bool> there = true;
    bool in_messages = false, each = false;
  };

  place enter(const std::vector<std::size_t>& guards) {
    place found;
    for (const std::size_t guard : guards) {
      const place& inner = branch(guard, found);
      both(found.there, inner.there);
      found.in_messages = found.in_messages || inner.in_messages;
      found.each = found.each || inner.each;
      if (found.there == std::optional{false}) break;
    }
    return found;
  }
  /// A condition holds or not where its branch begins, whatever is set in it.
  const place& branch(std::size_t guard, const place& outer) {
    const auto known = branches_.find(guard);
    if (known != branches_.end()) return known->second;
    const template_block& block = source_.blocks[guard];
    place found;
    for (const std::size_t before : block.before) both(found.there, inverse(test(before)));
    if (block.statement[0].text == "for") {
      found = loop(guard, outer);
    } else if (block.statement[0].text != "else") {
      both(found.there, test(guard));
    }
    return branches_.emplace(guard, found).first->second;
  }
  static void both(std::optional<bool>& a, std::optional<bool> b) {
    if (a == std::optional{false} || b == std::optional{false}) {
      a = false;
    } else if (!a || !b) {
      a = std::nullopt;
    }
  }
  static std::optional<bool> inverse(std::optional<bool> a) {
    return a ? std::optional{!*a} : std::nullopt;
  }
  std::optional<bool> test(std::size_t block) {
    const auto known = tests_.find(block);
    if (known != tests_.end()) return known->second;
    const std::vector<template_token>& statement = source_.blocks[block].statement;
    const bool condition = statement[0].text == "if" || statement[0].text == "elif";
    const std::optional<bool> holds =
        condition ? truth(evaluation(statement, 1, variables_).run(), variables_.scene)
                  : std::nullopt;
    tests_.emplace(block, holds);
    return holds;
  }
  place loop(std::size_t guard, const place& outer) {
    const std::vector<template_token>& statement = source_.blocks[guard].statement;
    place found{.there = std::nullopt};
    if (statement.size() < 4 || statement[2].text != "in" || outer.each) return found;
    const value over = evaluation(statement, 3, variables_).run();
    if (over.what != kind::path || over.trims || over.json) return found;
    if (over.text == "tools") {
      variables_.set[statement[1].text] = value::path_of("tool");
      found = {.there = true, .each = true};
    } else if (over.text == "messages" && !outer.in_messages) {
      variables_.set[statement[1].text] = value::path_of("message");
      found = {.there = true, .in_messages = true};
      result_.loops = ++loops_ == 1;
      result_.first = over.number;
    }
    return found;
  }

  void assign(const template_set& one) {
    const place where = enter(one.guards);
    if (where.there == std::optional{false}) return;
    const bool known = where.there && !where.each && !one.value.empty();
    variables_.set[one.name] = known ? evaluation(one.value, 0, variables_).run() : value{};
  }

  void print(const template_output& one) {
    const place where = enter(one.guards);
    if (where.there == std::optional{false}) return;
    std::vector<printed_part>& row = where.in_messages ? result_.message : result_.head;
    printed_part part{.path = "?", .each = where.each};
    if (where.there) {
      const value what = one.literal ? value::text_of(*one.literal)
                                     : evaluation(one.expression, 0, variables_).run();
      if (what.what == kind::text) {
        part.path.clear();
        part.literal = what.text;
      } else if (what.what == kind::path) {
        part = {.path = what.text,
                .trims = what.trims,
                .json = what.json,
                .indent = what.indent,
                .each = where.each};
      }
    }
    if (part.path.empty() && part.literal.empty()) return;
    const bool joins = part.path.empty() && !row.empty() && row.back().path.empty() &&
                       row.back().each == part.each;
    if (joins) {
      row.back().literal += part.literal;
    } else {
      row.push_back(std::move(part));
    }
  }

  const template_outputs& source_;
  scene_names variables_;
  printed_scene result_;
  std::map<std::size_t, place> branches_;
  std::map<std::size_t, std::optional<bool>> tests_;
  std::size_t loops_ = 0;
};

}  // namespace

printed_scene print_scene(const template_outputs& source, const template_scene& scene) {
  return stage(source, scene).run();
}

}  // namespace llm
