// SPDX-License-Identifier: Apache-2.0
/// The codes of packed weights, and the planes of bytes that hold them.
///
/// A codec stores the code of one weight as the sum of one or two digits, each in a plane of its
/// own; the level is the code without its offset:
///
///     code = sum over planes p of digit_p << shift_p          level = code - zero_code
///
/// | codec    | planes           | levels    | zero_code | bits a code |
/// | ternary2 | bits2            | -1 .. 1   |         1 | 2           |
/// | ternary5 | base3            | -1 .. 1   |         1 | 1.6         |
/// | ternary3 | triples          | -1 .. 1   |         1 | 1.67        |
/// | int4     | bits4            | -8 .. 7   |         8 | 4           |
/// | int8     | bits8            | -127..127 |       128 | 8           |
/// | int3     | bits2, bits1 << 2| -4 .. 3   |         4 | 3           |
/// | int5     | bits4, bits1 << 4| -16 .. 15 |        16 | 5           |
/// | int6     | bits4, bits2 << 4| -32 .. 31 |        32 | 6           |
/// | binary   | bits1 << 1       | -1 and 1  |         1 | 1           |
/// | int2     | bits2            | -2 .. 1   |         2 | 2           |
/// | table2   | levels2          | -15 .. 15 |        15 | 2           |
///
/// A plane is a positional number system: a byte holds the digits of `fields` columns,
///
///     byte = sum over fields f of digit_f * radix^f           digit_f = byte / radix^f % radix
///
/// | plane | unit: columns in bits | radix | fields a byte |
/// | bits1 | 1 in 1                |     2 |             8 |
/// | bits2 | 1 in 2                |     4 |             4 |
/// | bits4 | 1 in 4                |    16 |             2 |
/// | bits8 | 1 in 8                |   256 |             1 |
/// | base3 | 5 in 8                |     3 |             5 |
/// |levels2| 1 in 2                |     4 |             4 |
///
/// A digit of `levels2` is no code: it chooses one of the four that the row has in this group, from
/// a table that lies before the planes (tile_layout.hpp). So table2 takes any levels of its range,
/// at most four of them in a group of a row.
///
/// Triples are no plane: 5 bits hold the codes of three columns, and products look up three weights
/// at once instead of decoding them. triples.hpp draws their bytes.
///
/// Each plane is laid out and multiplied like a codec of its own, so a new width of planes that
/// exist is a row below and no new loop; docs/kernels.md says how a new plane is added.
///
/// Codes are stored unsigned, so that u8 x s8 dot-product instructions apply; the offset leaves the
/// sum again as `-zero_code * sum(x)`, once per group. Bytes that no packer writes have a meaning
/// too, the same in every kernel: a 2-bit code 3 of ternary2 is level 2, an int8 code 0 is -128,
/// a base-3 byte over 242 reads as 242, and of a table's byte the lower 5 bits are the code.
///
/// A format in which each group has a zero of its own (format.hpp) uses the codes 0 .. 2^bits - 1
/// as they are: zero_code and the levels are then of no concern.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class plane_type : std::uint8_t {
  bits1,
  bits2,
  bits4,
  bits8,
  base3,
  levels2,
};

/// Digits of a plane with a table choose among so many codes of a group's row; a byte of the table
/// is a code modulo `table_codes`.
inline constexpr unsigned table_size = 4, table_codes = 32;

/// One row of the table of planes.
struct plane_info {
  std::string_view name;
  plane_type type;
  unsigned unit;          ///< columns that share `bits` bits
  unsigned bits;          ///< 1, 2, 4 or 8
  unsigned radix;         ///< values of a digit; radix^unit <= 2^bits
  bool of_table = false;  ///< whether a digit chooses from the group's table

  /// The largest number that a digit stands for.
  [[nodiscard]] constexpr unsigned largest() const noexcept {
    return of_table ? table_codes - 1 : radix - 1;
  }
  /// Digits a byte: slots of 4 columns a chunk of 64 bytes.
  [[nodiscard]] constexpr unsigned fields() const noexcept { return unit * (8 / bits); }
  /// radix^field, the weight of a field in the byte.
  [[nodiscard]] constexpr unsigned weight(unsigned field) const noexcept {
    unsigned result = 1;
    for (unsigned f = 0; f < field; ++f) result *= radix;
    return result;
  }
  /// The digit in a field; of a plane with a table, the place there.
  [[nodiscard]] constexpr unsigned digit(std::uint8_t byte, unsigned field) const noexcept {
    return std::min<unsigned>(byte, weight(fields()) - 1) / weight(field) % radix;
  }
};

