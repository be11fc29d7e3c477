// SPDX-License-Identifier: Apache-2.0
#include "pre_tokenizer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

#include "unicode_ranges.hpp"
#include "utf8.hpp"

namespace llm {

namespace {

enum class category : std::uint8_t { letter, number, white_space, other, end };

struct character {
  std::uint32_t code;
  category kind;
  std::size_t offset;  ///< of its first byte in the text
};

bool contains(std::span<const code_point_range> ranges, std::uint32_t code) {
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), code,
      [](std::uint32_t value, const code_point_range& r) { return value < r.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

category category_of(std::uint32_t code) {
  if (contains(letter_ranges, code)) return category::letter;
  if (contains(number_ranges, code)) return category::number;
  if (contains(white_space_ranges, code)) return category::white_space;
  return category::other;
}

/// The characters of one piece; past its end stands a character of category `end`.
class scanner {
 public:
  explicit scanner(std::span<const character> piece) : piece_(piece) {}

  [[nodiscard]] category kind(std::size_t at) const {
    return at < piece_.size() ? piece_[at].kind : category::end;
  }
  [[nodiscard]] std::uint32_t code(std::size_t at) const {
    return at < piece_.size() ? piece_[at].code : 0;
  }
  [[nodiscard]] bool newline(std::size_t at) const { return code(at) == '\n' || code(at) == '\r'; }

  /// First position from `at` on, and before `limit`, whose category is another one than `wanted`.
  [[nodiscard]] std::size_t skip(category wanted, std::size_t at,
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
    const std::size_t stop = skip(category::white_space, at);
    return kind(stop) != category::end && stop - at > 1 ? stop - 1 : stop;
  }

  [[nodiscard]] std::size_t gpt2_word(std::size_t at) const {
    if (const std::size_t stop = contraction(at, false); stop != at) return stop;
    const std::size_t body = code(at) == ' ' ? at + 1 : at;
    for (const category wanted : {category::letter, category::number, category::other}) {
      if (kind(body) == wanted) return skip(wanted, body);
    }
    return white_space(at);
  }

  [[nodiscard]] std::size_t llama_word(std::size_t at, std::size_t digits) const {
    if (const std::size_t stop = contraction(at, true); stop != at) return stop;
    const bool joins = kind(at) != category::number && !newline(at);
    if (const std::size_t body = kind(at) != category::letter && joins ? at + 1 : at;
        kind(body) == category::letter) {
      return skip(category::letter, body);
    }
    if (kind(at) == category::number) return skip(category::number, at, at + digits);
    if (const std::size_t body = code(at) == ' ' ? at + 1 : at; kind(body) == category::other) {
      std::size_t stop = skip(category::other, body);
      while (newline(stop)) ++stop;
      return stop;
    }
    for (std::size_t stop = skip(category::white_space, at); stop > at; --stop) {
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

}  // namespace

std::optional<pre_tokenizer> parse_pre_tokenizer(std::string_view name) {
  if (name == "gpt2" || name == "gpt-2") return pre_tokenizer::gpt2;
  if (name == "smollm") return pre_tokenizer::smollm;
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3")
    return pre_tokenizer::llama_bpe;
  if (name == "qwen2") return pre_tokenizer::qwen2;
  return std::nullopt;
}

std::vector<std::string_view> split_words(pre_tokenizer rule, std::string_view text) {
  std::vector<character> characters;
  for (std::size_t at = 0; at < text.size();) {
    const utf8_character next = first_character(text.substr(at));
    characters.push_back({next.code, category_of(next.code), at});
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
    if (characters[i].kind != category::number) continue;
    split_piece(begin, i);
    split_piece(i, i + 1);
    begin = i + 1;
  }
  split_piece(begin, characters.size());
  return words;
}

}  // namespace llm
