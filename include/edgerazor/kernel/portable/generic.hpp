// SPDX-License-Identifier: Apache-2.0
/// Every other machine: xsimd's vectors of the build's own instruction set, so no question to the
/// processor is needed. A vector of 32-bit lanes is 4, 8 or 16 rows of a tile, 4 digits each. See
/// contract.hpp for what each function of the table does, scalar.hpp for the reference
/// implementation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/portable/generic_registers.hpp>
#include <edgerazor/kernel/portable/scalar.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::generic {

#define EDGERAZOR_ISA

inline constexpr std::string_view name = "generic";
inline bool supported() noexcept { return true; }

// Small blocks: the number of registers is not known.
inline constexpr std::size_t float_tokens = 1, float_cols = 1, float_tokens_rest = 1,
                             float_cols_rest = 1, dense_rows = 1, dense_tokens = 1, sum_vectors = 1,
                             sum_vectors_rest = 1, panel_block = 1, panel_step = 1,
                             sparse_rows = lanes < 8 ? 8 : lanes;

/// v / radix as v * factor >> shift, in 16 bits, for every byte of a plane of an odd radix.
struct division {
  std::uint16_t factor;
  int shift;
};
template <plane_type Plane>
[[nodiscard]] constexpr division division_by_radix() noexcept {
  constexpr plane_info plane = plane_of(Plane);
  for (int shift = 8; shift < 16; ++shift) {
    const unsigned factor = (1u << shift) / plane.radix + 1,
                   largest = plane.weight(plane.fields()) - 1;
    bool exact = largest * factor <= 65535;
    for (unsigned v = 0; v <= largest; ++v) exact = exact && v * factor >> shift == v / plane.radix;
    if (exact) return {static_cast<std::uint16_t>(factor), shift};
  }
  return {0, 0};
}

/// Splits the lowest field's digits off 16-bit lanes; `rest` keeps the higher fields.
template <plane_type Plane>
EDGERAZOR_INLINE word_vector take_digit(word_vector& rest) noexcept {
  constexpr plane_info plane = plane_of(Plane);
  if constexpr (std::has_single_bit(plane.radix)) {
    const word_vector digit = rest & word_vector(static_cast<std::uint16_t>(plane.radix - 1));
    rest = rest >> static_cast<int>(plane.bits);
    return digit;
  } else {
    constexpr division by = division_by_radix<Plane>();
    static_assert(by.factor != 0, "no factor divides all bytes of this plane in 16 bits");
    const word_vector higher = (rest * word_vector(by.factor)) >> by.shift;
    const word_vector digit = rest - higher * word_vector(static_cast<std::uint16_t>(plane.radix));
    rest = higher;
    return digit;
  }
}

/// Of each row's 4 bytes, as 16-bit integers: `even` bytes 0 and 2, `odd` bytes 1 and 3.
struct byte_pairs {
  word_vector even, odd;

  byte_pairs() = default;
  EDGERAZOR_INLINE explicit byte_pairs(const byte_vector& bytes) noexcept {
    const auto words = xsimd::bitwise_cast<std::uint16_t>(bytes);
    even = words & word_vector(std::uint16_t{0xff});
    odd = words >> 8;
  }
};

/// A chunk, or the codes of a slot, which are a plane of 8 bits.
template <plane_type Plane>
struct chunk_codes {
  byte_pairs part[parts];

  EDGERAZOR_INLINE explicit chunk_codes(const std::uint8_t* chunk) noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      byte_vector bytes = byte_vector::load_unaligned(chunk + slot_cols * lanes * i);
      if constexpr (!std::has_single_bit(plane_of(Plane).radix)) {
        constexpr unsigned largest = plane_of(Plane).weight(plane_of(Plane).fields()) - 1;
        bytes = xsimd::min(bytes, byte_vector(static_cast<std::uint8_t>(largest)));
      }
      part[i] = byte_pairs(bytes);
    }
  }
  EDGERAZOR_INLINE slot_bytes field(unsigned f) const noexcept {
    slot_bytes result;
    for (std::size_t i = 0; i < parts; ++i) {
      byte_pairs rest = part[i];
      word_vector even = take_digit<Plane>(rest.even), odd = take_digit<Plane>(rest.odd);
      for (unsigned lower = 0; lower < f; ++lower) {
        even = take_digit<Plane>(rest.even);
        odd = take_digit<Plane>(rest.odd);
      }
      result.part[i] = xsimd::bitwise_cast<std::uint8_t>(even | (odd << 8));
    }
    return result;
  }
};

/// Of a plane with a table: the bytes as they are.
template <>
struct chunk_codes<plane_type::levels2> {
  byte_vector part[parts];

  EDGERAZOR_INLINE explicit chunk_codes(const std::uint8_t* chunk) noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i)
      part[i] = byte_vector::load_unaligned(chunk + slot_cols * lanes * i);
  }
  EDGERAZOR_INLINE slot_bytes field(unsigned f) const noexcept {
    slot_bytes result;
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      const auto words = xsimd::bitwise_cast<std::uint16_t>(part[i]) >> static_cast<int>(2 * f);
      result.part[i] =
          xsimd::bitwise_cast<std::uint8_t>(words & word_vector(std::uint16_t{0x0303}));
    }
    return result;
  }
};

