// SPDX-License-Identifier: Apache-2.0
/// What a model's files say of its tokens, whatever files they are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pre_tokenizer.hpp"

namespace llm {

using token_id = std::int32_t;

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

  /// How tokens spell text: each byte by a character of GPT-2's printable alphabet; or by the
  /// characters themselves, with U+2581 for a space, and tokens <0x00> to <0xFF> for the bytes of
  /// characters that are no tokens (SentencePiece).
  enum class spelling { bytes, characters };

  /// Where a space is put in front of a text, and of what follows a marker: nowhere; everywhere;
  /// where none stands; where none stands, but at the beginning of the text alone.
  enum class leading_space { none, always, where_missing, where_missing_at_beginning };

  /// How a token that is found as text is looked for, where it is not simply in the text as it is.
  struct marker_rule {
    token_id token;
    bool in_normalized_text = false;
    bool takes_spaces_left = false;  ///< white space beside it belongs to it
    bool takes_spaces_right = false;
  };

  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;  ///< one for each token; empty: all are normal
  std::vector<std::string> merges;  ///< "left right", the first one merges first
  std::vector<float> scores;  ///< one for each token; without merges, the best result merges first
  std::vector<marker_rule> marker_rules;
  spelling letters = spelling::bytes;
  pre_tokenizer words = pre_tokenizer::gpt2;
  leading_space space = leading_space::none;
  bool compose = false;  ///< text is brought to Unicode's form C first
  bool whole_words_first =
      false;  ///< a word that is a token stays whole, whatever the merges say (Llama 3)
  bool byte_fallback = false;        ///< characters that are no tokens become <0x..> tokens
  bool fuse_unknown = false;         ///< unknown characters in a row become one `unknown`
  bool strip_leading_space = false;  ///< decoding drops a space at the beginning of a text
  bool add_bos = false;
  std::optional<token_id> bos, eos, padding;
  std::optional<token_id> unknown_token;  ///< for what nothing spells; without it that is left out
  std::vector<token_id> other_ends;       ///< further tokens that end a text
  std::string chat_template;              ///< Jinja source; empty where the files have none
};

}  // namespace llm
