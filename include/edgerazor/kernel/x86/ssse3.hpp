// SPDX-License-Identifier: Apache-2.0
/// SSSE3, for x86-64 without AVX2: `pshufb` looks up products of codes in threes, 16 rows at once,
/// and the codes of a plane with a table, 4 rows at once. All else, the other planes above all, is
/// the build's own (portable/generic.hpp). See contract.hpp for what each function of the table
/// does, portable/scalar.hpp for the reference implementation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/portable/generic.hpp>
#include <edgerazor/kernel/triple_patterns.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>
#include <edgerazor/kernel/x86/prefetch.hpp>

#if EDGERAZOR_X86

#include <immintrin.h>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::ssse3 {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("ssse3")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline bool supported() noexcept { return detect_cpu_features().ssse3; }

using int_vector = __m128i;
using byte_vector = __m128i;
inline constexpr std::size_t lanes = 4, parts = 4, tiles_at_once = 1;
EDGERAZOR_OP __m128i load_16(const void* at) noexcept {
  return _mm_loadu_si128(static_cast<const __m128i*>(at));
}
EDGERAZOR_OP void store_16(void* to, __m128i v) noexcept {
  _mm_storeu_si128(static_cast<__m128i*>(to), v);
}
EDGERAZOR_OP int_vector load(const std::int32_t* at) noexcept { return load_16(at); }
EDGERAZOR_OP void store(std::int32_t* to, int_vector v) noexcept { store_16(to, v); }
EDGERAZOR_OP int_vector splat(std::int32_t x) noexcept { return _mm_set1_epi32(x); }
EDGERAZOR_OP int_vector add(int_vector a, int_vector b) noexcept { return _mm_add_epi32(a, b); }
EDGERAZOR_OP int_vector shift_left(int_vector v, unsigned count) noexcept {
  return _mm_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}
EDGERAZOR_OP byte_vector load(const std::uint8_t* at) noexcept { return load_16(at); }
EDGERAZOR_OP void store(std::uint8_t* to, byte_vector v) noexcept { store_16(to, v); }
EDGERAZOR_OP byte_vector either(byte_vector a, byte_vector b) noexcept {
  return _mm_or_si128(a, b);
}
EDGERAZOR_OP byte_vector shift_bytes_left(byte_vector v, unsigned count) noexcept {
  return _mm_sll_epi16(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}

#include <edgerazor/kernel/loops/registers.inl>

using x86::prefetch, x86::prefetch_bytes;

/// One register a unit.
struct unit_bytes {
  __m128i unit[2];
};
EDGERAZOR_OP unit_bytes load_units(const std::uint8_t* at) noexcept {
  return {{load_16(at), load_16(at + 16)}};
}
EDGERAZOR_OP void store_units(std::uint8_t* to, unit_bytes v) noexcept {
  store_16(to, v.unit[0]), store_16(to + 16, v.unit[1]);
}
EDGERAZOR_OP unit_bytes splat_units(int byte) noexcept {
  const __m128i v = _mm_set1_epi8(static_cast<char>(byte));
  return {{v, v}};
}
EDGERAZOR_OP unit_bytes add_units(unit_bytes a, unit_bytes b) noexcept {
  return {{_mm_add_epi8(a.unit[0], b.unit[0]), _mm_add_epi8(a.unit[1], b.unit[1])}};
}
EDGERAZOR_OP void pin([[maybe_unused]] unit_bytes& v) noexcept {
  EDGERAZOR_PIN_REGISTER(v.unit[0]);
  EDGERAZOR_PIN_REGISTER(v.unit[1]);
}
EDGERAZOR_OP unit_bytes low_nibbles(unit_bytes v) noexcept {
  const __m128i mask = _mm_set1_epi8(15);
  return {{_mm_and_si128(v.unit[0], mask), _mm_and_si128(v.unit[1], mask)}};
}
EDGERAZOR_OP unit_bytes high_nibbles(unit_bytes v) noexcept {
  return low_nibbles({{_mm_srli_epi16(v.unit[0], 4), _mm_srli_epi16(v.unit[1], 4)}});
}
EDGERAZOR_OP unit_bytes look_up_units(unit_bytes table, unit_bytes index) noexcept {
  return {{_mm_shuffle_epi8(table.unit[0], index.unit[0]),
           _mm_shuffle_epi8(table.unit[1], index.unit[1])}};
}
/// `psignb` gives zero where a sign is zero, as that of the index 0 would be: bit 0 keeps it from
/// that, and is never the top bit of the four signs.
EDGERAZOR_OP unit_bytes signs_of(unit_bytes v) noexcept {
  const __m128i one = _mm_set1_epi8(1);
  return {{_mm_or_si128(v.unit[0], one), _mm_or_si128(v.unit[1], one)}};
}
EDGERAZOR_OP unit_bytes add_signed(unit_bytes sum, unit_bytes v, unit_bytes signs) noexcept {
  return {{_mm_add_epi8(sum.unit[0], _mm_sign_epi8(v.unit[0], signs.unit[0])),
           _mm_add_epi8(sum.unit[1], _mm_sign_epi8(v.unit[1], signs.unit[1]))}};
}
EDGERAZOR_OP unit_bytes two_bits(unit_bytes v, unsigned b) noexcept {
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(2 * b)), mask = _mm_set1_epi8(3);
  return {{_mm_and_si128(_mm_srl_epi16(v.unit[0], shift), mask),
           _mm_and_si128(_mm_srl_epi16(v.unit[1], shift), mask)}};
}