/// A group's table, for machines without a byte shuffle. With the codes t0 .. t3 of a row and the
/// two bits of a digit as masks m0, m1 of all bits,
///
///     code = t0 ^ (m0 & (t0 ^ t1)) ^ (m1 & (t0 ^ t2)) ^ (m0 & m1 & (t0 ^ t1 ^ t2 ^ t3))
struct group_table {
  byte_vector none[parts], first[parts], second[parts], both[parts];  ///< in all 4 bytes of a row

  group_table() = default;
  EDGERAZOR_INLINE explicit group_table(const std::uint8_t* table) noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      byte_vector codes[table_size];
      const auto rows = xsimd::bitwise_cast<std::uint32_t>(
          byte_vector::load_unaligned(table + table_size * lanes * i));
      using row_vector = xsimd::batch<std::uint32_t, arch>;
      EDGERAZOR_UNROLL
      for (unsigned k = 0; k < table_size; ++k) {
        row_vector code = (rows >> static_cast<int>(8 * k)) & row_vector(table_codes - 1);
        code = code | (code << 8);
        codes[k] = xsimd::bitwise_cast<std::uint8_t>(code | (code << 16));
      }
      none[i] = codes[0], first[i] = codes[0] ^ codes[1], second[i] = codes[0] ^ codes[2];
      both[i] = first[i] ^ codes[2] ^ codes[3];
    }
  }
  [[nodiscard]] EDGERAZOR_INLINE byte_vector of(std::size_t i,
                                                const byte_vector& digits) const noexcept {
    const byte_vector zero(std::uint8_t{0}), one(std::uint8_t{1});
    const byte_vector m0 = zero - (digits & one), m1 = zero - ((digits & (one + one)) >> 1);
    return none[i] ^ (m0 & first[i]) ^ (m1 & second[i]) ^ (m0 & m1 & both[i]);
  }
};
EDGERAZOR_INLINE slot_bytes codes_in_table(const std::uint8_t* table,
                                           const slot_bytes& digits) noexcept {
  const group_table codes(table);
  slot_bytes result;
  for (std::size_t i = 0; i < parts; ++i) result.part[i] = codes.of(i, digits.part[i]);
  return result;
}

using short_vector = xsimd::batch<std::int16_t, arch>;

/// Four activations in 16 bits, for every row: columns 0 and 2, and columns 1 and 3.
struct slot_columns {
  short_vector even, odd;

  EDGERAZOR_INLINE explicit slot_columns(const std::int8_t* x) noexcept {
    std::int32_t four;
    std::memcpy(&four, x, sizeof four);
    const auto both = xsimd::bitwise_cast<std::int16_t>(int_vector(four));
    even = (both << 8) >> 8;
    odd = both >> 8;
  }
};

/// The two 16-bit sums of each row, added in 32 bits.
EDGERAZOR_INLINE int_vector widen(const short_vector& sums) noexcept {
  const auto both = xsimd::bitwise_cast<std::int32_t>(sums);
  return ((both << 16) >> 16) + (both >> 16);
}

/// Products of digits up to `largest` fit 16 bits together for so many slots: |sum| <= slots * 2 *
/// largest * 128 < 2^15. 0: one slot's do not, though each product of an 8-bit digit does.
constexpr std::size_t slots_to_widen(unsigned largest) noexcept {
  return 32767 / (2 * largest * 128);
}
static_assert(255 * 128 <= 32767);

/// Sums of 16 rows while chunks go by: in 16 bits as long as they fit, then in 32.
template <plane_type Plane>
struct chunk_sums {
  static constexpr unsigned fields = plane_of(Plane).fields();
  static constexpr std::size_t widest = slots_to_widen(plane_of(Plane).radix - 1) / fields;
  short_vector narrow[parts];
  int_vector wide[parts];
  std::size_t held = 0;  ///< chunks whose products are in `narrow`

  EDGERAZOR_INLINE chunk_sums() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i)
      narrow[i] = short_vector(std::int16_t{0}), wide[i] = splat(std::int32_t{0});
  }
  EDGERAZOR_INLINE void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    byte_pairs rest[parts];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) rest[i] = codes.part[i];
    // Of more fields the code would be larger, and not faster.
    if constexpr (fields <= 4) {
      EDGERAZOR_UNROLL
      for (unsigned f = 0; f < fields; ++f) add_field(rest, f, x + slot_cols * f);
    } else {
      for (unsigned f = 0; f + 1 < fields; ++f) add_field(rest, f, x + slot_cols * f);
      add_field(rest, fields - 1, x + slot_cols * (fields - 1));
    }
    if constexpr (widest > 0) {
      if (++held == widest) widen_all();
    }
  }
  /// Adds the lowest field of `rest`, which is field f, times its columns, and takes it off.
  EDGERAZOR_INLINE void add_field(byte_pairs (&rest)[parts], unsigned f,
                                  const std::int8_t* x) noexcept {
    const slot_columns columns(x);
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      const word_vector even = f + 1 < fields ? take_digit<Plane>(rest[i].even) : rest[i].even;
      const word_vector odd = f + 1 < fields ? take_digit<Plane>(rest[i].odd) : rest[i].odd;
      const short_vector of_even = xsimd::bitwise_cast<std::int16_t>(even) * columns.even;
      const short_vector of_odd = xsimd::bitwise_cast<std::int16_t>(odd) * columns.odd;
      if constexpr (widest > 0) {
        narrow[i] += of_even + of_odd;
      } else {
        wide[i] += widen(of_even) + widen(of_odd);
      }
    }
  }
  EDGERAZOR_INLINE void widen_all() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      wide[i] += widen(narrow[i]);
      narrow[i] = short_vector(std::int16_t{0});
    }
    held = 0;
  }
  EDGERAZOR_INLINE ints total() noexcept {
    if constexpr (widest > 0) widen_all();
    ints result;
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) result.part[i] = wide[i];
    return result;
  }
};

