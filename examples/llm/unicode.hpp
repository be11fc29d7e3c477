// SPDX-License-Identifier: Apache-2.0
/// What tokenizers ask of Unicode: kinds of characters, and the composed form. Tables: utf8proc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace llm {

/// Letters are the general categories L*, numbers N*; white space is the property White_Space.
/// `none` is no character: what stands past the end of a text.
enum class character_kind : std::uint8_t { letter, number, white_space, other, none };

/// The kind of a code point; `other` for what is none.
character_kind kind_of(std::uint32_t code);

/// `text` in normalization form C (Unicode Standard Annex 15). Bytes that are not UTF-8 stay as
/// they are. Time n log n, also for long runs of combining marks.
std::string composed(std::string_view text);

}  // namespace llm
