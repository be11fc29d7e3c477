// SPDX-License-Identifier: Apache-2.0
/// UTF-8: reading code points from any bytes, writing them, and a stream that never lets half a
/// character out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <edgerazor/core/printable.hpp>

namespace llm {

inline constexpr std::uint32_t replacement_character = 0xfffd;

/// One code point of a text and the bytes it takes there.
struct utf8_character {
  std::uint32_t code;  ///< `replacement_character` where the bytes are not UTF-8
  std::size_t size;    ///< 1 where they are not
};

/// Bytes of the sequence that `lead` begins; 0 where no sequence begins so.
constexpr std::size_t utf8_sequence_size(unsigned char lead) noexcept {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/// The first code point of `text`, which is not empty. Overlong forms, surrogates and values past
/// U+10FFFF are not UTF-8 (Unicode Standard, table 3-7).
constexpr utf8_character first_character(std::string_view text) noexcept {
  constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t size = utf8_sequence_size(byte(0));
  if (size == 1) return {byte(0), 1};
  if (size == 0 || size > text.size()) return {replacement_character, 1};
  std::uint32_t code = byte(0) & (0x7fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return {replacement_character, 1};
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < smallest[size] || code > 0x10ffff || surrogate) return {replacement_character, 1};
  return {code, size};
}

/// Appends the UTF-8 form of a code point up to U+10FFFF.
inline void append_utf8(std::string& text, std::uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  const int tails = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr std::uint32_t leads[] = {0, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(leads[tails] | (code >> (6 * tails)));
  for (int i = tails - 1; i >= 0; --i)
    text += static_cast<char>(0x80u | ((code >> (6 * i)) & 0x3fu));
}

/// A model's text as a terminal gets it: whole characters, of which controls other than line feed
/// and tab are shown by their bytes (\x1b), because a vocabulary may hold sequences that a terminal
/// would obey.
inline std::string without_controls(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = first_character(text.substr(at)).size;
    const std::string_view character = text.substr(at, size);
    result += character == "\n" || character == "\t" ? std::string{character}
                                                     : edgerazor::printable(character);
    at += size;
  }
  return result;
}

/// Turns the bytes of successive tokens, which may end inside a character, into whole characters.
class utf8_stream {
 public:
  /// The characters that `bytes` completes. An unfinished one waits; bytes that are not UTF-8
  /// become U+FFFD.
  std::string push(std::string_view bytes) {
    waiting_ += bytes;
    std::string result;
    std::size_t at = 0;
    while (at < waiting_.size() && !unfinished(std::string_view{waiting_}.substr(at))) {
      const utf8_character next = first_character(std::string_view{waiting_}.substr(at));
      append_utf8(result, next.code);
      at += next.size;
    }
    waiting_.erase(0, at);
    return result;
  }

  /// What still waits when the text ends: U+FFFD for each byte.
  std::string finish() {
    std::string result;
    for (std::size_t i = 0; i < waiting_.size(); ++i) append_utf8(result, replacement_character);
    waiting_.clear();
    return result;
  }

 private:
  /// True where more bytes may still make the first character whole.
  static bool unfinished(std::string_view text) noexcept {
    if (text.size() >= utf8_sequence_size(static_cast<unsigned char>(text[0]))) return false;
    for (const char c : text.substr(1)) {
      if ((static_cast<unsigned char>(c) & 0xc0u) != 0x80u) return false;
    }
    return true;
  }

  std::string waiting_;
};

}  // namespace llm
