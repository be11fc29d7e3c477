// SPDX-License-Identifier: Apache-2.0
/// AVX2 codes to sums: what each codec's bytes are in 256-bit registers, and why their products
/// with int8 activations are exact.
///
/// A register is half a chunk, 8 rows x 4 columns in each field of its bytes. `vpmaddubsw`
/// multiplies 32 unsigned codes by 8 copies of 4 signed activations and adds neighbours into 16
/// sums, two a row, in 16 bits with saturation. Each codec proves by static_assert that nothing
/// saturates or overflows before the sums are widened to 32 bits (`vpmaddwd` by ones). Codes of 8
/// bits do not fit and take 16-bit products.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/matrix/codec.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_AVX2 EDGERAZOR_TARGET("avx2,fma,f16c")

inline constexpr int int16_max = 32767;
/// Largest magnitude of code * x + code' * x', for codes up to `max_code` and activations down to
/// -128.
constexpr int pair_bound(unsigned max_code) noexcept {
  return 2 * 128 * static_cast<int>(max_code);
}

EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i broadcast4(const std::int8_t* x) noexcept {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}

EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i load_half(const void* bytes) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(bytes));
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE void store_half(void* to, __m256i v) noexcept {
  _mm256_storeu_si256(static_cast<__m256i*>(to), v);
}

/// codes * x in 16 bits, neighbours added.
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i pair_sums(__m256i codes, const std::int8_t* x) noexcept {
  return _mm256_maddubs_epi16(codes, broadcast4(x));
}

/// The two 16-bit sums of each row, added in 32 bits.
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i row_sums(__m256i pairs) noexcept {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i masked(__m256i v, int mask) noexcept {
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}

/// Half a chunk as its codec's products take it; what `half_sums` multiplies.
template <code_type Type>
struct half_codes {
  __m256i bytes;

  EDGERAZOR_AVX2 EDGERAZOR_INLINE explicit half_codes(__m256i stored) noexcept : bytes(stored) {}
  /// Field f, one code a byte.
  EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i field(unsigned f) const noexcept {
    constexpr int bits = 8 / static_cast<int>(codec_of(Type).fields);
    return masked(_mm256_srl_epi16(bytes, _mm_cvtsi32_si128(bits * static_cast<int>(f))),
                  static_cast<int>(codec_of(Type).radix - 1));
  }
};

/// Sums of 8 rows over the columns of half a chunk, in 32 bits; one implementation a codec.
template <code_type Type>
__m256i half_sums(const half_codes<Type>& codes, const std::int8_t* x) noexcept;

/// Of four 2-bit fields two are not shifted but counted four times too much, and their sum is
/// shifted back.
template <>
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i half_sums(const half_codes<code_type::ternary2>& half,
                                                  const std::int8_t* x) noexcept {
  const __m256i codes = half.bytes;
  constexpr unsigned max_code = codec_of(code_type::ternary2).radix - 1;
  static_assert(2 * pair_bound(4 * max_code) <= int16_max && 4 * pair_bound(max_code) <= int16_max);
  const __m256i fields23 = _mm256_srli_epi16(codes, 4);
  const __m256i ones =
      _mm256_add_epi16(pair_sums(masked(codes, 0x03), x), pair_sums(masked(fields23, 0x03), x + 8));
  const __m256i fours = _mm256_add_epi16(pair_sums(masked(codes, 0x0c), x + 4),
                                         pair_sums(masked(fields23, 0x0c), x + 12));
  return row_sums(_mm256_add_epi16(ones, _mm256_srai_epi16(fours, 2)));
}

inline constexpr detail::kernel::base3_digits<16> digit_0{0, 0, 1, 8}, digit_1{0, 1, 1, 8};

EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i look_up(const detail::kernel::base3_digits<16>& table,
                                                __m256i index) noexcept {
  const __m128i fields = _mm_load_si128(reinterpret_cast<const __m128i*>(table.fields));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(fields),
                             index);  // 0 where the index has its top bit set
}