/// Of a plane with a table: of a chunk the products fit 16 bits.
template <>
struct chunk_sums<plane_type::levels2> {
  static constexpr unsigned fields = plane_of(plane_type::levels2).fields();
  static_assert(slots_to_widen(table_codes - 1) >= fields);
  group_table table;
  int_vector wide[parts];

  EDGERAZOR_INLINE chunk_sums() noexcept {
    for (std::size_t i = 0; i < parts; ++i) wide[i] = splat(std::int32_t{0});
  }
  EDGERAZOR_INLINE void take_table(const std::uint8_t* codes) noexcept {
    table = group_table(codes);
  }
  EDGERAZOR_INLINE void add(const chunk_codes<plane_type::levels2>& codes,
                            const std::int8_t* x) noexcept {
    short_vector narrow[parts];
    for (std::size_t i = 0; i < parts; ++i) narrow[i] = short_vector(std::int16_t{0});
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const slot_columns columns(x + slot_cols * f);
      const slot_bytes digits = codes.field(f);
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < parts; ++i) {
        const byte_pairs pairs(table.of(i, digits.part[i]));
        narrow[i] += xsimd::bitwise_cast<std::int16_t>(pairs.even) * columns.even +
                     xsimd::bitwise_cast<std::int16_t>(pairs.odd) * columns.odd;
      }
    }
    for (std::size_t i = 0; i < parts; ++i) wide[i] += widen(narrow[i]);
  }
  EDGERAZOR_INLINE ints total() const noexcept {
    ints result;
    for (std::size_t i = 0; i < parts; ++i) result.part[i] = wide[i];
    return result;
  }
};
template <plane_type>
inline constexpr unsigned chains = 1;
template <plane_type>
inline constexpr bool has_half_sums = false;

/// totals += codes of a slot * x, in 16 bits (narrow) or, for codes of 8 bits, in 32.
template <bool Narrow>
EDGERAZOR_INLINE void add_slot(const std::uint8_t* slot, const std::int8_t* x,
                               short_vector (&narrow)[parts], ints& totals) noexcept {
  const slot_columns columns(x);
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    const byte_pairs codes(byte_vector::load_unaligned(slot + slot_cols * lanes * i));
    const short_vector of_even = xsimd::bitwise_cast<std::int16_t>(codes.even) * columns.even;
    const short_vector of_odd = xsimd::bitwise_cast<std::int16_t>(codes.odd) * columns.odd;
    if constexpr (Narrow) {
      narrow[i] += of_even + of_odd;
    } else {
      totals.part[i] += widen(of_even) + widen(of_odd);
    }
  }
}

template <std::size_t Tokens>
EDGERAZOR_INLINE void add_panel(const group_panel& w, const panel_tokens& x, std::size_t first,
                                ints (&totals)[Tokens]) noexcept {
  static_assert(Tokens == 1);
  const std::int8_t* const token = x.x + first * x.x_stride;
  const std::size_t widest = slots_to_widen(w.largest_code);
  for (std::size_t s = 0; s < w.slots;) {
    short_vector narrow[parts];
    for (std::size_t i = 0; i < parts; ++i) narrow[i] = short_vector(std::int16_t{0});
    const std::size_t end = widest == 0 || w.slots - s < widest ? w.slots : s + widest;
    for (; s < end; ++s) {
      const std::uint8_t* const slot = w.codes + chunk_bytes * s;
      if (widest == 0) {
        add_slot<false>(slot, token + slot_cols * s, narrow, totals[0]);
      } else {
        add_slot<true>(slot, token + slot_cols * s, narrow, totals[0]);
      }
    }
    for (std::size_t i = 0; i < parts; ++i) totals[0].part[i] += widen(narrow[i]);
  }
}

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/float.inl>
#include <edgerazor/kernel/loops/panel.inl>
#include <edgerazor/kernel/loops/sparse.inl>
#include <edgerazor/kernel/loops/unpack.inl>

#undef EDGERAZOR_ISA

// xsimd has no shuffle of bytes for every machine: the reference implementation's look-ups.
using scalar::triple_dot, scalar::triple_tables, scalar::triple_unpack;

#include <edgerazor/kernel/loops/table.inl>

}  // namespace detail::kernel::generic
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
