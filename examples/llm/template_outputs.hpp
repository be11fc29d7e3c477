// SPDX-License-Identifier: Apache-2.0
/// What a Jinja template prints, read without running it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llm {

/// Why a template is not understood: the end of a sentence.
struct refused {
  std::string why;
};

/// A word, a string literal (its value) or a sign of an expression.
struct template_token {
  enum class kind { word, string, sign } what;
  std::string text;
};

/// What a template prints: a literal, or an expression in its tokens.
struct template_output {
  std::optional<std::string> literal;
  std::vector<template_token> expression;
  std::vector<std::string> blocks;  ///< the conditions and loops that it stands in

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

/// The template as it is printed, and the variables that it sets to literals. Throws `refused`.
struct template_outputs {
  explicit template_outputs(std::string_view jinja);

  std::vector<template_output> outputs;
  std::map<std::string, std::set<std::string>> literals;  ///< by variable
  std::set<std::string> computed;  ///< variables that are set to something else too
  std::vector<std::pair<std::string, std::vector<template_token>>> values;  ///< that something
  std::set<std::string> of_messages;  ///< those of them that are set to a part of a message
};

}  // namespace llm
