/// AVX-512 VNNI (with F, BW, VL): one 512-bit register is one chunk, 16 rows x 4 columns in each field of its bytes.
///
/// `vpdpbusd` multiplies 64 unsigned codes by 16 copies of 4 signed activations into 16 sums, one a row, in 32 bits
/// without saturation: integers are exact. See kernel.hpp for the contract of each function, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstring>

#include <immintrin.h>

#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/kernel.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/x86_avx512vnni_reals.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor::inline v0::avx512vnni {

#define EDGERAZOR_AVX512VNNI EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")

inline bool supported() noexcept {
  return detect_cpu_features().avx512vnni;
}

EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i broadcast4(const std::int8_t* x) noexcept {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}

EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i load_chunk(const std::uint8_t* chunk) noexcept {
  return _mm512_loadu_si512(chunk);
}

/// Sums of one group while its chunks go by, one implementation a codec. `sum()` gives the 16 totals.
template <code_type Type>
struct accumulator;

/// Fields are masked, not shifted: field f counts 4^f times too much and is shifted back once, at the end. Exact,
/// because |sum| <= 3 * 64 * 127 * largest_group / 4 < 2^31. Do not carry this to vpmaddubsw: 2 * 192 * 127 overflows
/// its int16.
template <>
struct accumulator<code_type::ternary2> {
  static_assert(std::int64_t{3} * 64 * 127 * (format::largest_group / 4) < std::int64_t{1} << 31);
  __m512i sum0, sum1, sum2, sum3;

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void clear() noexcept { sum0 = sum1 = sum2 = sum3 = _mm512_setzero_si512(); }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void add(__m512i codes, const std::int8_t* x) noexcept {
    sum0 = _mm512_dpbusd_epi32(sum0, _mm512_and_si512(codes, _mm512_set1_epi8(0x03)), broadcast4(x));
    sum1 = _mm512_dpbusd_epi32(sum1, _mm512_and_si512(codes, _mm512_set1_epi8(0x0c)), broadcast4(x + 4));
    sum2 = _mm512_dpbusd_epi32(sum2, _mm512_and_si512(codes, _mm512_set1_epi8(0x30)), broadcast4(x + 8));
    sum3 = _mm512_dpbusd_epi32(sum3, _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>(0xc0))),
                               broadcast4(x + 12));
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i sum() const noexcept {
    const __m512i low = _mm512_add_epi32(sum0, _mm512_srai_epi32(sum1, 2));
    return _mm512_add_epi32(low, _mm512_add_epi32(_mm512_srai_epi32(sum2, 4), _mm512_srai_epi32(sum3, 6)));
  }
};

/// Splits the highest base-3 digit off: rest = v - digit * Weight, digit = (v >= Weight) + (v >= 2 * Weight).
template <int Weight>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i take_digit(__m512i& v) noexcept {
  const __m512i weight = _mm512_set1_epi8(static_cast<char>(Weight)), one = _mm512_set1_epi8(1);
  const __mmask64 some = _mm512_cmpge_epu8_mask(v, weight);
  v = _mm512_mask_sub_epi8(v, some, v, weight);
  const __mmask64 two = _mm512_cmpge_epu8_mask(v, weight);
  v = _mm512_mask_sub_epi8(v, two, v, weight);
  return _mm512_mask_add_epi8(_mm512_maskz_mov_epi8(some, one), two, one, one);
}

template <>
struct accumulator<code_type::ternary5> {
  __m512i sum0, sum1;

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void clear() noexcept { sum0 = sum1 = _mm512_setzero_si512(); }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void add(__m512i bytes, const std::int8_t* x) noexcept {
    __m512i rest = _mm512_min_epu8(bytes, _mm512_set1_epi8(static_cast<char>(242)));
    const __m512i digit4 = take_digit<81>(rest), digit3 = take_digit<27>(rest);
    const __m512i digit2 = take_digit<9>(rest), digit1 = take_digit<3>(rest);
    sum0 = _mm512_dpbusd_epi32(sum0, rest, broadcast4(x));
    sum1 = _mm512_dpbusd_epi32(sum1, digit1, broadcast4(x + 4));
    sum0 = _mm512_dpbusd_epi32(sum0, digit2, broadcast4(x + 8));
    sum1 = _mm512_dpbusd_epi32(sum1, digit3, broadcast4(x + 12));
    sum0 = _mm512_dpbusd_epi32(sum0, digit4, broadcast4(x + 16));
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i sum() const noexcept { return _mm512_add_epi32(sum0, sum1); }
};

/// The high field counts 16 times too much and is shifted back at the end: |sum| <= 240 * 127 * largest_group / 2 <
/// 2^31.
template <>
struct accumulator<code_type::int4> {
  static_assert(std::int64_t{240} * 127 * (format::largest_group / 2) < std::int64_t{1} << 31);
  __m512i sum0, sum1;

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void clear() noexcept { sum0 = sum1 = _mm512_setzero_si512(); }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void add(__m512i codes, const std::int8_t* x) noexcept {
    sum0 = _mm512_dpbusd_epi32(sum0, _mm512_and_si512(codes, _mm512_set1_epi8(0x0f)), broadcast4(x));
    sum1 = _mm512_dpbusd_epi32(sum1, _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>(0xf0))),
                               broadcast4(x + 4));
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i sum() const noexcept {
    return _mm512_add_epi32(sum0, _mm512_srai_epi32(sum1, 4));
  }
};

