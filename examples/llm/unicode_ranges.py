"""Writes unicode_ranges.hpp: the code points that byte-level BPE pre-tokenizers call letters, numbers and white space.

    python3 examples/llm/unicode_ranges.py > examples/llm/unicode_ranges.hpp

Letters are the general categories L*, numbers N*, both from Python's unicodedata. White space is the property White_Space
of the Unicode Character Database (PropList.txt), which unicodedata does not carry.
"""

import sys
import unicodedata

WHITE_SPACE = [(0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
               (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]


def ranges_of(category):
    """Closed ranges of the code points whose general category starts with `category`."""
    ranges = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] != category:
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges


def print_table(name, ranges):
    print(f"\ninline constexpr code_point_range {name}[] = {{")
    line = "   "
    for first, last in ranges:
        item = f" {{0x{first:x}, 0x{last:x}}},"
        if len(line) + len(item) > 120:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")


print(f"""/// Letters, numbers and white space of Unicode {unicodedata.unidata_version}, as sorted closed ranges of code points.
/// Written by unicode_ranges.py.
#pragma once

#include <cstdint>

namespace llm {{

struct code_point_range {{
  std::uint32_t first;
  std::uint32_t last;
}};

// clang-format off""")
print_table("letter_ranges", ranges_of("L"))
print_table("number_ranges", ranges_of("N"))
print_table("white_space_ranges", WHITE_SPACE)
print("""
// clang-format on

}  // namespace llm""")
