// SPDX-License-Identifier: Apache-2.0
/// AVX2 (with FMA, F16C) as the vectors that loops over rows and groups are written in: 8 floats or
/// int32, 4 doubles. What an operation does is said in each.inl.
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
namespace detail::kernel::vector::avx2 {

inline constexpr std::string_view name = "avx2";
/// fma, fms and fnma round once.
inline constexpr bool fuses = true;
[[nodiscard]] inline bool supported() noexcept { return detect_cpu_features().avx2; }

#define EDGERAZOR_OP EDGERAZOR_TARGET("avx2,fma,f16c") EDGERAZOR_INLINE

struct float_mask {
  __m256 v;
};
struct double_mask {
  __m256d v;
};

struct words {
  using value_type = std::int32_t;
  static constexpr std::size_t size = 8;
  __m256i v;

  EDGERAZOR_OP words() noexcept : v(_mm256_setzero_si256()) {}
  EDGERAZOR_OP words(__m256i of) noexcept : v(of) {}
  EDGERAZOR_OP explicit words(std::int32_t x) noexcept : v(_mm256_set1_epi32(x)) {}
  EDGERAZOR_OP static words load_unaligned(const std::int32_t* at) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  }
  EDGERAZOR_OP void store_unaligned(std::int32_t* to) const noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v);
  }
};
EDGERAZOR_OP words operator+(words a, words b) noexcept { return _mm256_add_epi32(a.v, b.v); }
EDGERAZOR_OP words operator-(words a, words b) noexcept { return _mm256_sub_epi32(a.v, b.v); }
EDGERAZOR_OP words operator&(words a, words b) noexcept { return _mm256_and_si256(a.v, b.v); }
EDGERAZOR_OP words operator|(words a, words b) noexcept { return _mm256_or_si256(a.v, b.v); }
EDGERAZOR_OP words operator^(words a, words b) noexcept { return _mm256_xor_si256(a.v, b.v); }
EDGERAZOR_OP words max(words a, words b) noexcept { return _mm256_max_epi32(a.v, b.v); }

struct floats {
  using value_type = float;
  using mask = float_mask;
  static constexpr std::size_t size = 8;
  __m256 v;

