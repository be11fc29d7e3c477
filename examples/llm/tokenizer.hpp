// SPDX-License-Identifier: Apache-2.0
/// Byte-pair encoding: over bytes, as GPT-2 defined it, or over characters, as SentencePiece has
/// it.
///
/// A text falls into stretches at its markers (tokens that stand for themselves); a stretch is
/// normalized and falls into words; a word becomes symbols, one a byte or a character, and these
/// merge. What is done at each step, and whether, `vocabulary` says.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "byte_pair_merging.hpp"
#include "marker_set.hpp"
#include "vocabulary.hpp"

namespace llm {

class tokenizer {
 public:
  /// Tokens of the names that end a turn in the formats of today (`<|im_end|>`, `<|eot_id|>` and
  /// others) are control tokens that end a text, whatever their type, as llama.cpp has it. Throws
  /// edgerazor::io_error where a merge names a token that does not exist, or counts and ids do not
  /// agree.
  explicit tokenizer(vocabulary data);
  tokenizer(tokenizer&&) = default;
  tokenizer(const tokenizer&) = delete;  // ids_ refers to data_

  /// Whether the text of a control token, `<|im_start|>` for instance, stands for that token. Text
  /// from strangers should be plain.
  enum class markup { plain, control_tokens };

  /// Some of a text, and who wrote it.
  struct piece {
    std::string text;
    markup mode;
  };

  /// The tokens of `text`, the beginning-of-sequence token in front where the model wants it and
  /// `beginning` is set.
  [[nodiscard]] std::vector<token_id> encode(std::string_view text, markup mode,
                                             bool beginning = true) const;
  /// The same of the text that `pieces` are together. A control token is found where all of its
  /// text stands in pieces that may have some; one that is looked for in normalized text, where
  /// nothing beside it is plain.
  [[nodiscard]] std::vector<token_id> encode(std::span<const piece> pieces,
                                             bool beginning = true) const;

  /// The text of some tokens, from the beginning of a text on: the bytes of each, less a leading
  /// space where the model has put one there. Bytes need not be UTF-8.
  [[nodiscard]] std::string decode(std::span<const token_id> tokens) const;

  /// The bytes a token stands for: the text itself of control tokens. Bytes need not be whole
  /// characters.
  [[nodiscard]] const std::string& bytes_of(token_id token) const {
    return bytes_[static_cast<std::size_t>(token)];
  }

  [[nodiscard]] bool is_control(token_id token) const {
    return data_.types[static_cast<std::size_t>(token)] == vocabulary::control;
  }
  /// True for tokens after which a model has nothing more to say.
  [[nodiscard]] bool ends_text(token_id token) const {
    return ends_[static_cast<std::size_t>(token)];
  }

  [[nodiscard]] std::size_t size() const noexcept { return data_.tokens.size(); }
  [[nodiscard]] const vocabulary& data() const noexcept { return data_; }
  [[nodiscard]] std::optional<token_id> find(std::string_view token) const;

 private:
  struct range {
    std::size_t begin, end;
  };

  void read_types();
  void read_markers();
  void read_merges();
  void rank_scores();

  /// As find(), but for tokens that text may become without being a marker.
  [[nodiscard]] std::optional<token_id> find_spelled(std::string_view token) const;
  [[nodiscard]] bool is_spelled(token_id token) const;
  [[nodiscard]] std::optional<merge_result> find_merge(token_id left, token_id right) const;
  [[nodiscard]] std::vector<token_id> encode(std::string_view text, std::span<const range> plain,
                                             bool beginning) const;
  void encode_stretch(std::string_view text, bool first, bool plain,
                      std::vector<token_id>& out) const;
  void encode_words(std::string_view text, bool first, std::vector<token_id>& out) const;
  void encode_word(std::string_view word, std::vector<token_id>& out) const;
  [[nodiscard]] std::string normalized(std::string_view text) const;
  void append_character(std::string_view character, std::vector<token_id>& symbols) const;

  vocabulary data_;
  std::vector<std::string> bytes_;
  std::vector<bool> ends_;
  std::unordered_map<std::string_view, token_id> ids_;      ///< views of data_.tokens
  std::unordered_map<std::uint64_t, merge_result> merges_;  ///< by left << 32 | right
  std::vector<std::uint32_t> ranks_;         ///< of tokens by their scores; empty with merges
  std::size_t longest_ = 0;                  ///< bytes of a token
  std::array<token_id, 256> byte_tokens_{};  ///< -1 where the vocabulary lacks the byte
  marker_set raw_markers_, normalized_markers_;
};

/// GPT-2's printable alphabet: the code point that stands for a byte. Printable Latin-1 characters
/// stand for themselves, the 68 other bytes in order for U+0100 and following.
std::array<std::uint32_t, 256> byte_alphabet();

/// U+2581, which stands for a space in tokens of characters.
inline constexpr std::string_view space_character = "\xe2\x96\x81";

/// The byte that a token "<0x00>" to "<0xFF>" stands for; nothing for any other text.
std::optional<unsigned char> byte_of_token(std::string_view token);

}  // namespace llm