/// Base 3: byte = 9 * u + v. v = 0..8 are digits 0 and 1, u = 0..26 the others as 2-bit fields; u
/// takes two tables of 16. base3_digits.hpp proves the divisions.
template <>
struct half_codes<code_type::ternary5> {
  __m256i digit0, digit1, digits234;

  EDGERAZOR_AVX2 EDGERAZOR_INLINE explicit half_codes(__m256i stored) noexcept {
    const __m256i b = _mm256_min_epu8(stored, _mm256_set1_epi8(static_cast<char>(242)));
    const __m256i even = _mm256_srli_epi16(_mm256_maddubs_epi16(b, _mm256_set1_epi16(57)), 9);
    const __m256i odd = _mm256_mulhi_epu16(b, _mm256_set1_epi16(7282));
    const __m256i u = _mm256_blendv_epi8(even, odd, _mm256_set1_epi16(static_cast<short>(0xff00)));
    const __m256i v = _mm256_sub_epi8(
        b, _mm256_mullo_epi16(u, _mm256_set1_epi16(9)));  // 9 * 26: no carry upwards
    digit0 = look_up(digit_0, v);
    digit1 = look_up(digit_1, v);
    digits234 = _mm256_or_si256(
        look_up(detail::kernel::digits_from_0, _mm256_add_epi8(u, _mm256_set1_epi8(0x70))),
        look_up(detail::kernel::digits_from_16, _mm256_sub_epi8(u, _mm256_set1_epi8(16))));
  }
  EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i field(unsigned f) const noexcept {
    if (f < 2) return f == 0 ? digit0 : digit1;
    return masked(_mm256_srl_epi16(digits234, _mm_cvtsi32_si128(2 * static_cast<int>(f - 2))),
                  0x03);
  }
};

/// Digit 3 is not shifted but counted four times too much, and shifted back.
template <>
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i half_sums(const half_codes<code_type::ternary5>& codes,
                                                  const std::int8_t* x) noexcept {
  constexpr unsigned max_code = codec_of(code_type::ternary5).radix - 1;
  static_assert(pair_bound(4 * max_code) <= int16_max && 5 * pair_bound(max_code) <= int16_max);
  const __m256i digits01 =
      _mm256_add_epi16(pair_sums(codes.digit0, x), pair_sums(codes.digit1, x + 4));
  const __m256i digits24 = _mm256_add_epi16(pair_sums(masked(codes.digits234, 0x03), x + 8),
                                            pair_sums(codes.field(4), x + 16));
  const __m256i fours = pair_sums(masked(codes.digits234, 0x0c), x + 12);
  return row_sums(
      _mm256_add_epi16(_mm256_add_epi16(digits01, digits24), _mm256_srai_epi16(fours, 2)));
}

template <>
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i half_sums(const half_codes<code_type::int4>& half,
                                                  const std::int8_t* x) noexcept {
  const __m256i codes = half.bytes;
  static_assert(2 * pair_bound(codec_of(code_type::int4).radix - 1) <= int16_max);
  const __m256i field1 = masked(_mm256_srli_epi16(codes, 4), 0x0f);
  return row_sums(_mm256_add_epi16(pair_sums(masked(codes, 0x0f), x), pair_sums(field1, x + 4)));
}

/// 16-bit products of bytes 0 and 2, then of bytes 1 and 3.
template <>
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i half_sums(const half_codes<code_type::int8>& half,
                                                  const std::int8_t* x) noexcept {
  const __m256i codes = half.bytes;
  const __m256i four = broadcast4(x);
  const __m256i x02 = _mm256_srai_epi16(_mm256_slli_epi16(four, 8), 8),
                x13 = _mm256_srai_epi16(four, 8);
  const __m256i codes02 = _mm256_and_si256(codes, _mm256_set1_epi16(0xff)),
                codes13 = _mm256_srli_epi16(codes, 8);
  return _mm256_add_epi32(_mm256_madd_epi16(codes02, x02), _mm256_madd_epi16(codes13, x13));
}

#undef EDGERAZOR_AVX2

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
