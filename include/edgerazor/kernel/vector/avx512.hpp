// SPDX-License-Identifier: Apache-2.0
/// AVX-512 (F, BW, VL) as the vectors that loops over rows and groups are written in: 16 floats or
/// int32, 8 doubles. What an operation does is said in each.inl.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>

#if EDGERAZOR_X86

#include <immintrin.h>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::vector::avx512 {

inline constexpr std::string_view name = "avx512";
/// fma, fms and fnma round once.
inline constexpr bool fuses = true;
[[nodiscard]] inline bool supported() noexcept { return detect_cpu_features().avx512; }

#define EDGERAZOR_OP EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx2,fma,f16c") EDGERAZOR_INLINE

struct float_mask {
  __mmask16 v;
};
struct double_mask {
  __mmask8 v;
};

struct words {
  using value_type = std::int32_t;
  static constexpr std::size_t size = 16;
  __m512i v;

  EDGERAZOR_OP words() noexcept : v(_mm512_setzero_si512()) {}
  EDGERAZOR_OP words(__m512i of) noexcept : v(of) {}
  EDGERAZOR_OP explicit words(std::int32_t x) noexcept : v(_mm512_set1_epi32(x)) {}
  EDGERAZOR_OP static words load_unaligned(const std::int32_t* at) noexcept {
    return _mm512_loadu_si512(at);
  }
  EDGERAZOR_OP void store_unaligned(std::int32_t* to) const noexcept { _mm512_storeu_si512(to, v); }
};
EDGERAZOR_OP words operator+(words a, words b) noexcept { return _mm512_add_epi32(a.v, b.v); }
EDGERAZOR_OP words operator-(words a, words b) noexcept { return _mm512_sub_epi32(a.v, b.v); }
EDGERAZOR_OP words operator&(words a, words b) noexcept { return _mm512_and_si512(a.v, b.v); }
EDGERAZOR_OP words operator|(words a, words b) noexcept { return _mm512_or_si512(a.v, b.v); }
EDGERAZOR_OP words operator^(words a, words b) noexcept { return _mm512_xor_si512(a.v, b.v); }
EDGERAZOR_OP words max(words a, words b) noexcept { return _mm512_max_epi32(a.v, b.v); }

struct floats {
  using value_type = float;
  using mask = float_mask;
  static constexpr std::size_t size = 16;
  __m512 v;

  EDGERAZOR_OP floats() noexcept : v(_mm512_setzero_ps()) {}
  EDGERAZOR_OP floats(__m512 of) noexcept : v(of) {}
  EDGERAZOR_OP explicit floats(float x) noexcept : v(_mm512_set1_ps(x)) {}
  EDGERAZOR_OP static floats load_unaligned(const float* at) noexcept {
    return _mm512_loadu_ps(at);
  }
  EDGERAZOR_OP void store_unaligned(float* to) const noexcept { _mm512_storeu_ps(to, v); }
};
EDGERAZOR_OP floats operator+(floats a, floats b) noexcept { return _mm512_add_ps(a.v, b.v); }
EDGERAZOR_OP floats operator-(floats a, floats b) noexcept { return _mm512_sub_ps(a.v, b.v); }
/// No flag fuses the product with a sum: see EDGERAZOR_KEEP.
EDGERAZOR_OP floats operator*(floats a, floats b) noexcept {
  __m512 product = _mm512_mul_ps(a.v, b.v);
  EDGERAZOR_KEEP(product);
  return product;
}
EDGERAZOR_OP floats operator/(floats a, floats b) noexcept { return _mm512_div_ps(a.v, b.v); }
EDGERAZOR_OP floats fma(floats a, floats b, floats c) noexcept {
  return _mm512_fmadd_ps(a.v, b.v, c.v);
}
EDGERAZOR_OP floats fms(floats a, floats b, floats c) noexcept {
  return _mm512_fmsub_ps(a.v, b.v, c.v);
}
EDGERAZOR_OP floats fnma(floats a, floats b, floats c) noexcept {
  return _mm512_fnmadd_ps(a.v, b.v, c.v);
}
EDGERAZOR_OP floats max(floats a, floats b) noexcept { return _mm512_max_ps(a.v, b.v); }
EDGERAZOR_OP floats min(floats a, floats b) noexcept { return _mm512_min_ps(a.v, b.v); }
EDGERAZOR_OP floats abs(floats a) noexcept { return _mm512_abs_ps(a.v); }
EDGERAZOR_OP float_mask operator<(floats a, floats b) noexcept {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
EDGERAZOR_OP float_mask operator<=(floats a, floats b) noexcept {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)};
}
EDGERAZOR_OP float_mask operator>(floats a, floats b) noexcept { return b < a; }
EDGERAZOR_OP float_mask operator>=(floats a, floats b) noexcept { return b <= a; }
EDGERAZOR_OP float_mask operator==(floats a, floats b) noexcept {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)};
}
EDGERAZOR_OP float_mask operator&&(float_mask a, float_mask b) noexcept {
  return {static_cast<__mmask16>(a.v & b.v)};
}
EDGERAZOR_OP float_mask operator||(float_mask a, float_mask b) noexcept {
  return {static_cast<__mmask16>(a.v | b.v)};
}
EDGERAZOR_OP float_mask operator!(float_mask a) noexcept { return {static_cast<__mmask16>(~a.v)}; }
EDGERAZOR_OP bool any(float_mask a) noexcept { return a.v != 0; }
EDGERAZOR_OP floats select(float_mask where, floats a, floats b) noexcept {
  return _mm512_mask_blend_ps(where.v, b.v, a.v);
}
EDGERAZOR_OP words bits_of(floats a) noexcept { return _mm512_castps_si512(a.v); }
EDGERAZOR_OP floats from_bits(words a) noexcept { return _mm512_castsi512_ps(a.v); }
EDGERAZOR_OP floats to_float(words a) noexcept { return _mm512_cvtepi32_ps(a.v); }
template <int Bits>
EDGERAZOR_OP words shift_left(words a) noexcept {
  return _mm512_slli_epi32(a.v, Bits);
}
template <int Bits>
EDGERAZOR_OP words shift_right(words a) noexcept {
  return _mm512_srai_epi32(a.v, Bits);
}
EDGERAZOR_OP float reduce_add(floats a) noexcept { return _mm512_reduce_add_ps(a.v); }
EDGERAZOR_OP float reduce_max(floats a) noexcept { return _mm512_reduce_max_ps(a.v); }

