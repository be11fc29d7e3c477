// SPDX-License-Identifier: Apache-2.0
/// AVX-512 (F, BW, VL, with VNNI) as the register operations that the loops of ../loops/ are
/// written in: 16 floats or int32 a register. See the head of each text for what an operation is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/x86/prefetch.hpp>

#if EDGERAZOR_X86

#include <immintrin.h>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx512vnni {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

using real_vector = __m512;
using int_vector = __m512i;
inline constexpr std::size_t lanes = 16, parts = 1;

/// The first `count` of 16 lanes.
EDGERAZOR_OP __mmask16 lanes_below(std::size_t count) noexcept {
  return static_cast<__mmask16>((1u << count) - 1u);
}

EDGERAZOR_OP real_vector load(const float* at) noexcept { return _mm512_loadu_ps(at); }
EDGERAZOR_OP real_vector load(const float16* at) noexcept {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
EDGERAZOR_OP real_vector load(const bfloat16* at) noexcept {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
EDGERAZOR_OP int_vector load(const std::int32_t* at) noexcept { return _mm512_loadu_si512(at); }
EDGERAZOR_OP real_vector load_first(const float* at, std::size_t count) noexcept {
  return _mm512_maskz_loadu_ps(lanes_below(count), at);
}
EDGERAZOR_OP real_vector load_first(const float16* at, std::size_t count) noexcept {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes_below(count), at));
}
EDGERAZOR_OP real_vector load_first(const bfloat16* at, std::size_t count) noexcept {
  const __m256i bits = _mm256_maskz_loadu_epi16(lanes_below(count), at);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
EDGERAZOR_OP void store(float* to, real_vector v) noexcept { _mm512_storeu_ps(to, v); }
EDGERAZOR_OP void store_first(float* to, real_vector v, std::size_t count) noexcept {
  _mm512_mask_storeu_ps(to, lanes_below(count), v);
}
EDGERAZOR_OP real_vector splat(float x) noexcept { return _mm512_set1_ps(x); }
EDGERAZOR_OP int_vector splat(std::int32_t x) noexcept { return _mm512_set1_epi32(x); }

/// The result of an operation as it is: see EDGERAZOR_KEEP.
EDGERAZOR_OP real_vector kept(real_vector v) noexcept {
  EDGERAZOR_KEEP(v);
  return v;
}
EDGERAZOR_OP real_vector add(real_vector a, real_vector b) noexcept {
  return kept(_mm512_add_ps(a, b));
}
EDGERAZOR_OP int_vector add(int_vector a, int_vector b) noexcept { return _mm512_add_epi32(a, b); }
EDGERAZOR_OP real_vector subtract(real_vector a, real_vector b) noexcept {
  return kept(_mm512_sub_ps(a, b));
}
EDGERAZOR_OP int_vector subtract(int_vector a, int_vector b) noexcept {
  return _mm512_sub_epi32(a, b);
}
EDGERAZOR_OP real_vector multiply(real_vector a, real_vector b) noexcept {
  return kept(_mm512_mul_ps(a, b));
}
EDGERAZOR_OP real_vector divide(real_vector a, real_vector b) noexcept {
  real_vector quotient;
  EDGERAZOR_DIVIDE_AVX(quotient, a, b, _mm512_div_ps);
  return quotient;
}
EDGERAZOR_OP real_vector multiply_add(real_vector a, real_vector b, real_vector c) noexcept {
  return _mm512_fmadd_ps(a, b, c);
}
EDGERAZOR_OP real_vector negated_multiply_add(real_vector a, real_vector b,
                                              real_vector c) noexcept {
  return _mm512_fnmadd_ps(a, b, c);
}
// The instructions give their second operand where one is NaN.
EDGERAZOR_OP real_vector larger(real_vector a, real_vector b) noexcept {
  return _mm512_max_ps(a, b);
}
EDGERAZOR_OP real_vector smaller(real_vector a, real_vector b) noexcept {
  return _mm512_min_ps(a, b);
}
EDGERAZOR_OP int_vector magnitude_bits(real_vector v) noexcept {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}
EDGERAZOR_OP int_vector larger(int_vector a, int_vector b) noexcept {
  return _mm512_max_epi32(a, b);
}
EDGERAZOR_OP real_vector first_of(std::size_t count, real_vector a, real_vector b) noexcept {
  return _mm512_mask_mov_ps(b, lanes_below(count), a);
}
EDGERAZOR_OP real_vector round_to_even(real_vector v) noexcept {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
EDGERAZOR_OP real_vector to_float(int_vector v) noexcept { return _mm512_cvtepi32_ps(v); }
EDGERAZOR_OP int_vector to_int(real_vector v) noexcept { return _mm512_cvtps_epi32(v); }
EDGERAZOR_OP int_vector half_of(int_vector v) noexcept { return _mm512_srai_epi32(v, 1); }
EDGERAZOR_OP real_vector power_of_two(int_vector n) noexcept {
  return _mm512_castsi512_ps(_mm512_slli_epi32(add(n, splat(std::int32_t{127})), 23));
}
EDGERAZOR_OP float fold(real_vector v) noexcept {
  const __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(v), upper);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
EDGERAZOR_OP std::int32_t largest_lane(int_vector v) noexcept { return _mm512_reduce_max_epi32(v); }
EDGERAZOR_OP std::int32_t sum_lanes(int_vector v) noexcept { return _mm512_reduce_add_epi32(v); }
EDGERAZOR_OP int_vector load_bytes(const std::int8_t* at) noexcept {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
EDGERAZOR_OP real_vector load_levels(const std::int8_t* at) noexcept {
  return _mm512_cvtepi32_ps(load_bytes(at));
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
  const __m256 low = _mm256_set_m128(gather_four(x, columns + 4), gather_four(x, columns)),
               high = _mm256_set_m128(gather_four(x, columns + 12), gather_four(x, columns + 8));
  return _mm512_castpd_ps(
      _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(low)), _mm256_castps_pd(high), 1));
}
EDGERAZOR_OP real_vector add_product(real_vector v, real_vector x, real_vector c) noexcept {
  const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  return _mm512_mask3_fmadd_ps(v, x, c, some);
}
EDGERAZOR_OP void store_codes(std::int8_t* to, int_vector v) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(v));
}
EDGERAZOR_OP real_vector panel_levels(const std::uint8_t* rows, std::size_t b,
                                      int_vector zero) noexcept {
  const __m512i codes =
      _mm512_and_si512(_mm512_srli_epi32(_mm512_loadu_si512(rows), static_cast<unsigned>(8 * b)),
                       _mm512_set1_epi32(0xff));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, zero));
}

