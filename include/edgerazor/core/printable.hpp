// SPDX-License-Identifier: Apache-2.0
/// Text of strangers as a message may show it: names and values of files, paths, tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::core {

/// Bytes of the UTF-8 sequence that `text` begins with; 0 where it begins with none: an overlong
/// form, a surrogate, a value past U+10FFFF (Unicode Standard, table 3-7), or nothing.
[[nodiscard]] constexpr std::size_t utf8_size(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  }
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;
  if (lead == 0xed && byte(1) >= 0xa0) return 0;
  if (lead == 0xf0 && byte(1) < 0x90) return 0;
  if (lead == 0xf4 && byte(1) >= 0x90) return 0;
  return size;
}

/// Whether a terminal would obey a sequence of `size` bytes instead of showing it: C0 and C1
/// controls, and what turns the order of a line (U+200E, U+200F, U+2028 to U+202E, U+2066 to
/// U+2069).
[[nodiscard]] constexpr bool is_control(std::string_view sequence) noexcept {
  const auto byte = [sequence](std::size_t i) { return static_cast<unsigned char>(sequence[i]); };
  if (sequence.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (sequence.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;
  if (sequence.size() != 3 || byte(0) != 0xe2) return false;
  if (byte(1) == 0x80)
    return byte(2) == 0x8e || byte(2) == 0x8f || (byte(2) >= 0xa8 && byte(2) <= 0xae);
  return byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;
}

}  // namespace detail::core

/// `text` with every byte that a terminal would obey, or that is not UTF-8, as \x1b: what comes out
/// is one line of UTF-8. More than `most` bytes of `text` are cut off at a character, and "..."
/// says so.
[[nodiscard]] inline std::string printable(std::string_view text, std::size_t most = 80) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = detail::core::utf8_size(text.substr(at));
    const std::string_view sequence = text.substr(at, size == 0 ? 1 : size);
    if (at + sequence.size() > most) return result + "...";
    if (size != 0 && !detail::core::is_control(sequence)) {
      result += sequence;
    } else {
      for (const char c : sequence) {
        const auto byte = static_cast<unsigned char>(c);
        result += "\\x";
        result += digits[byte >> 4];
        result += digits[byte & 15u];
      }
    }
    at += sequence.size();
  }
  return result;
}

/// For `most`, where the text is a path.
inline constexpr std::size_t longest_path = 1024;

/// The same in quotation marks, as sentences show names.
[[nodiscard]] inline std::string quoted(std::string_view text, std::size_t most = 80) {
  std::string result(1, '\'');
  result += printable(text, most);
  return result += '\'';
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
