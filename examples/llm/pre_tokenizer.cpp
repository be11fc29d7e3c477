// SPDX-License-Identifier: Apache-2.0
#include "pre_tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include "unicode.hpp"
#include "utf8.hpp"

namespace llm {

namespace {

/// The first name of each is the one that is written.
constexpr std::pair<std::string_view, pre_tokenizer> pre_tokenizer_names[] = {
    {"gpt-2", pre_tokenizer::gpt2},          {"gpt2", pre_tokenizer::gpt2},
    {"smollm", pre_tokenizer::smollm},       {"llama-bpe", pre_tokenizer::llama_bpe},
    {"llama3", pre_tokenizer::llama_bpe},    {"llama-v3", pre_tokenizer::llama_bpe},
    {"qwen2", pre_tokenizer::qwen2},         {"deepseek-r1-qwen", pre_tokenizer::qwen2},
    {"metaspace", pre_tokenizer::metaspace}, {"none", pre_tokenizer::none},
};

struct character {
  std::uint32_t code;
  character_kind kind;
  std::size_t offset;  ///< of its first byte in the text
};

/// The characters of one piece; past its end stands a character of kind `none`.
class scanner {
 public:
  explicit scanner(std::span<const character> piece) : piece_(piece) {}

  [[nodiscard]] character_kind kind(std::size_t at) const {
    return at < piece_.size() ? piece_[at].kind : character_kind::none;
  }
  [[nodiscard]] std::uint32_t code(std::size_t at) const {
    return at < piece_.size() ? piece_[at].code : 0;
  }
  [[nodiscard]] bool newline(std::size_t at) const { return code(at) == '\n' || code(at) == '\r'; }

  /// First position from `at` on, and before `limit`, whose kind is another one than `wanted`.
  [[nodiscard]] std::size_t skip(character_kind wanted, std::size_t at,
                                 std::size_t limit = SIZE_MAX) const {
    while (at < limit && kind(at) == wanted) ++at;
    return at;
  }

  /// End of 's 't 're 've 'm 'll 'd at `at`; `at` where there is none.
  [[nodiscard]] std::size_t contraction(std::size_t at, bool any_case) const {
    if (code(at) != '\'') return at;
    const char first = letter(at + 1, any_case), second = letter(at + 2, any_case);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    const bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                     (first == 'l' && second == 'l');
    return two ? at + 3 : at;
  }

  /// \s+(?!\S) | \s+: a run of white space leaves its last character to a word that follows, unless
  /// it has only one.
  [[nodiscard]] std::size_t white_space(std::size_t at) const {
    const std::size_t stop = skip(character_kind::white_space, at);
    return kind(stop) != character_kind::none && stop - at > 1 ? stop - 1 : stop;
  }

  [[nodiscard]] std::size_t gpt2_word(std::size_t at) const {
    if (const std::size_t stop = contraction(at, false); stop != at) return stop;
    const std::size_t body = code(at) == ' ' ? at + 1 : at;
    for (const character_kind wanted :
         {character_kind::letter, character_kind::number, character_kind::other}) {
      if (kind(body) == wanted) return skip(wanted, body);
    }
    return white_space(at);
  }

  [[nodiscard]] std::size_t llama_word(std::size_t at, std::size_t digits) const {
    if (const std::size_t stop = contraction(at, true); stop != at) return stop;
    const bool joins = kind(at) != character_kind::number && !newline(at);
    if (const std::size_t body = kind(at) != character_kind::letter && joins ? at + 1 : at;
        kind(body) == character_kind::letter) {
      return skip(character_kind::letter, body);
    }
    if (kind(at) == character_kind::number) return skip(character_kind::number, at, at + digits);
    if (const std::size_t body = code(at) == ' ' ? at + 1 : at;
        kind(body) == character_kind::other) {
      std::size_t stop = skip(character_kind::other, body);
      while (newline(stop)) ++stop;
      return stop;
    }
    for (std::size_t stop = skip(character_kind::white_space, at); stop > at; --stop) {
      if (newline(stop - 1)) return stop;
    }
    return white_space(at);
  }

 private:
  /// The ASCII letter at `at`, in lower case where `any_case`; 0 where there is none.
  [[nodiscard]] char letter(std::size_t at, bool any_case) const {
    const std::uint32_t c = code(at);
    if (c >= 'a' && c <= 'z') return static_cast<char>(c);
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : '\0';
  }

  std::span<const character> piece_;
};

std::vector<std::string_view> split_at_spaces(std::string_view text) {
  constexpr std::string_view space = "\xe2\x96\x81";
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t stop = std::min(text.find(space, 1), text.size());
    words.push_back(text.substr(0, stop));
    text.remove_prefix(stop);
  }
  return words;
}

}  // namespace

std::optional<pre_tokenizer> parse_pre_tokenizer(std::string_view name) {
  for (const auto& [known, rule] : pre_tokenizer_names) {
    if (known == name) return rule;
  }
  return std::nullopt;
}

std::string_view name_of(pre_tokenizer rule) {
  return std::find_if(std::begin(pre_tokenizer_names), std::end(pre_tokenizer_names),
                      [rule](const auto& one) { return one.second == rule; })
      ->first;
}

std::vector<std::string_view> split_words(pre_tokenizer rule, std::string_view text) {
  if (text.empty()) return {};
  if (rule == pre_tokenizer::none) return {text};
  if (rule == pre_tokenizer::metaspace) return split_at_spaces(text);
  std::vector<character> characters;
  for (std::size_t at = 0; at < text.size();) {
    const utf8_character next = first_character(text.substr(at));
    characters.push_back({next.code, kind_of(next.code), at});
    at += next.size;
  }
  const auto offset = [&](std::size_t i) {
    return i < characters.size() ? characters[i].offset : text.size();
  };

  std::vector<std::string_view> words;
  const auto split_piece = [&](std::size_t begin, std::size_t end) {
    const scanner scan{std::span{characters}.subspan(begin, end - begin)};
    for (std::size_t at = 0; at < end - begin;) {
      const std::size_t stop = rule == pre_tokenizer::qwen2       ? scan.llama_word(at, 1)
                               : rule == pre_tokenizer::llama_bpe ? scan.llama_word(at, 3)
                                                                  : scan.gpt2_word(at);
      words.push_back(text.substr(offset(begin + at), offset(begin + stop) - offset(begin + at)));
      at = stop;
    }
  };

  std::size_t begin = 0;
  for (std::size_t i = 0; rule == pre_tokenizer::smollm && i < characters.size(); ++i) {
    if (characters[i].kind != character_kind::number) continue;
    split_piece(begin, i);
    split_piece(i, i + 1);
    begin = i + 1;
  }
  split_piece(begin, characters.size());
  return words;
}

}  // namespace llm