struct doubles {
  using value_type = double;
  using mask = double_mask;
  static constexpr std::size_t size = 8;
  __m512d v;

  EDGERAZOR_OP doubles() noexcept : v(_mm512_setzero_pd()) {}
  EDGERAZOR_OP doubles(__m512d of) noexcept : v(of) {}
  EDGERAZOR_OP explicit doubles(double x) noexcept : v(_mm512_set1_pd(x)) {}
  EDGERAZOR_OP static doubles load_unaligned(const double* at) noexcept {
    return _mm512_loadu_pd(at);
  }
  EDGERAZOR_OP static doubles load_unaligned(const float* at) noexcept {
    return _mm512_cvtps_pd(_mm256_loadu_ps(at));
  }
  EDGERAZOR_OP void store_unaligned(double* to) const noexcept { _mm512_storeu_pd(to, v); }
};
EDGERAZOR_OP doubles operator+(doubles a, doubles b) noexcept { return _mm512_add_pd(a.v, b.v); }
EDGERAZOR_OP doubles operator-(doubles a, doubles b) noexcept { return _mm512_sub_pd(a.v, b.v); }
EDGERAZOR_OP doubles operator-(doubles a) noexcept { return doubles{-0.0} - a; }
EDGERAZOR_OP doubles operator*(doubles a, doubles b) noexcept {
  __m512d product = _mm512_mul_pd(a.v, b.v);
  EDGERAZOR_KEEP(product);
  return product;
}
EDGERAZOR_OP doubles operator/(doubles a, doubles b) noexcept { return _mm512_div_pd(a.v, b.v); }
EDGERAZOR_OP doubles fma(doubles a, doubles b, doubles c) noexcept {
  return _mm512_fmadd_pd(a.v, b.v, c.v);
}
EDGERAZOR_OP doubles fms(doubles a, doubles b, doubles c) noexcept {
  return _mm512_fmsub_pd(a.v, b.v, c.v);
}
EDGERAZOR_OP doubles fnma(doubles a, doubles b, doubles c) noexcept {
  return _mm512_fnmadd_pd(a.v, b.v, c.v);
}
EDGERAZOR_OP doubles max(doubles a, doubles b) noexcept { return _mm512_max_pd(a.v, b.v); }
EDGERAZOR_OP doubles min(doubles a, doubles b) noexcept { return _mm512_min_pd(a.v, b.v); }
EDGERAZOR_OP doubles abs(doubles a) noexcept { return _mm512_abs_pd(a.v); }
EDGERAZOR_OP double_mask operator<(doubles a, doubles b) noexcept {
  return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)};
}
EDGERAZOR_OP double_mask operator<=(doubles a, doubles b) noexcept {
  return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ)};
}
EDGERAZOR_OP double_mask operator>(doubles a, doubles b) noexcept { return b < a; }
EDGERAZOR_OP double_mask operator>=(doubles a, doubles b) noexcept { return b <= a; }
EDGERAZOR_OP double_mask operator==(doubles a, doubles b) noexcept {
  return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ)};
}
EDGERAZOR_OP double_mask operator&&(double_mask a, double_mask b) noexcept {
  return {static_cast<__mmask8>(a.v & b.v)};
}
EDGERAZOR_OP double_mask operator||(double_mask a, double_mask b) noexcept {
  return {static_cast<__mmask8>(a.v | b.v)};
}
EDGERAZOR_OP double_mask operator!(double_mask a) noexcept { return {static_cast<__mmask8>(~a.v)}; }
EDGERAZOR_OP bool any(double_mask a) noexcept { return a.v != 0; }
EDGERAZOR_OP doubles select(double_mask where, doubles a, doubles b) noexcept {
  return _mm512_mask_blend_pd(where.v, b.v, a.v);
}
EDGERAZOR_OP double reduce_add(doubles a) noexcept { return _mm512_reduce_add_pd(a.v); }
EDGERAZOR_OP double reduce_max(doubles a) noexcept { return _mm512_reduce_max_pd(a.v); }
EDGERAZOR_OP floats power_of_shifted(floats shifted) noexcept {
  return from_bits(shift_left<23>(bits_of(shifted) - words{0x4b400000 - 127}));
}
EDGERAZOR_OP doubles power_of_shifted(doubles shifted) noexcept {
  const __m512i exponent = _mm512_sub_epi64(_mm512_castpd_si512(shifted.v),
                                            _mm512_set1_epi64(0x4338000000000000 - 1023));
  return _mm512_castsi512_pd(_mm512_slli_epi64(exponent, 52));
}

