// SPDX-License-Identifier: Apache-2.0
/// The planes in 256-bit registers, and why products of their digits with int8 activations are
/// exact with AVX2.
///
/// A register is half a chunk, 8 rows x 4 columns in each field of its bytes. `vpmaddubsw`
/// multiplies 32 unsigned digits by 8 copies of 4 signed activations and adds neighbours into 16
/// sums, two a row, in 16 bits with saturation. A static_assert proves that nothing saturates or
/// overflows within a chunk; narrow_chunks says how many chunks are added in 16 bits before the
/// sums are widened to 32 (`vpmaddwd` by ones). Digits of 8 bits do not fit and take 16-bit
/// products.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/x86/avx2_registers.hpp>
#include <edgerazor/kernel/x86/prefetch.hpp>
#include <edgerazor/matrix/codec.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_OP EDGERAZOR_TARGET("avx2,fma,f16c") EDGERAZOR_INLINE

inline constexpr int int16_max = 32767;
/// Largest magnitude of digit * x + digit' * x', for digits up to `largest` and activations down to
/// -128.
constexpr int pair_bound(unsigned largest) noexcept { return 2 * 128 * static_cast<int>(largest); }

/// Sums that a row's half chunks are added to: of two fields one each, which then hold twice as
/// many chunks for no more additions.
template <plane_type Plane>
inline constexpr std::size_t narrow_sums = plane_of(Plane).fields() == 2 ? 2 : 1;
/// Chunks of a plane whose sums 16 bits hold: a lane gets two products of each field. 0: not even
/// one's.
template <plane_type Plane>
inline constexpr std::size_t narrow_chunks = static_cast<std::size_t>(
    int16_max / (static_cast<int>(plane_of(Plane).fields() / narrow_sums<Plane>) *
                 pair_bound(plane_of(Plane).radix - 1)));

EDGERAZOR_OP __m256i broadcast4(const std::int8_t* x) noexcept {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}
/// digits * x in 16 bits, neighbours added.
EDGERAZOR_OP __m256i pair_sums(__m256i digits, const std::int8_t* x) noexcept {
  return _mm256_maddubs_epi16(digits, broadcast4(x));
}
/// The two 16-bit sums of each row, added in 32 bits.
EDGERAZOR_OP __m256i row_sums(__m256i pairs) noexcept {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
/// 8-bit digits * x in 32 bits: 16-bit products of bytes 0 and 2, then of bytes 1 and 3.
EDGERAZOR_OP __m256i wide_row_sums(__m256i digits, const std::int8_t* x) noexcept {
  const __m256i four = broadcast4(x);
  const __m256i x02 = _mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8),
                x13 = _mm256_srai_epi16(four, 8);
  const __m256i digits02 = _mm256_and_si256(digits, _mm256_set1_epi16(0xff)),
                digits13 = _mm256_srli_epi16(digits, 8);
  return _mm256_add_epi32(_mm256_madd_epi16(digits02, x02), _mm256_madd_epi16(digits13, x13));
}
EDGERAZOR_OP __m256i masked(__m256i v, unsigned mask) noexcept {
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}

/// Half a chunk as its plane's products take it. The primary template is for planes of bits.
template <plane_type Plane>
struct half_codes {
  static constexpr plane_info plane = plane_of(Plane);
  static_assert(std::has_single_bit(plane.radix), "this plane needs a decoder of its own");
  static constexpr unsigned fields = plane.fields();
  __m256i bytes;