EDGERAZOR_OP void store(std::int32_t* to, int_vector v) noexcept { _mm512_storeu_si512(to, v); }
EDGERAZOR_OP int_vector shift_left(int_vector v, unsigned count) noexcept {
  return _mm512_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}

using byte_vector = __m512i;
EDGERAZOR_OP byte_vector load(const std::uint8_t* at) noexcept { return _mm512_loadu_si512(at); }
EDGERAZOR_OP void store(std::uint8_t* to, byte_vector v) noexcept { _mm512_storeu_si512(to, v); }
EDGERAZOR_OP byte_vector either(byte_vector a, byte_vector b) noexcept {
  return _mm512_or_si512(a, b);
}
EDGERAZOR_OP byte_vector shift_bytes_left(byte_vector v, unsigned count) noexcept {
  return _mm512_sll_epi16(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}

#include <edgerazor/kernel/loops/registers.inl>

/// sums + 64 products of `digits` with 16 copies of the 4 activations at x, one sum a row, in 32
/// bits without saturation. The broadcast is part of the instruction's load; g++ 12 cannot fold the
/// two, and a broadcast of its own may take a turn of the units that multiply.
EDGERAZOR_OP void add_products(__m512i& sums, __m512i digits, const std::int8_t* x) noexcept {
#if EDGERAZOR_GCC
  __asm__("vpdpbusd {%2%{1to16%}, %1, %0|%0, %1, %2%{1to16%}}"
          : "+v"(sums)
          : "v"(digits), "m"(*reinterpret_cast<const char (*)[4]>(x)));
#else
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  sums = _mm512_dpbusd_epi32(sums, digits, _mm512_set1_epi32(four));
#endif
}

using x86::prefetch, x86::prefetch_bytes, x86::prefetch_line;

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::avx512vnni
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
