// SPDX-License-Identifier: Apache-2.0
/// Byte-level byte-pair encoding, as GPT-2 defined it and GGUF stores it (`tokenizer.ggml.model` =
/// "gpt2").
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pre_tokenizer.hpp"

namespace llm {

using token_id = std::int32_t;

/// What a model file says of its tokens.
struct vocabulary {
  /// GGUF's `tokenizer.ggml.token_type`.
  enum token_type : std::int32_t {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6
  };

  std::vector<std::string>
      tokens;  ///< normal ones in GPT-2's printable alphabet, one character a byte
  std::vector<std::int32_t> types;  ///< one for each token
  std::vector<std::string> merges;  ///< "left right", the first one merges first
  pre_tokenizer words = pre_tokenizer::gpt2;
  bool whole_words_first =
      false;  ///< a word that is a token stays whole, whatever the merges say (Llama 3)
  bool add_bos = false;
  std::optional<token_id> bos;
  std::optional<token_id> eos;
  std::vector<token_id> other_ends;  ///< further tokens that end a text
  std::string chat_template;         ///< Jinja source; empty where the file has none
};

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

  /// The tokens of `text`, the beginning-of-sequence token in front where the model wants it and
  /// `beginning` is set.
  [[nodiscard]] std::vector<token_id> encode(std::string_view text, markup mode,
                                             bool beginning = true) const;

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
  struct merge {
    std::uint32_t rank;
    token_id result;
  };

  void encode_word(std::string_view word, std::vector<token_id>& out) const;
  [[nodiscard]] const merge* find_merge(token_id left, token_id right) const;

  vocabulary data_;
  std::vector<std::string> bytes_;
  std::vector<bool> ends_;
  std::unordered_map<std::string_view, token_id> ids_;  ///< views of data_.tokens
  std::unordered_map<std::uint64_t, merge> merges_;     ///< by left << 32 | right
  std::array<token_id, 256> byte_tokens_{};             ///< -1 where the vocabulary lacks the byte
  std::vector<token_id> markers_;  ///< tokens that are found as text, the longest first
};

/// GPT-2's printable alphabet: the code point that stands for a byte. Printable Latin-1 characters
/// stand for themselves, the 68 other bytes in order for U+0100 and following.
std::array<std::uint32_t, 256> byte_alphabet();

}  // namespace llm
