// SPDX-License-Identifier: Apache-2.0
/// AVX2 (with FMA, F16C) as the register operations that the loops of ../loops/ are written in: 8
/// floats or int32 a register. See the head of each text for what an operation is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/contract.hpp>

#if EDGERAZOR_X86

#include <immintrin.h>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx2,fma,f16c")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

using real_vector = __m256;
using int_vector = __m256i;
inline constexpr std::size_t lanes = 8, parts = 2;

EDGERAZOR_OP __m256i load_half(const void* at) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}
EDGERAZOR_OP void store_half(void* to, __m256i v) noexcept {
  _mm256_storeu_si256(static_cast<__m256i*>(to), v);
}
/// All bits set in the first `count` of 8 lanes.
EDGERAZOR_OP __m256i lanes_below(std::size_t count) noexcept {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
}

EDGERAZOR_OP real_vector load(const float* at) noexcept { return _mm256_loadu_ps(at); }
EDGERAZOR_OP real_vector load(const float16* at) noexcept {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
EDGERAZOR_OP real_vector load(const bfloat16* at) noexcept {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
EDGERAZOR_OP int_vector load(const std::int32_t* at) noexcept { return load_half(at); }
EDGERAZOR_OP real_vector load_first(const float* at, std::size_t count) noexcept {
  return _mm256_maskload_ps(at, lanes_below(count));
}
template <class T>
EDGERAZOR_OP real_vector load_first(const T* at, std::size_t count) noexcept {
  T some[lanes] = {};
  std::memcpy(some, at, count * sizeof(T));
  return load(some);
}
EDGERAZOR_OP void store(float* to, real_vector v) noexcept { _mm256_storeu_ps(to, v); }
EDGERAZOR_OP void store_first(float* to, real_vector v, std::size_t count) noexcept {
  _mm256_maskstore_ps(to, lanes_below(count), v);
}
EDGERAZOR_OP real_vector splat(float x) noexcept { return _mm256_set1_ps(x); }
EDGERAZOR_OP int_vector splat(std::int32_t x) noexcept { return _mm256_set1_epi32(x); }

/// The result of an operation as it is: see EDGERAZOR_KEEP.
EDGERAZOR_OP real_vector kept(real_vector v) noexcept {
  EDGERAZOR_KEEP(v);
  return v;
}
EDGERAZOR_OP real_vector add(real_vector a, real_vector b) noexcept {
  return kept(_mm256_add_ps(a, b));
}
EDGERAZOR_OP int_vector add(int_vector a, int_vector b) noexcept { return _mm256_add_epi32(a, b); }
EDGERAZOR_OP real_vector subtract(real_vector a, real_vector b) noexcept {
  return kept(_mm256_sub_ps(a, b));
}
EDGERAZOR_OP int_vector subtract(int_vector a, int_vector b) noexcept {
  return _mm256_sub_epi32(a, b);
}
EDGERAZOR_OP real_vector multiply(real_vector a, real_vector b) noexcept {
  return kept(_mm256_mul_ps(a, b));
}
EDGERAZOR_OP real_vector divide(real_vector a, real_vector b) noexcept {
  real_vector quotient;
  EDGERAZOR_DIVIDE_AVX(quotient, a, b, _mm256_div_ps);
  return quotient;
}
EDGERAZOR_OP real_vector multiply_add(real_vector a, real_vector b, real_vector c) noexcept {
  return _mm256_fmadd_ps(a, b, c);
}
EDGERAZOR_OP real_vector negated_multiply_add(real_vector a, real_vector b,
                                              real_vector c) noexcept {
  return _mm256_fnmadd_ps(a, b, c);
}
// The instructions give their second operand where one is NaN.
EDGERAZOR_OP real_vector larger(real_vector a, real_vector b) noexcept {
  return _mm256_max_ps(a, b);
}
EDGERAZOR_OP real_vector smaller(real_vector a, real_vector b) noexcept {
  return _mm256_min_ps(a, b);
}
EDGERAZOR_OP int_vector magnitude_bits(real_vector v) noexcept {
  return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}
EDGERAZOR_OP int_vector larger(int_vector a, int_vector b) noexcept {
  return _mm256_max_epi32(a, b);
}
EDGERAZOR_OP real_vector first_of(std::size_t count, real_vector a, real_vector b) noexcept {
  return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(lanes_below(count)));
}
EDGERAZOR_OP real_vector round_to_even(real_vector v) noexcept {
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
EDGERAZOR_OP real_vector to_float(int_vector v) noexcept { return _mm256_cvtepi32_ps(v); }
EDGERAZOR_OP int_vector to_int(real_vector v) noexcept { return _mm256_cvtps_epi32(v); }
EDGERAZOR_OP int_vector half_of(int_vector v) noexcept { return _mm256_srai_epi32(v, 1); }
EDGERAZOR_OP real_vector power_of_two(int_vector n) noexcept {
  return _mm256_castsi256_ps(_mm256_slli_epi32(add(n, splat(std::int32_t{127})), 23));
}
EDGERAZOR_OP float fold(real_vector v) noexcept {
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
EDGERAZOR_OP std::int32_t largest_lane(int_vector v) noexcept {
  const __m128i m4 = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i m2 = _mm_max_epi32(m4, _mm_unpackhi_epi64(m4, m4));
  return _mm_cvtsi128_si32(_mm_max_epi32(m2, _mm_shuffle_epi32(m2, 1)));
}
EDGERAZOR_OP std::int32_t sum_lanes(int_vector v) noexcept {
  const __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i s2 = _mm_add_epi32(s4, _mm_unpackhi_epi64(s4, s4));
  return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 1)));
}
EDGERAZOR_OP int_vector load_bytes(const std::int8_t* at) noexcept {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
}
EDGERAZOR_OP real_vector load_levels(const std::int8_t* at) noexcept {
  return _mm256_cvtepi32_ps(load_bytes(at));
}
/// Loads one by one: the instruction that gathers takes 1.4 to 1.8 times as long (Zen 4, from the
/// first cache), and much longer where its leaks are mended (Intel).
EDGERAZOR_OP __m128 gather_four(const float* x, const std::uint16_t* columns) noexcept {
  std::uint64_t four;
  std::memcpy(&four, columns, sizeof four);
  return _mm_set_ps(x[four >> 48], x[four >> 32 & 0xffff], x[four >> 16 & 0xffff],
                    x[four & 0xffff]);
}
EDGERAZOR_OP real_vector gather(const float* x, const std::uint16_t* columns) noexcept {
  return _mm256_set_m128(gather_four(x, columns + 4), gather_four(x, columns));
}
EDGERAZOR_OP real_vector add_product(real_vector v, real_vector x, real_vector c) noexcept {
  const __m256 none = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_EQ_OQ);
  return _mm256_blendv_ps(_mm256_fmadd_ps(v, x, c), c, none);
}
EDGERAZOR_OP void store_codes(std::int8_t* to, int_vector v) noexcept {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
}
EDGERAZOR_OP real_vector panel_levels(const std::uint8_t* rows, std::size_t b,
                                      int_vector zero) noexcept {
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(8 * b));
  const __m256i codes =
      _mm256_and_si256(_mm256_srl_epi32(load_half(rows), shift), _mm256_set1_epi32(0xff));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, zero));
}

EDGERAZOR_OP void store(std::int32_t* to, int_vector v) noexcept { store_half(to, v); }
EDGERAZOR_OP int_vector shift_left(int_vector v, unsigned count) noexcept {
  return _mm256_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}

using byte_vector = __m256i;
EDGERAZOR_OP byte_vector load(const std::uint8_t* at) noexcept { return load_half(at); }
EDGERAZOR_OP void store(std::uint8_t* to, byte_vector v) noexcept { store_half(to, v); }
EDGERAZOR_OP byte_vector either(byte_vector a, byte_vector b) noexcept {
  return _mm256_or_si256(a, b);
}
EDGERAZOR_OP byte_vector shift_bytes_left(byte_vector v, unsigned count) noexcept {
  return _mm256_sll_epi16(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}

#include <edgerazor/kernel/loops/registers.inl>

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