/// Rows 0 to 7 of each unit, and rows 8 to 15.
struct unit_sums {
  __m128i first[2], second[2];
  EDGERAZOR_OP unit_sums() noexcept {
    first[0] = first[1] = second[0] = second[1] = _mm_setzero_si128();
  }
};
/// `pmaddubsw` of the bytes 1 and 31 with low and high in turn: |sum| <= 8 * 3 * 128, which fits.
EDGERAZOR_OP void add_products(unit_sums& sums, unit_bytes low, unit_bytes high) noexcept {
  const __m128i factors = _mm_set1_epi16(256 * triple_factor + 1);
  EDGERAZOR_UNROLL
  for (std::size_t u = 0; u < 2; ++u) {
    const __m128i upper = _mm_unpacklo_epi8(low.unit[u], high.unit[u]),
                  lower = _mm_unpackhi_epi8(low.unit[u], high.unit[u]);
    sums.first[u] = _mm_add_epi16(sums.first[u], _mm_maddubs_epi16(factors, upper));
    sums.second[u] = _mm_add_epi16(sums.second[u], _mm_maddubs_epi16(factors, lower));
  }
}
/// `pmaddwd` by ones adds the two units of a row.
EDGERAZOR_OP ints row_sums(const unit_sums& sums) noexcept {
  const __m128i one = _mm_set1_epi16(1);
  return {{_mm_madd_epi16(_mm_unpacklo_epi16(sums.first[0], sums.first[1]), one),
           _mm_madd_epi16(_mm_unpackhi_epi16(sums.first[0], sums.first[1]), one),
           _mm_madd_epi16(_mm_unpacklo_epi16(sums.second[0], sums.second[1]), one),
           _mm_madd_epi16(_mm_unpackhi_epi16(sums.second[0], sums.second[1]), one)}};
}
EDGERAZOR_OP void put_slot(const std::uint8_t* columns, std::uint8_t* slot) noexcept {
  const __m128i c0 = load_16(columns), c1 = load_16(columns + 16), c2 = load_16(columns + 32),
                c3 = load_16(columns + 48);
  const __m128i low01 = _mm_unpacklo_epi8(c0, c1), high01 = _mm_unpackhi_epi8(c0, c1),
                low23 = _mm_unpacklo_epi8(c2, c3), high23 = _mm_unpackhi_epi8(c2, c3);
  store_16(slot, _mm_unpacklo_epi16(low01, low23));
  store_16(slot + 16, _mm_unpackhi_epi16(low01, low23));
  store_16(slot + 32, _mm_unpacklo_epi16(high01, high23));
  store_16(slot + 48, _mm_unpackhi_epi16(high01, high23));
}

/// Sums of three products with 8 of the 16 patterns of weights, in 16 bits.
EDGERAZOR_OP __m128i eight_sums(const triple_activations& three, std::size_t first) noexcept {
  __m128i sum = _mm_setzero_si128();
  EDGERAZOR_UNROLL
  for (std::size_t b = 0; b < matrix::triples::unit_cols; ++b) {
    sum = _mm_add_epi16(sum, _mm_mullo_epi16(load_16(weights_of_triples.level[b] + first),
                                             _mm_set1_epi16(three.x[b])));
  }
  return sum;
}
/// See contract.hpp. `pmulhrsw` by 1057 is triple_high.
EDGERAZOR_ISA inline void triple_tables(const std::int8_t* x, std::size_t cols,
                                        std::uint8_t* tables) noexcept {
  namespace triples = matrix::triples;
  const __m128i reciprocal = _mm_set1_epi16(1057), factor = _mm_set1_epi16(triple_factor);
  for (std::size_t c = 0; c < cols; c += triples::pair_cols, tables += triple_table_bytes) {
    for (std::size_t unit = 0; unit < 2; ++unit) {
      const triple_activations three(x, c + triples::unit_cols * unit, cols);
      const __m128i sum0 = eight_sums(three, 0), sum1 = eight_sums(three, 8);
      const __m128i high0 = _mm_mulhrs_epi16(sum0, reciprocal),
                    high1 = _mm_mulhrs_epi16(sum1, reciprocal);
      const __m128i low0 = _mm_sub_epi16(sum0, _mm_mullo_epi16(high0, factor)),
                    low1 = _mm_sub_epi16(sum1, _mm_mullo_epi16(high1, factor));
      store_16(tables + 16 * unit, _mm_packs_epi16(low0, low1));
      store_16(tables + 32 + 16 * unit, _mm_packs_epi16(high0, high1));
    }
  }
}

