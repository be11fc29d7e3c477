// SPDX-License-Identifier: Apache-2.0
/// What a Jinja template prints, read without running it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

/// Whether a word of a template may have it.
[[nodiscard]] constexpr bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Why a template is not understood: the end of a sentence.
struct refused {
  std::string why;
};

/// A word, a string literal (its value) or a sign of an expression.
struct template_token {
  enum class kind { word, string, sign } what;
  std::string text;
};

/// A branch of a condition, or a loop: its statement.
struct template_block {
  std::vector<template_token> statement;
  std::vector<std::size_t> before;  ///< the branches before it, of which none was taken
};

/// What a template prints: a literal, or an expression in its tokens.
struct template_output {
  std::optional<std::string> literal;
  std::vector<template_token> expression;
  std::vector<std::string> blocks;  ///< the conditions and loops that it stands in
  std::vector<std::size_t> guards;  ///< the same, of template_outputs::blocks

  [[nodiscard]] bool for_tools() const {
    return std::any_of(blocks.begin(), blocks.end(), [](const std::string& block) {
      return block.find("tool") != std::string::npos;
    });
  }
  /// Whether a string of the expression, or a word, is that.
  [[nodiscard]] bool mentions(std::string_view text) const {
    return std::any_of(expression.begin(), expression.end(),
                       [&](const template_token& t) { return t.text == text; });
  }
  [[nodiscard]] bool names(std::string_view word) const {
    return std::any_of(expression.begin(), expression.end(), [&](const template_token& t) {
      return t.what == template_token::kind::word && t.text == word;
    });
  }
};

/// A variable that is set, in front of output `at`.
struct template_set {
  std::string name;
  std::vector<template_token> value;  ///< empty: what is printed up to the end of a block
  std::vector<std::size_t> guards;
  std::size_t at;
};

/// The template as it is printed, and the variables that it sets to literals. Throws `refused`.
struct template_outputs {
  explicit template_outputs(std::string_view jinja);

  std::vector<template_output> outputs;
  std::map<std::string, std::set<std::string>> literals;  ///< by variable
  std::set<std::string> computed;  ///< variables that are set to something else too
  std::vector<template_block> blocks;
  std::vector<template_set> sets;
};

}  // namespace llm