template <>
struct accumulator<code_type::int8> {
  __m512i sum0;

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void clear() noexcept { sum0 = _mm512_setzero_si512(); }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void add(__m512i codes, const std::int8_t* x) noexcept {
    sum0 = _mm512_dpbusd_epi32(sum0, codes, broadcast4(x));
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i sum() const noexcept { return sum0; }
};

template <code_type Type>
EDGERAZOR_AVX512VNNI void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin,
                              std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::chunk_span<fields> span(first, last);
    accumulator<Type> total;
    total.clear();
    if (span.head) {
      const detail::partial_chunk<fields> part(x, span.whole_begin - 1, first, last);
      total.add(load_chunk(w.chunks + chunk_bytes * (span.whole_begin - 1)), part.x);
    }
    const std::uint8_t* chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* four = x + slot_cols * fields * span.whole_begin;
    for (std::size_t c = span.whole_begin; c < span.whole_end; ++c, chunk += chunk_bytes, four += slot_cols * fields) {
      total.add(load_chunk(chunk), four);
    }
    if (span.tail) {
      const detail::partial_chunk<fields> part(x, span.whole_end, first, last);
      total.add(load_chunk(chunk), part.x);
    }
    const __m512i offset = _mm512_set1_epi32(codec_of(Type).zero_code * x_sums[g]);
    _mm512_storeu_si512(isum, _mm512_sub_epi32(total.sum(), offset));
  }
}

/// Field f of a chunk, one code a byte.
template <code_type Type>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i field(__m512i bytes, unsigned f) noexcept {
  if constexpr (Type == code_type::ternary5) {
    __m512i rest = _mm512_min_epu8(bytes, _mm512_set1_epi8(static_cast<char>(242)));
    const __m512i digit4 = take_digit<81>(rest);
    if (f == 4) return digit4;
    const __m512i digit3 = take_digit<27>(rest);
    if (f == 3) return digit3;
    const __m512i digit2 = take_digit<9>(rest);
    if (f == 2) return digit2;
    const __m512i digit1 = take_digit<3>(rest);
    return f == 1 ? digit1 : rest;
  } else {
    constexpr int bits = 8 / static_cast<int>(codec_of(Type).fields);
    constexpr char mask = static_cast<char>(codec_of(Type).radix - 1);
    return _mm512_and_si512(_mm512_srl_epi16(bytes, _mm_cvtsi32_si128(bits * static_cast<int>(f))),
                            _mm512_set1_epi8(mask));
  }
}

template <code_type Type>
EDGERAZOR_AVX512VNNI void unpack(const tile_codes& w, std::size_t begin, std::size_t end,
                                 std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t s = begin; s < end; ++s, panel += chunk_bytes) {
    const __m512i bytes = load_chunk(w.chunks + chunk_bytes * (s / fields));
    _mm512_storeu_si512(panel, field<Type>(bytes, static_cast<unsigned>(s % fields)));
  }
}

/// Tokens [first, first + Tokens) of a panel's product. The broadcasts fold into the loads of vpdpbusd.
template <std::size_t Tokens>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w, const panel_tokens& x,
                                                                std::size_t first) noexcept {
  std::int32_t* const isum = x.isum + tile_rows * first;
  __m512i sums[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    sums[t] = w.first ? _mm512_set1_epi32(-w.zero_code * x.sums[(first + t) * x.group_stride])
                      : _mm512_loadu_si512(isum + tile_rows * t);
  }
  const std::int8_t* columns = x.x + first * x.x_stride;
  for (std::size_t s = 0; s < w.slots; ++s, columns += slot_cols) {
    const __m512i codes = load_chunk(w.codes + chunk_bytes * s);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      sums[t] = _mm512_dpbusd_epi32(sums[t], codes, broadcast4(columns + t * x.x_stride));
    }
  }
  if (!w.last) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) _mm512_storeu_si512(isum + tile_rows * t, sums[t]);
    return;
  }
  const __m512 scales = _mm512_loadu_ps(w.scales);
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    float* const y = x.y + tile_rows * (first + t);
    const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(x.scales[(first + t) * x.group_stride]));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), scale, _mm512_loadu_ps(y)));
  }
}

EDGERAZOR_AVX512VNNI inline void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  std::size_t t = 0;  // 16 sums: loads of codes are few beside those of activations
  for (; t + 16 <= x.tokens; t += 16) panel_product_tokens<16>(w, x, t);
  for (; t + 4 <= x.tokens; t += 4) panel_product_tokens<4>(w, x, t);
  for (; t < x.tokens; ++t) panel_product_tokens<1>(w, x, t);
}

inline constexpr kernel table{
    .name = "avx512vnni",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>, &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_product = {&panel_product, &panel_product, &panel_product, &panel_product},
    .panel_float = &panel_float,
    .scale_sums = {&scale_sums<float16>, &scale_sums<bfloat16>, &scale_sums<float>},
    .read_scales = {&read_scales<float16>, &read_scales<bfloat16>, &read_scales<float>},
    .scale_floats = {&scale_floats<float16>, &scale_floats<bfloat16>, &scale_floats<float>},
    .dense_float = &dense_dot<float>,
    .dense_float16 = &dense_dot<float16>,
    .dense_bfloat16 = &dense_dot<bfloat16>,
    .max_magnitude = &max_magnitude,
    .quantize = &quantize,
    .mix = &mix,
    .exponentials = &exponentials,
};

#undef EDGERAZOR_AVX512VNNI

}  // namespace edgerazor::inline v0::avx512vnni

EDGERAZOR_END_INTRINSICS

#endif