  EDGERAZOR_OP explicit half_codes(__m256i stored) noexcept : bytes(stored) {}
  /// The digits of field f, one a byte.
  EDGERAZOR_OP __m256i field(unsigned f) const noexcept {
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(plane.bits * f));
    return masked(_mm256_srl_epi16(bytes, shift), plane.radix - 1);
  }
  /// Sums of 8 rows over the columns of half a chunk, two a row in 16 bits; digits of 8 bits in 32
  /// bits. Fields of the upper half of a byte are shifted down together; of the others, and of
  /// those, field f is masked where it stands, counts radix^f too much, and its sum is shifted
  /// back.
  EDGERAZOR_OP __m256i sums(const std::int8_t* x) const noexcept {
    if constexpr (fields == 1) {
      return wide_row_sums(bytes, x);
    } else {
      constexpr unsigned half = fields / 2;
      static_assert(2 * pair_bound((plane.radix - 1) * plane.weight(half - 1)) <= int16_max &&
                    narrow_chunks<Plane> > 0);
      const __m256i upper = _mm256_srli_epi16(bytes, 4);
      __m256i total = _mm256_setzero_si256();
      EDGERAZOR_UNROLL
      for (unsigned f = 0; f < half; ++f) {
        const unsigned mask = (plane.radix - 1) * plane.weight(f);
        const __m256i both =
            _mm256_add_epi16(pair_sums(masked(bytes, mask), x + slot_cols * f),
                             pair_sums(masked(upper, mask), x + slot_cols * (half + f)));
        total = _mm256_add_epi16(total, _mm256_srai_epi16(both, static_cast<int>(plane.bits * f)));
      }
      return total;
    }
  }
  /// Over the columns of field f of two, two a row in 16 bits.
  EDGERAZOR_OP __m256i sums_of_field(unsigned f, const std::int8_t* x) const noexcept {
    static_assert(fields > 2 || fields == 1 || pair_bound(plane.radix - 1) <= int16_max);
    const __m256i digits = f == 0 ? bytes : _mm256_srli_epi16(bytes, 4);
    return pair_sums(masked(digits, plane.radix - 1), x + slot_cols * f);
  }
  /// In 32 bits, over the columns of the lower or the upper half of the fields, which `x` begins
  /// with.
  EDGERAZOR_OP __m256i sums_of_half(bool of_upper, const std::int8_t* x) const noexcept {
    const __m256i some = of_upper ? _mm256_srli_epi16(bytes, 4) : bytes;
    __m256i total = _mm256_setzero_si256();
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields / 2; ++f) {
      const __m256i raised =
          pair_sums(masked(some, (plane.radix - 1) * plane.weight(f)), x + slot_cols * f);
      total = _mm256_add_epi16(total, _mm256_srai_epi16(raised, static_cast<int>(plane.bits * f)));
    }
    return row_sums(total);
  }
};

inline constexpr base3_digits<16> digit_0{0, 0, 1, 8}, digit_1{0, 1, 1, 8};

EDGERAZOR_OP __m256i look_up(const base3_digits<16>& table, __m256i index) noexcept {
  const __m128i fields = _mm_load_si128(reinterpret_cast<const __m128i*>(table.fields));
  // 0 where the index has its top bit set.
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(fields), index);
}

/// Base 3: byte = 9 * u + v. v = 0..8 are digits 0 and 1, u = 0..26 the others as 2-bit fields; u
/// takes two tables of 16. base3_digits.hpp proves the divisions.
template <>
struct half_codes<plane_type::base3> {
  static constexpr unsigned fields = 5;
  __m256i digit0, digit1, digits234;

  EDGERAZOR_OP explicit half_codes(__m256i stored) noexcept {
    const __m256i b = _mm256_min_epu8(stored, _mm256_set1_epi8(static_cast<char>(242)));
    const __m256i even = _mm256_srli_epi16(_mm256_maddubs_epi16(b, _mm256_set1_epi16(57)), 9);
    const __m256i odd = _mm256_mulhi_epu16(b, _mm256_set1_epi16(7282));
    // even < 27: its upper byte is zero. (g++ folds a blend by the sign of bytes wrongly at
    // -funsigned-char.)
    const __m256i u =
        _mm256_or_si256(even, _mm256_and_si256(odd, _mm256_set1_epi16(static_cast<short>(0xff00))));
    const __m256i v = _mm256_sub_epi8(
        b, _mm256_mullo_epi16(u, _mm256_set1_epi16(9)));  // 9 * 26: no carry upwards
    digit0 = look_up(digit_0, v);
    digit1 = look_up(digit_1, v);
    digits234 = _mm256_or_si256(look_up(digits_from_0, _mm256_add_epi8(u, _mm256_set1_epi8(0x70))),
                                look_up(digits_from_16, _mm256_sub_epi8(u, _mm256_set1_epi8(16))));
  }
  EDGERAZOR_OP __m256i field(unsigned f) const noexcept {
    if (f < 2) return f == 0 ? digit0 : digit1;
    const __m128i shift = _mm_cvtsi32_si128(2 * static_cast<int>(f - 2));
    return masked(_mm256_srl_epi16(digits234, shift), 0x03);
  }
  /// Digit 3 is not shifted but counted four times too much, and shifted back.
  EDGERAZOR_OP __m256i sums(const std::int8_t* x) const noexcept {
    constexpr unsigned largest = plane_of(plane_type::base3).radix - 1;
    static_assert(pair_bound(4 * largest) <= int16_max && narrow_chunks<plane_type::base3> > 0);
    const __m256i digits01 = _mm256_add_epi16(pair_sums(digit0, x), pair_sums(digit1, x + 4));
    const __m256i digits24 =
        _mm256_add_epi16(pair_sums(masked(digits234, 0x03), x + 8), pair_sums(field(4), x + 16));
    const __m256i fours = pair_sums(masked(digits234, 0x0c), x + 12);
    return _mm256_add_epi16(_mm256_add_epi16(digits01, digits24), _mm256_srai_epi16(fours, 2));
  }
};

