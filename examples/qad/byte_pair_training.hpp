// SPDX-License-Identifier: Apache-2.0
/// Learning a byte-level byte-pair encoding (Gage 1994; Sennrich et al., arXiv 1508.07909) from a
/// text.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string_view>

#include "llm/tokenizer.hpp"

namespace qad {

/// The text of the last token, which ends a text. No training text has it.
inline constexpr std::string_view end_of_text = "<|endoftext|>";

/// A vocabulary of `size` tokens: the 256 bytes, then one token a merge, then `end_of_text`.
///
/// The most frequent pair of neighbours inside words merges; of equally frequent ones the pair of
/// the smaller left token, then of the smaller right one, so that the same text gives the same
/// vocabulary everywhere. Words are those of GPT-2's pre-tokenizer. Smaller than `size` where no
/// pair occurs twice any more. Throws std::invalid_argument for a size below 257.
///
/// Time: linear in the text for the words, then for each merge linear in the distinct words that
/// have the pair.
llm::vocabulary train_byte_pairs(std::string_view text, std::size_t size);

}  // namespace qad
