// SPDX-License-Identifier: Apache-2.0
#include "unicode.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <utf8proc.h>

#include "utf8.hpp"

namespace llm {

namespace {

int combining_class(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

/// Appends the composed form of code points that are decomposed. Marks are put in canonical order
/// here: utf8proc, which would do it too, takes quadratic time where many are out of it.
void append_composed(std::string& out, std::vector<utf8proc_int32_t>& parts) {
  const auto is_mark = [](utf8proc_int32_t code) { return combining_class(code) != 0; };
  for (auto at = parts.begin(); at != parts.end();) {
    at = std::find_if(at, parts.end(), is_mark);
    const auto end = std::find_if_not(at, parts.end(), is_mark);
    std::stable_sort(at, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    at = end;
  }
  const utf8proc_ssize_t size =
      utf8proc_normalize_utf32(parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < size; ++i)
    append_utf8(out, static_cast<std::uint32_t>(parts[static_cast<std::size_t>(i)]));
  parts.clear();
}

}  // namespace

character_kind kind_of(std::uint32_t code) {
  if (code >= 0x09 && code <= 0x0d) return character_kind::white_space;
  if (code == 0x85) return character_kind::white_space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return character_kind::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return character_kind::number;
    case UTF8PROC_CATEGORY_ZS:  // the other characters of White_Space
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return character_kind::white_space;
    default:
      return character_kind::other;
  }
}

std::string composed(std::string_view text) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), ascii)) return std::string{text};
  std::string result;
  std::vector<utf8proc_int32_t> parts;  // of what is valid
  for (std::size_t at = 0; at < text.size();) {
    const utf8_character next = first_character(text.substr(at));
    const bool valid = next.code != replacement_character || next.size != 1;
    if (valid) {
      constexpr std::size_t longest = 4;  // canonical decomposition of a character
      utf8proc_int32_t decomposed[longest];
      int boundary = 0;
      const utf8proc_ssize_t size =
          utf8proc_decompose_char(static_cast<utf8proc_int32_t>(next.code), decomposed, longest,
                                  UTF8PROC_DECOMPOSE, &boundary);
      if (size < 1 || size > static_cast<utf8proc_ssize_t>(longest)) {
        parts.push_back(static_cast<utf8proc_int32_t>(next.code));
      } else {
        parts.insert(parts.end(), decomposed, decomposed + size);
      }
    } else {
      append_composed(result, parts);
      result += text[at];
    }
    at += next.size;
  }
  append_composed(result, parts);
  return result;
}

}  // namespace llm