  EDGERAZOR_OP floats() noexcept : v(_mm256_setzero_ps()) {}
  EDGERAZOR_OP floats(__m256 of) noexcept : v(of) {}
  EDGERAZOR_OP explicit floats(float x) noexcept : v(_mm256_set1_ps(x)) {}
  EDGERAZOR_OP static floats load_unaligned(const float* at) noexcept {
    return _mm256_loadu_ps(at);
  }
  EDGERAZOR_OP void store_unaligned(float* to) const noexcept { _mm256_storeu_ps(to, v); }
};
EDGERAZOR_OP floats operator+(floats a, floats b) noexcept { return _mm256_add_ps(a.v, b.v); }
EDGERAZOR_OP floats operator-(floats a, floats b) noexcept { return _mm256_sub_ps(a.v, b.v); }
/// No flag fuses the product with a sum: see EDGERAZOR_KEEP.
EDGERAZOR_OP floats operator*(floats a, floats b) noexcept {
  __m256 product = _mm256_mul_ps(a.v, b.v);
  EDGERAZOR_KEEP(product);
  return product;
}
EDGERAZOR_OP floats operator/(floats a, floats b) noexcept { return _mm256_div_ps(a.v, b.v); }
EDGERAZOR_OP floats fma(floats a, floats b, floats c) noexcept {
  return _mm256_fmadd_ps(a.v, b.v, c.v);
}
EDGERAZOR_OP floats fms(floats a, floats b, floats c) noexcept {
  return _mm256_fmsub_ps(a.v, b.v, c.v);
}
EDGERAZOR_OP floats fnma(floats a, floats b, floats c) noexcept {
  return _mm256_fnmadd_ps(a.v, b.v, c.v);
}
EDGERAZOR_OP floats max(floats a, floats b) noexcept { return _mm256_max_ps(a.v, b.v); }
EDGERAZOR_OP floats min(floats a, floats b) noexcept { return _mm256_min_ps(a.v, b.v); }
EDGERAZOR_OP floats abs(floats a) noexcept { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
EDGERAZOR_OP float_mask operator<(floats a, floats b) noexcept {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)};
}
EDGERAZOR_OP float_mask operator<=(floats a, floats b) noexcept {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)};
}
EDGERAZOR_OP float_mask operator>(floats a, floats b) noexcept { return b < a; }
EDGERAZOR_OP float_mask operator>=(floats a, floats b) noexcept { return b <= a; }
EDGERAZOR_OP float_mask operator==(floats a, floats b) noexcept {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)};
}
EDGERAZOR_OP float_mask operator&&(float_mask a, float_mask b) noexcept {
  return {_mm256_and_ps(a.v, b.v)};
}
EDGERAZOR_OP float_mask operator||(float_mask a, float_mask b) noexcept {
  return {_mm256_or_ps(a.v, b.v)};
}
EDGERAZOR_OP float_mask operator!(float_mask a) noexcept {
  return {_mm256_xor_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
}
EDGERAZOR_OP bool any(float_mask a) noexcept { return _mm256_movemask_ps(a.v) != 0; }
EDGERAZOR_OP floats select(float_mask where, floats a, floats b) noexcept {
  return _mm256_blendv_ps(b.v, a.v, where.v);
}
EDGERAZOR_OP words bits_of(floats a) noexcept { return _mm256_castps_si256(a.v); }
EDGERAZOR_OP floats from_bits(words a) noexcept { return _mm256_castsi256_ps(a.v); }
EDGERAZOR_OP floats to_float(words a) noexcept { return _mm256_cvtepi32_ps(a.v); }
template <int Bits>
EDGERAZOR_OP words shift_left(words a) noexcept {
  return _mm256_slli_epi32(a.v, Bits);
}
template <int Bits>
EDGERAZOR_OP words shift_right(words a) noexcept {
  return _mm256_srai_epi32(a.v, Bits);
}
EDGERAZOR_OP float reduce_add(floats a) noexcept {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
EDGERAZOR_OP float reduce_max(floats a) noexcept {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

struct doubles {
  using value_type = double;
  using mask = double_mask;
  static constexpr std::size_t size = 4;
  __m256d v;

  EDGERAZOR_OP doubles() noexcept : v(_mm256_setzero_pd()) {}
  EDGERAZOR_OP doubles(__m256d of) noexcept : v(of) {}
  EDGERAZOR_OP explicit doubles(double x) noexcept : v(_mm256_set1_pd(x)) {}
  EDGERAZOR_OP static doubles load_unaligned(const double* at) noexcept {
    return _mm256_loadu_pd(at);
  }
  EDGERAZOR_OP static doubles load_unaligned(const float* at) noexcept {
    return _mm256_cvtps_pd(_mm_loadu_ps(at));
  }
  EDGERAZOR_OP void store_unaligned(double* to) const noexcept { _mm256_storeu_pd(to, v); }
};
EDGERAZOR_OP doubles operator+(doubles a, doubles b) noexcept { return _mm256_add_pd(a.v, b.v); }
EDGERAZOR_OP doubles operator-(doubles a, doubles b) noexcept { return _mm256_sub_pd(a.v, b.v); }
EDGERAZOR_OP doubles operator-(doubles a) noexcept { return doubles{-0.0} - a; }
EDGERAZOR_OP doubles operator*(doubles a, doubles b) noexcept {
  __m256d product = _mm256_mul_pd(a.v, b.v);
  EDGERAZOR_KEEP(product);
  return product;
}
EDGERAZOR_OP doubles operator/(doubles a, doubles b) noexcept { return _mm256_div_pd(a.v, b.v); }
EDGERAZOR_OP doubles fma(doubles a, doubles b, doubles c) noexcept {
  return _mm256_fmadd_pd(a.v, b.v, c.v);
}
EDGERAZOR_OP doubles fms(doubles a, doubles b, doubles c) noexcept {
  return _mm256_fmsub_pd(a.v, b.v, c.v);
}
EDGERAZOR_OP doubles fnma(doubles a, doubles b, doubles c) noexcept {
  return _mm256_fnmadd_pd(a.v, b.v, c.v);
}
EDGERAZOR_OP doubles max(doubles a, doubles b) noexcept { return _mm256_max_pd(a.v, b.v); }
EDGERAZOR_OP doubles min(doubles a, doubles b) noexcept { return _mm256_min_pd(a.v, b.v); }
EDGERAZOR_OP doubles abs(doubles a) noexcept { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v); }
EDGERAZOR_OP double_mask operator<(doubles a, doubles b) noexcept {
  return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)};
}
EDGERAZOR_OP double_mask operator<=(doubles a, doubles b) noexcept {
  return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)};
}
EDGERAZOR_OP double_mask operator>(doubles a, doubles b) noexcept { return b < a; }
EDGERAZOR_OP double_mask operator>=(doubles a, doubles b) noexcept { return b <= a; }
EDGERAZOR_OP double_mask operator==(doubles a, doubles b) noexcept {
  return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)};
}
EDGERAZOR_OP double_mask operator&&(double_mask a, double_mask b) noexcept {
  return {_mm256_and_pd(a.v, b.v)};
}
EDGERAZOR_OP double_mask operator||(double_mask a, double_mask b) noexcept {
  return {_mm256_or_pd(a.v, b.v)};
}
EDGERAZOR_OP double_mask operator!(double_mask a) noexcept {
  return {_mm256_xor_pd(a.v, _mm256_castsi256_pd(_mm256_set1_epi32(-1)))};
}
EDGERAZOR_OP bool any(double_mask a) noexcept { return _mm256_movemask_pd(a.v) != 0; }
EDGERAZOR_OP doubles select(double_mask where, doubles a, doubles b) noexcept {
  return _mm256_blendv_pd(b.v, a.v, where.v);
}
EDGERAZOR_OP double reduce_add(doubles a) noexcept {
  const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}