/// The exponent field of a positive number: floor(log2(x)) + 1023 of a normal one.
EDGERAZOR_OP doubles raw_exponent(doubles a) noexcept {
  // The bits of 2^52, whose low ones count in units of 1.
  const __m512i two_52 = _mm512_castpd_si512(_mm512_set1_pd(4503599627370496.0));
  const __m512i field = _mm512_srli_epi64(_mm512_castpd_si512(a.v), 52);
  return _mm512_sub_pd(_mm512_castsi512_pd(_mm512_or_si512(field, two_52)),
                       _mm512_set1_pd(4503599627370496.0));
}
EDGERAZOR_OP floats where(float_mask mask, floats a) noexcept {
  return _mm512_maskz_mov_ps(mask.v, a.v);
}

/// 2^(n / 16) for x = 1.5 * 2^19 + n / 16, where that is a normal number. A table entry is the bits
/// of 2^(j / 16) less j << 19: the sum with the bits of x, shifted, leaves n >> 4 to the exponent.
inline constexpr unsigned power_steps = 16;
EDGERAZOR_OP floats power_of_steps(floats shifted) noexcept {
  const __m512i entries =
      _mm512_setr_epi32(0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532,
                        0x3f75fed7, 0x3f75583f, 0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
                        0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d);
  const words bits = bits_of(shifted);
  return from_bits(words{_mm512_permutexvar_epi32(bits.v, entries)} + shift_left<19>(bits));
}

// What the loops of quantizers have beside that.

EDGERAZOR_OP floats larger(floats a, floats b) noexcept { return _mm512_max_ps(a.v, b.v); }
EDGERAZOR_OP floats quotient(floats a, floats b) noexcept {
  __m512 result;
  EDGERAZOR_DIVIDE_AVX(result, a.v, b.v, _mm512_div_ps);
  return result;
}
EDGERAZOR_OP floats kept(floats a) noexcept {
  EDGERAZOR_KEEP(a.v);
  return a;
}
EDGERAZOR_OP floats ordered(floats a) noexcept {
  if constexpr (EDGERAZOR_FAST_MATH != 0) return kept(a);
  return a;
}
EDGERAZOR_OP bool any_negative(words a) noexcept {
  return _mm512_cmplt_epi32_mask(a.v, _mm512_setzero_si512()) != 0;
}
EDGERAZOR_OP std::int32_t largest_lane(words a) noexcept { return _mm512_reduce_max_epi32(a.v); }
EDGERAZOR_OP void store_bytes(std::uint8_t* to, const words (&a)[1]) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(a[0].v));
}
EDGERAZOR_OP void load_block(const float* at, floats (&to)[1]) noexcept {
  to[0] = _mm512_loadu_ps(at);
}
EDGERAZOR_OP void load_block(const float16* at, floats (&to)[1]) noexcept {
  to[0] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
EDGERAZOR_OP void load_block(const bfloat16* at, floats (&to)[1]) noexcept {
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  to[0] = _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
EDGERAZOR_OP void store_block(float* to, const floats (&a)[1]) noexcept {
  _mm512_storeu_ps(to, a[0].v);
}
EDGERAZOR_OP void store_block(float16* to, const floats (&a)[1]) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtps_ph(a[0].v, _MM_FROUND_TO_NEAREST_INT));
}
/// core::float_to_bfloat_bits in every lane.
EDGERAZOR_OP void store_block(bfloat16* to, const floats (&a)[1]) noexcept {
  const __m512i bits = _mm512_castps_si512(a[0].v), upper = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff)), 16);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __mmask16 is_nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
  const __m512i stored = _mm512_mask_or_epi32(rounded, is_nan, upper, _mm512_set1_epi32(0x40));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(stored));
}

#undef EDGERAZOR_OP

}  // namespace detail::kernel::vector::avx512
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
