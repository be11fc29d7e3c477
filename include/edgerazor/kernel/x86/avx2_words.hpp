// SPDX-License-Identifier: Apache-2.0
/// AVX2 as the register operations of products by look-up: 16 int16 a register. See the head of
/// loops/look_up.inl for what each does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/x86/avx2_registers.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_OP EDGERAZOR_TARGET("avx2,fma,f16c") EDGERAZOR_INLINE

using words = __m256i;

EDGERAZOR_OP words load_words(const std::int16_t* at) noexcept { return load_half(at); }
EDGERAZOR_OP void store_words(std::int16_t* to, words v) noexcept { store_half(to, v); }
EDGERAZOR_OP words add_words(words a, words b) noexcept { return _mm256_add_epi16(a, b); }
EDGERAZOR_OP words subtract_words(words a, words b) noexcept { return _mm256_sub_epi16(a, b); }
EDGERAZOR_OP words zero_words() noexcept { return _mm256_setzero_si256(); }
EDGERAZOR_OP int_vector widened(const std::int16_t* at) noexcept {
  return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

/// Four times rows i and i + 8 interleaved turn the index (row, column) of 8 bits by 4.
EDGERAZOR_OP void store_columns(const std::int8_t* x, std::size_t stride,
                                std::int16_t* to) noexcept {
  __m128i v[16];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < 16; ++i)
    v[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + stride * i));
  EDGERAZOR_UNROLL
  for (int turn = 0; turn < 4; ++turn) {
    __m128i next[16];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i) {
      next[2 * i] = _mm_unpacklo_epi8(v[i], v[i + 8]);
      next[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + 8]);
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 16; ++i) v[i] = next[i];
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < 16; ++i) store_half(to + 16 * i, _mm256_cvtepi8_epi16(v[i]));
}

/// 8 rows a time, 8 x 8 in each 128-bit lane.
EDGERAZOR_OP void store_transposed(const std::int16_t* from, std::int16_t* to) noexcept {
  for (std::size_t half = 0; half < 16; half += 8) {
    __m256i v[8];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i) v[i] = load_half(from + 16 * (half + i));
    EDGERAZOR_UNROLL
    for (int turn = 0; turn < 3; ++turn) {
      __m256i next[8];
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < 4; ++i) {
        next[2 * i] = _mm256_unpacklo_epi16(v[i], v[i + 4]);
        next[2 * i + 1] = _mm256_unpackhi_epi16(v[i], v[i + 4]);
      }
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < 8; ++i) v[i] = next[i];
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i) {
      std::int16_t* const at = to + 16 * i + half;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_castsi256_si128(v[i]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(at + 16 * 8), _mm256_extracti128_si256(v[i], 1));
    }
  }
}

EDGERAZOR_OP byte_vector larger_bytes(byte_vector a, byte_vector b) noexcept {
  return _mm256_max_epu8(a, b);
}
EDGERAZOR_OP bool any_byte_above(byte_vector v, std::uint8_t limit) noexcept {
  const __m256i above = _mm256_subs_epu8(v, _mm256_set1_epi8(static_cast<char>(limit)));
  return _mm256_testz_si256(above, above) == 0;
}

/// Weights of the 4 columns of a slot in the index of a unit.
EDGERAZOR_OP __m256i index_weights(int c0, int c1, int c2, int c3) noexcept {
  const auto four = static_cast<std::uint32_t>(look_up_step) *
                    static_cast<std::uint32_t>(c0 | c1 << 8 | c2 << 16 | c3 << 24);
  return _mm256_set1_epi32(static_cast<int>(four));
}
/// Indices of 8 rows, one of 4 units in each byte of a row's int32.
EDGERAZOR_OP __m256i indices_of_8_rows(const std::uint8_t* panel) noexcept {
  const __m256i one = _mm256_set1_epi16(1);
  const __m256i s0 = load_half(panel), s1 = load_half(panel + chunk_bytes),
                s2 = load_half(panel + 2 * chunk_bytes);
  const __m256i u0 = _mm256_maddubs_epi16(s0, index_weights(1, 3, 9, 0));
  const __m256i u1 = _mm256_add_epi16(_mm256_maddubs_epi16(s0, index_weights(0, 0, 0, 1)),
                                      _mm256_maddubs_epi16(s1, index_weights(3, 9, 0, 0)));
  const __m256i u2 = _mm256_add_epi16(_mm256_maddubs_epi16(s1, index_weights(0, 0, 1, 3)),
                                      _mm256_maddubs_epi16(s2, index_weights(9, 0, 0, 0)));
  const __m256i u3 = _mm256_maddubs_epi16(s2, index_weights(0, 1, 3, 9));
  const __m256i u01 =
      _mm256_or_si256(_mm256_madd_epi16(u0, one), _mm256_slli_epi32(_mm256_madd_epi16(u1, one), 8));
  const __m256i u23 =
      _mm256_or_si256(_mm256_madd_epi16(u2, one), _mm256_slli_epi32(_mm256_madd_epi16(u3, one), 8));
  return _mm256_or_si256(u01, _mm256_slli_epi32(u23, 16));
}
EDGERAZOR_OP void store_indices(const std::uint8_t* panel, std::uint8_t* to) noexcept {
  // 4 rows a 128-bit lane, their 4 units: to a unit's 4 rows, then to 16 rows of each unit.
  const __m256i turned = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0,
                                          4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i low = _mm256_shuffle_epi8(indices_of_8_rows(panel), turned),
                high = _mm256_shuffle_epi8(indices_of_8_rows(panel + 32), turned);
  const __m128i r0 = _mm256_castsi256_si128(low), r4 = _mm256_extracti128_si256(low, 1),
                r8 = _mm256_castsi256_si128(high), r12 = _mm256_extracti128_si256(high, 1);
  const __m128i u01 = _mm_unpacklo_epi32(r0, r4), u01_high = _mm_unpacklo_epi32(r8, r12),
                u23 = _mm_unpackhi_epi32(r0, r4), u23_high = _mm_unpackhi_epi32(r8, r12);
  __m128i* const units = reinterpret_cast<__m128i*>(to);
  _mm_storeu_si128(units, _mm_unpacklo_epi64(u01, u01_high));
  _mm_storeu_si128(units + 1, _mm_unpackhi_epi64(u01, u01_high));
  _mm_storeu_si128(units + 2, _mm_unpacklo_epi64(u23, u23_high));
  _mm_storeu_si128(units + 3, _mm_unpackhi_epi64(u23, u23_high));
}

#undef EDGERAZOR_OP

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