EDGERAZOR_OP double reduce_max(doubles a) noexcept {
  const __m128d x = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(x, _mm_unpackhi_pd(x, x)));
}
EDGERAZOR_OP floats power_of_shifted(floats shifted) noexcept {
  return from_bits(shift_left<23>(bits_of(shifted) - words{0x4b400000 - 127}));
}
EDGERAZOR_OP doubles power_of_shifted(doubles shifted) noexcept {
  const __m256i exponent = _mm256_sub_epi64(_mm256_castpd_si256(shifted.v),
                                            _mm256_set1_epi64x(0x4338000000000000 - 1023));
  return _mm256_castsi256_pd(_mm256_slli_epi64(exponent, 52));
}

/// The exponent field of a positive number: floor(log2(x)) + 1023 of a normal one.
EDGERAZOR_OP doubles raw_exponent(doubles a) noexcept {
  // The bits of 2^52, whose low ones count in units of 1.
  const __m256i two_52 = _mm256_castpd_si256(_mm256_set1_pd(4503599627370496.0));
  const __m256i field = _mm256_srli_epi64(_mm256_castpd_si256(a.v), 52);
  return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(field, two_52)),
                       _mm256_set1_pd(4503599627370496.0));
}
EDGERAZOR_OP floats where(float_mask mask, floats a) noexcept { return _mm256_and_ps(mask.v, a.v); }

/// 2^(n / 8) for x = 1.5 * 2^20 + n / 8, where that is a normal number. A table entry is the bits
/// of 2^(j / 8) less j << 20: the sum with the bits of x, shifted, leaves n >> 3 to the exponent.
inline constexpr unsigned power_steps = 8;
EDGERAZOR_OP floats power_of_steps(floats shifted) noexcept {
  const __m256i entries = _mm256_setr_epi32(0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                            0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7);
  const words bits = bits_of(shifted);
  return from_bits(words{_mm256_permutevar8x32_epi32(entries, bits.v)} + shift_left<20>(bits));
}

// What the loops of quantizers have beside that.

EDGERAZOR_OP floats larger(floats a, floats b) noexcept { return _mm256_max_ps(a.v, b.v); }
EDGERAZOR_OP floats quotient(floats a, floats b) noexcept {
  __m256 result;
  EDGERAZOR_DIVIDE_AVX(result, a.v, b.v, _mm256_div_ps);
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
  return _mm256_movemask_ps(_mm256_castsi256_ps(a.v)) != 0;
}
EDGERAZOR_OP std::int32_t largest_lane(words a) noexcept {
  __m128i x = _mm_max_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  x = _mm_max_epi32(x, _mm_unpackhi_epi64(x, x));
  return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 1)));
}
EDGERAZOR_OP void store_bytes(std::uint8_t* to, const words (&a)[2]) noexcept {
  const __m256i low_byte = _mm256_set1_epi32(0xff);
  const __m256i pairs =
      _mm256_packs_epi32(_mm256_and_si256(a[0].v, low_byte), _mm256_and_si256(a[1].v, low_byte));
  const __m256i in_order = _mm256_permute4x64_epi64(pairs, 0b11'01'10'00);
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(to),
      _mm_packus_epi16(_mm256_castsi256_si128(in_order), _mm256_extracti128_si256(in_order, 1)));
}
EDGERAZOR_OP void load_block(const float* at, floats (&to)[2]) noexcept {
  to[0] = _mm256_loadu_ps(at), to[1] = _mm256_loadu_ps(at + 8);
}
EDGERAZOR_OP void load_block(const float16* at, floats (&to)[2]) noexcept {
  const auto* const halves = reinterpret_cast<const __m128i*>(at);
  to[0] = _mm256_cvtph_ps(_mm_loadu_si128(halves));
  to[1] = _mm256_cvtph_ps(_mm_loadu_si128(halves + 1));
}
EDGERAZOR_OP void load_block(const bfloat16* at, floats (&to)[2]) noexcept {
  const auto* const halves = reinterpret_cast<const __m128i*>(at);
  for (int i = 0; i < 2; ++i) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + i));
    to[i] = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
}
EDGERAZOR_OP void store_block(float* to, const floats (&a)[2]) noexcept {
  _mm256_storeu_ps(to, a[0].v), _mm256_storeu_ps(to + 8, a[1].v);
}
EDGERAZOR_OP void store_block(float16* to, const floats (&a)[2]) noexcept {
  auto* const halves = reinterpret_cast<__m128i*>(to);
  _mm_storeu_si128(halves, _mm256_cvtps_ph(a[0].v, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(a[1].v, _MM_FROUND_TO_NEAREST_INT));
}
/// core::float_to_bfloat_bits in every lane.
EDGERAZOR_OP __m256i bfloat_bits(floats a) noexcept {
  const __m256i bits = _mm256_castps_si256(a.v), upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff)), 16);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i is_nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), is_nan);
}
EDGERAZOR_OP void store_block(bfloat16* to, const floats (&a)[2]) noexcept {
  const __m256i pairs = _mm256_packus_epi32(bfloat_bits(a[0]), bfloat_bits(a[1]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm256_permute4x64_epi64(pairs, 0b11'01'10'00));
}

#undef EDGERAZOR_OP

}  // namespace detail::kernel::vector::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