#include <edgerazor/kernel/loops/triples.inl>

EDGERAZOR_OP __m128i masked(__m128i v, unsigned mask) noexcept {
  return _mm_and_si128(v, _mm_set1_epi8(static_cast<char>(mask)));
}

/// A chunk of a plane with a table: the bytes as they are.
template <plane_type Plane>
struct chunk_codes {
  static_assert(plane_of(Plane).of_table && plane_of(Plane).fields() == 4);
  byte_vector part[parts];

  EDGERAZOR_OP explicit chunk_codes(const std::uint8_t* chunk) noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) part[i] = load_16(chunk + slot_cols * lanes * i);
  }
  EDGERAZOR_OP slot_bytes field(unsigned f) const noexcept {
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(2 * f));
    slot_bytes result;
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i)
      result.part[i] = masked(_mm_srl_epi16(part[i], shift), 3);
    return result;
  }
};

/// The tables of 4 rows of a group, 4 codes each: a byte of the chunk finds its own row's by two
/// bits of the index, and by the two of a digit the code.
///
///     digit in bits 0 and 1     index = digit | 4 * row     byte 4 * row + digit of the table
///     digit in bits 2 and 3     index = 4 * digit | row     the same transposed, without a shift
struct row_tables {
  __m128i direct, turned;

  row_tables() = default;
  EDGERAZOR_OP explicit row_tables(__m128i stored) noexcept
      : direct(masked(stored, table_codes - 1)),
        turned(_mm_shuffle_epi8(
            direct, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))) {}
  /// The codes of digits in bits 0 and 1, all else zero.
  EDGERAZOR_OP __m128i lower(__m128i digits) const noexcept {
    const __m128i rows = _mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    return _mm_shuffle_epi8(direct, _mm_or_si128(digits, rows));
  }
  /// Of digits in bits 2 and 3.
  EDGERAZOR_OP __m128i upper(__m128i digits) const noexcept {
    const __m128i rows = _mm_set_epi32(0x03030303, 0x02020202, 0x01010101, 0);
    return _mm_shuffle_epi8(turned, _mm_or_si128(digits, rows));
  }
};
EDGERAZOR_OP slot_bytes codes_in_table(const std::uint8_t* table,
                                       const slot_bytes& digits) noexcept {
  slot_bytes result;
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < parts; ++i) {
    result.part[i] = row_tables(load_16(table + table_size * lanes * i)).lower(digits.part[i]);
  }
  return result;
}

/// Sums of 16 rows while chunks go by. `pmaddubsw` adds two products of a row in 16 bits, of which
/// a lane takes one for each field before `pmaddwd` by ones widens it.
template <plane_type Plane>
struct chunk_sums {
  row_tables tables[parts];
  ints sums;

  EDGERAZOR_OP chunk_sums() noexcept { sums = splat_ints(0); }
  EDGERAZOR_OP void take_table(const std::uint8_t* table) noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i)
      tables[i] = row_tables(load_16(table + table_size * lanes * i));
  }
  EDGERAZOR_OP void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    static_assert(plane_of(Plane).fields() * 2 * 128 * (table_codes - 1) <= 32767);
    __m128i columns[4];
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < 4; ++f) {
      std::int32_t four;
      std::memcpy(&four, x + slot_cols * f, sizeof four);
      columns[f] = splat(four);
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < parts; ++i) {
      const row_tables& t = tables[i];
      const __m128i bytes = codes.part[i], shifted = _mm_srli_epi16(bytes, 4);
      const __m128i two =
          _mm_add_epi16(_mm_maddubs_epi16(t.lower(masked(bytes, 0x03)), columns[0]),
                        _mm_maddubs_epi16(t.upper(masked(bytes, 0x0c)), columns[1]));
      const __m128i rest =
          _mm_add_epi16(_mm_maddubs_epi16(t.lower(masked(shifted, 0x03)), columns[2]),
                        _mm_maddubs_epi16(t.upper(masked(shifted, 0x0c)), columns[3]));
      const __m128i wide = _mm_madd_epi16(_mm_add_epi16(two, rest), _mm_set1_epi16(1));
      sums.part[i] = _mm_add_epi32(sums.part[i], wide);
    }
  }
  EDGERAZOR_OP ints total() const noexcept { return sums; }
};
template <plane_type>
inline constexpr unsigned chains = 1;
template <plane_type>
inline constexpr bool has_half_sums = false;

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/unpack.inl>

inline constexpr functions table = [] {
  functions k = generic::table;
  k.name = "ssse3";
  k.supported = &supported;
  constexpr auto levels2 = static_cast<std::size_t>(plane_type::levels2);
  k.dot[levels2] = &dot<plane_type::levels2>;
  k.unpack[levels2] = &unpack<plane_type::levels2>;
  k.triple_tables = &triple_tables;
  k.triple_dot = &triple_dot;
  k.triple_unpack = &triple_unpack;
  k.prefetch = &prefetch_bytes;
  return k;
}();

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::ssse3
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