/// Indexed by `plane_type`. The kernels' tables are built from it: a plane without a decoder in one
/// of the instruction sets does not compile.
inline constexpr std::array plane_list = std::to_array<plane_info>({
    {"bits1", plane_type::bits1, 1, 1, 2},
    {"bits2", plane_type::bits2, 1, 2, 4},
    {"bits4", plane_type::bits4, 1, 4, 16},
    {"bits8", plane_type::bits8, 1, 8, 256},
    {"base3", plane_type::base3, 5, 8, 3},
    {"levels2", plane_type::levels2, 1, 2, 4, true},
});

[[nodiscard]] constexpr const plane_info& plane_of(plane_type type) noexcept {
  return plane_list[static_cast<std::size_t>(type)];
}

enum class code_type : std::uint8_t {
  ternary2,
  ternary5,
  int4,
  int8,
  int3,
  int5,
  int6,
  binary,
  int2,
  ternary3,
  table2,
};

/// One digit of a code: which plane holds it and what it counts.
struct code_digit {
  plane_type plane = plane_type::bits1;
  unsigned shift = 0;
};

/// One row of the table of codecs.
struct codec_info {
  std::string_view name;
  code_type type;
  std::size_t plane_count;           ///< 1 or 2; 0 of triples
  std::array<code_digit, 2> digits;  ///< of the planes, in the order in which they are stored
  int zero_code;                     ///< code - level: the offset of the sum correction
  int max_code;                      ///< largest code a packer writes
  int min_level;                     ///< smallest level a packer accepts
  int level_step = 1;                ///< 2: only every second level from min_level on exists

  [[nodiscard]] constexpr int max_level() const noexcept { return max_code - zero_code; }
  /// Whether codes are stored in threes (triples.hpp) and not in planes.
  [[nodiscard]] constexpr bool of_triples() const noexcept { return plane_count == 0; }
  [[nodiscard]] constexpr const plane_info& plane(std::size_t p) const noexcept {
    return plane_of(digits[p].plane);
  }
  /// Whether each group of a row has a table of its codes.
  [[nodiscard]] constexpr bool of_table() const noexcept {
    return plane_count == 1 && plane(0).of_table;
  }
  /// Different codes that a group of a row may have.
  [[nodiscard]] constexpr int most_levels() const noexcept {
    return of_table() ? static_cast<int>(table_size) : (max_level() - min_level) / level_step + 1;
  }
  /// The digit of a code in plane p. Not of a table, where it depends on the group.
  [[nodiscard]] constexpr unsigned digit(int code, std::size_t p) const noexcept {
    return (static_cast<unsigned>(code) >> digits[p].shift) % plane(p).radix;
  }
  /// The largest code that any bytes stand for.
  [[nodiscard]] constexpr unsigned largest_code() const noexcept {
    if (of_triples()) return 2;
    unsigned sum = 0;
    for (std::size_t p = 0; p < plane_count; ++p) sum += plane(p).largest() << digits[p].shift;
    return sum;
  }
  /// Whether a group's own zero may take the place of zero_code: every combination of digits is a
  /// code, and the codes are 0 .. 2^bits - 1.
  [[nodiscard]] constexpr bool has_zero_form() const noexcept {
    return level_step == 1 && static_cast<unsigned>(max_code) == largest_code() &&
           (largest_code() & (largest_code() + 1)) == 0;
  }
  /// Slots a chunk of the plane that holds the most of them: whole numbers of chunks of every
  /// plane. 1 of triples, whose chunks are no slots.
  [[nodiscard]] constexpr unsigned chunk_slots() const noexcept {
    unsigned most = of_triples() ? 1 : 0;
    for (std::size_t p = 0; p < plane_count; ++p) most = std::max(most, plane(p).fields());
    return most;
  }
  /// The byte of plane p whose every field holds that code's digit. (`binary` has no code of the
  /// level zero: the digits are those of its lowest level. Of a table the first place.)
  [[nodiscard]] constexpr std::uint8_t byte_of(int code, std::size_t p) const noexcept {
    unsigned sum = 0;
    if (of_table()) return 0;
    for (unsigned f = 0; f < plane(p).fields(); ++f) sum += digit(code, p) * plane(p).weight(f);
    return static_cast<std::uint8_t>(sum);
  }
};

