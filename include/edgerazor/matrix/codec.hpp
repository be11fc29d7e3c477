// SPDX-License-Identifier: Apache-2.0
/// The codes and how several of them share a byte. Every codec is one positional number system:
///
///     byte = sum over fields f of code_f * radix^f          code_f = byte / radix^f % radix
///
/// | codec    | radix | codes a byte | levels    | stored code | bits a code |
/// | ternary2 |     4 |            4 | -1 .. 1   | level + 1   | 2           |
/// | ternary5 |     3 |            5 | -1 .. 1   | level + 1   | 1.6         |
/// | int4     |    16 |            2 | -8 .. 7   | level + 8   | 4           |
/// | int8     |   256 |            1 | -127..127 | level + 128 | 8           |
///
/// Codes are stored unsigned, so that u8 x s8 dot-product instructions apply; the offset leaves the
/// sum again as `-zero_code * sum(x)`, once per group. Bytes that no packer writes have a meaning
/// too, the same in every kernel: a 2-bit code 3 is level 2, an int8 code 0 is -128, and a base-3
/// byte over 242 reads as 242.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class code_type : std::uint8_t { ternary2, ternary5, int4, int8 };

/// One row of the table above.
struct codec_info {
  std::string_view name;
  code_type type;
  unsigned radix;
  unsigned fields;  ///< codes a byte
  int zero_code;    ///< the code of level 0: padding, and the offset of the sum correction
  int max_code;     ///< largest code a packer writes
  int min_level;    ///< smallest level a packer accepts

  [[nodiscard]] constexpr int max_level() const noexcept { return max_code - zero_code; }
  /// radix^field, the weight of a field in the byte.
  [[nodiscard]] constexpr unsigned weight(unsigned field) const noexcept {
    unsigned result = 1;
    for (unsigned f = 0; f < field; ++f) result *= radix;
    return result;
  }
  [[nodiscard]] constexpr unsigned code(std::uint8_t byte, unsigned field) const noexcept {
    return std::min<unsigned>(byte, weight(fields) - 1) / weight(field) % radix;
  }
  /// The byte whose every field is the level zero.
  [[nodiscard]] constexpr std::uint8_t zero_byte() const noexcept {
    unsigned sum = 0;
    for (unsigned f = 0; f < fields; ++f) sum += static_cast<unsigned>(zero_code) * weight(f);
    return static_cast<std::uint8_t>(sum);
  }
};

/// Indexed by `code_type`. The one list of codecs: packing, kernels, tests and benchmarks run over
/// it.
inline constexpr std::array<codec_info, 4> codec_list{{
    {"ternary2", code_type::ternary2, 4, 4, 1, 2, -1},
    {"ternary5", code_type::ternary5, 3, 5, 1, 2, -1},
    {"int4", code_type::int4, 16, 2, 8, 15, -8},
    {"int8", code_type::int8, 256, 1, 128, 255, -127},
}};

[[nodiscard]] constexpr const codec_info& codec_of(code_type type) noexcept {
  return codec_list[static_cast<std::size_t>(type)];
}

/// Codecs as types, for `pack<Policy, Codec>`.
namespace codecs {
template <code_type Type>
struct codec {
  static constexpr code_type type = Type;
};
using ternary2 = codec<code_type::ternary2>;
using ternary5 = codec<code_type::ternary5>;
using int4 = codec<code_type::int4>;
using int8 = codec<code_type::int8>;
}  // namespace codecs

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