/// Half of a group's table. A lane of 128 bits holds those of 4 rows, as its bytes of a chunk are
/// of those rows, so a byte shuffle finds the codes of a field. The two bits of a digit choose
/// among the four codes, two more of the index among the rows:
///
///     digit in bits 0 and 1     index = digit | 4 * row     in the table as it is
///     digit in bits 2 and 3     index = 4 * digit | row     in the table transposed, no shift
struct half_table {
  __m256i direct, turned;

  half_table() = default;
  EDGERAZOR_OP explicit half_table(__m256i stored) noexcept
      : direct(masked(stored, table_codes - 1)),
        turned(_mm256_shuffle_epi8(
            direct, _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8,
                                     12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))) {}
  /// The codes of digits in bits 0 and 1; bits 4 to 6 may be any.
  EDGERAZOR_OP __m256i lower(__m256i digits) const noexcept {
    return _mm256_shuffle_epi8(
        direct, _mm256_or_si256(digits, _mm256_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0,
                                                         0x0c0c0c0c, 0x08080808, 0x04040404, 0)));
  }
  /// Of digits in bits 2 and 3.
  EDGERAZOR_OP __m256i upper(__m256i digits) const noexcept {
    return _mm256_shuffle_epi8(
        turned, _mm256_or_si256(digits, _mm256_set_epi32(0x03030303, 0x02020202, 0x01010101, 0,
                                                         0x03030303, 0x02020202, 0x01010101, 0)));
  }
  /// Sums of 8 rows over the columns of half a chunk, two a row in 16 bits.
  EDGERAZOR_OP __m256i sums(__m256i bytes, const std::int8_t* x) const noexcept {
    static_assert(4 * pair_bound(table_codes - 1) <= int16_max);
    const __m256i shifted = _mm256_srli_epi16(bytes, 4);
    const __m256i two = _mm256_add_epi16(pair_sums(lower(masked(bytes, 0x03)), x),
                                         pair_sums(upper(masked(bytes, 0x0c)), x + 4));
    const __m256i rest = _mm256_add_epi16(pair_sums(lower(masked(shifted, 0x03)), x + 8),
                                          pair_sums(upper(masked(shifted, 0x0c)), x + 12));
    return _mm256_add_epi16(two, rest);
  }
};

/// The codes of a slot whose digits are those.
EDGERAZOR_OP slot_bytes codes_in_table(const std::uint8_t* table,
                                       const slot_bytes& digits) noexcept {
  return {{half_table(load_half(table)).lower(digits.part[0]),
           half_table(load_half(table + 32)).lower(digits.part[1])}};
}

/// A whole chunk, decoded.
template <plane_type Plane>
struct chunk_codes {
  half_codes<Plane> low, high;

  EDGERAZOR_OP explicit chunk_codes(const std::uint8_t* chunk) noexcept
      : low(load_half(chunk)), high(load_half(chunk + 32)) {}
  EDGERAZOR_OP slot_bytes field(unsigned f) const noexcept {
    return {{low.field(f), high.field(f)}};
  }
};

using x86::prefetch, x86::prefetch_bytes, x86::prefetch_line;

#undef EDGERAZOR_OP

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