/// Indexed by `code_type`. The one list of codecs: packing, products, tests, benchmarks and the
/// tables of the documentation run over it.
inline constexpr std::array codec_list = std::to_array<codec_info>({
    {"ternary2", code_type::ternary2, 1, {{{plane_type::bits2, 0}}}, 1, 2, -1},
    {"ternary5", code_type::ternary5, 1, {{{plane_type::base3, 0}}}, 1, 2, -1},
    {"int4", code_type::int4, 1, {{{plane_type::bits4, 0}}}, 8, 15, -8},
    {"int8", code_type::int8, 1, {{{plane_type::bits8, 0}}}, 128, 255, -127},
    {"int3", code_type::int3, 2, {{{plane_type::bits2, 0}, {plane_type::bits1, 2}}}, 4, 7, -4},
    {"int5", code_type::int5, 2, {{{plane_type::bits4, 0}, {plane_type::bits1, 4}}}, 16, 31, -16},
    {"int6", code_type::int6, 2, {{{plane_type::bits4, 0}, {plane_type::bits2, 4}}}, 32, 63, -32},
    {"binary", code_type::binary, 1, {{{plane_type::bits1, 1}}}, 1, 2, -1, 2},
    {"int2", code_type::int2, 1, {{{plane_type::bits2, 0}}}, 2, 3, -2},
    {"ternary3", code_type::ternary3, 0, {}, 1, 2, -1},
    {"table2", code_type::table2, 1, {{{plane_type::levels2, 0}}}, 15, 30, -15},
});

[[nodiscard]] constexpr const codec_info& codec_of(code_type type) noexcept {
  return codec_list[static_cast<std::size_t>(type)];
}

namespace detail::matrix {
/// Whether the rows are in the order of their types, every plane's bytes hold its units, and every
/// code fits a byte and is what its digits say.
constexpr bool lists_are_consistent() noexcept {
  for (std::size_t i = 0; i < plane_list.size(); ++i) {
    const plane_info& plane = plane_list[i];
    if (static_cast<std::size_t>(plane.type) != i || 8 % plane.bits != 0) return false;
    if (plane.weight(plane.unit) > 1u << plane.bits || plane.weight(plane.fields()) > 256)
      return false;
  }
  for (std::size_t i = 0; i < codec_list.size(); ++i) {
    const codec_info& codec = codec_list[i];
    if (static_cast<std::size_t>(codec.type) != i || codec.largest_code() > 255) return false;
    if (codec.of_triples() || codec.of_table()) continue;
    for (std::size_t p = 0; p < codec.plane_count; ++p) {
      if (codec.chunk_slots() % codec.plane(p).fields() != 0) return false;
    }
    for (int level = codec.min_level; level <= codec.max_level(); level += codec.level_step) {
      unsigned code = 0;
      for (std::size_t p = 0; p < codec.plane_count; ++p)
        code += codec.digit(level + codec.zero_code, p) << codec.digits[p].shift;
      if (static_cast<int>(code) != level + codec.zero_code) return false;
    }
  }
  return true;
}
static_assert(lists_are_consistent());

template <plane_type Type>
struct plane_constant {
  static constexpr plane_type type = Type;
};

/// use(plane_constant<type>{}): from a type known at run time to one known to the compiler.
template <class Use>
constexpr void with_plane(plane_type type, Use&& use) {
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    static_cast<void>((
        (plane_list[Index].type == type && (use(plane_constant<plane_list[Index].type>{}), true)) ||
        ...));
  }(std::make_index_sequence<plane_list.size()>{});
}
}  // namespace detail::matrix

/// Codecs as types, for `pack<Policy, Codec>`.
namespace codecs {
template <code_type Type>
struct codec {
  static constexpr code_type type = Type;
};
using ternary2 = codec<code_type::ternary2>;
using ternary3 = codec<code_type::ternary3>;
using ternary5 = codec<code_type::ternary5>;
using int2 = codec<code_type::int2>;
using int3 = codec<code_type::int3>;
using int4 = codec<code_type::int4>;
using int5 = codec<code_type::int5>;
using int6 = codec<code_type::int6>;
using int8 = codec<code_type::int8>;
using binary = codec<code_type::binary>;
using table2 = codec<code_type::table2>;
}  // namespace codecs

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
