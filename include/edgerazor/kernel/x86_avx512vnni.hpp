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

template <std::size_t Tokens>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void panel_dot_tokens(const std::uint8_t* panel, std::size_t slots,
                                                            const std::int8_t* x, std::size_t x_stride,
                                                            std::int32_t* isum) noexcept {
  __m512i sums[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) sums[t] = _mm512_loadu_si512(isum + tile_rows * t);
  for (std::size_t s = 0; s < slots; ++s) {
    const __m512i codes = load_chunk(panel + chunk_bytes * s);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      sums[t] = _mm512_dpbusd_epi32(sums[t], codes, broadcast4(x + t * x_stride + slot_cols * s));
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) _mm512_storeu_si512(isum + tile_rows * t, sums[t]);
}

EDGERAZOR_AVX512VNNI inline void panel_dot(const std::uint8_t* panel, std::size_t slots, const std::int8_t* x,
                                           std::size_t x_stride, std::size_t tokens, std::int32_t* isum) noexcept {
  constexpr std::size_t block = 8;  // sums enough to hide the latency of vpdpbusd
  for (; tokens >= block; tokens -= block, x += block * x_stride, isum += block * tile_rows) {
    panel_dot_tokens<block>(panel, slots, x, x_stride, isum);
  }
  for (; tokens > 0; --tokens, x += x_stride, isum += tile_rows) panel_dot_tokens<1>(panel, slots, x, x_stride, isum);
}

EDGERAZOR_AVX512VNNI inline void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code,
                                             const float* x, float* p) noexcept {
  const __m512i low_byte = _mm512_set1_epi32(0xff), zero = _mm512_set1_epi32(zero_code);
  __m512 sums[slot_cols];
  EDGERAZOR_UNROLL
  for (std::size_t b = 0; b < slot_cols; ++b) sums[b] = _mm512_loadu_ps(p + 16 * b);
  for (std::size_t s = 0; s < slots; ++s, x += slot_cols) {
    __m512i codes = load_chunk(panel + chunk_bytes * s);
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) {
      const __m512i level = _mm512_sub_epi32(_mm512_and_si512(codes, low_byte), zero);
      sums[b] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(level), _mm512_set1_ps(x[b]), sums[b]);
      codes = _mm512_srli_epi32(codes, 8);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t b = 0; b < slot_cols; ++b) _mm512_storeu_ps(p + 16 * b, sums[b]);
}

/// 16 stored numbers as floats; exact.
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load16(const float* at) noexcept {
  return _mm512_loadu_ps(at);
}
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load16(const float16* at) noexcept {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load16(const bfloat16* at) noexcept {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
/// The first of 16 stored numbers, those of the mask; nothing else is read.
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load_masked(const float* at, __mmask16 mask) noexcept {
  return _mm512_maskz_loadu_ps(mask, at);
}
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load_masked(const float16* at, __mmask16 mask) noexcept {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at));
}
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load_masked(const bfloat16* at, __mmask16 mask) noexcept {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)), 16));
}
/// The lanes of a last vector of `count` elements, all 16 for a whole one.
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __mmask16 tail_mask(std::size_t count) noexcept {
  return static_cast<__mmask16>((1u << count) - 1u);
}

template <class Scale>
EDGERAZOR_AVX512VNNI void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                                     std::size_t groups, float* y) noexcept {
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  __m512 total = _mm512_loadu_ps(y);
  for (std::size_t g = 0; g < groups; ++g, isum += tile_rows, scales += tile_rows) {
    const __m512 scale = _mm512_mul_ps(load16(scales), _mm512_set1_ps(x_scales[g]));
    total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(isum)), scale, total);
  }
  _mm512_storeu_ps(y, total);
}

template <class Scale>
EDGERAZOR_AVX512VNNI void scale_tokens(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                                       std::size_t scale_stride, std::size_t tokens, float* y,
                                       std::size_t y_stride) noexcept {
  const __m512 w_scale = load16(reinterpret_cast<const Scale*>(w_scales));
  for (std::size_t t = 0; t < tokens; ++t, isum += tile_rows, y += y_stride) {
    const __m512 scale = _mm512_mul_ps(w_scale, _mm512_set1_ps(x_scales[t * scale_stride]));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(isum)), scale, _mm512_loadu_ps(y)));
  }
}

template <class Scale>
EDGERAZOR_AVX512VNNI void scale_floats(const float* p, const std::byte* w_scales, float* y) noexcept {
  const __m512 low = _mm512_add_ps(_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16));
  const __m512 sum = _mm512_add_ps(low, _mm512_add_ps(_mm512_loadu_ps(p + 32), _mm512_loadu_ps(p + 48)));
  _mm512_storeu_ps(y, _mm512_fmadd_ps(sum, load16(reinterpret_cast<const Scale*>(w_scales)), _mm512_loadu_ps(y)));
}

/// Halves are added as the contract orders.
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE float sum_lanes(__m512 s) noexcept {
  const __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(s), 1));
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(s), upper);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

template <std::size_t Rows, std::size_t Tokens, class T>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride, std::size_t cols,
                                                       const float* x, std::size_t x_stride, float* y,
                                                       std::size_t y_stride) noexcept {
  __m512 sums[Rows][Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) sums[i][t] = _mm512_setzero_ps();
  }
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    __m512 weights[Rows];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) weights[i] = load16(w + i * w_stride + c);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      const __m512 token = _mm512_loadu_ps(x + t * x_stride + c);
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) sums[i][t] = _mm512_fmadd_ps(weights[i], token, sums[i][t]);
    }
  }
  if (c < cols) {
    const __mmask16 mask = tail_mask(cols - c);
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      const __m512 weights = load_masked(w + i * w_stride + c, mask);
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        // Lanes past the end keep their sum, the sign of a zero included.
        sums[i][t] = _mm512_mask3_fmadd_ps(weights, load_masked(x + t * x_stride + c, mask), sums[i][t], mask);
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) y[t * y_stride + i] = sum_lanes(sums[i][t]);
  }
}

template <class T>
EDGERAZOR_AVX512VNNI void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols,
                                    const float* x, std::size_t x_stride, std::size_t tokens, float* y,
                                    std::size_t y_stride) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= rows; i += 4, w += 4 * w_stride) {
    std::size_t t = 0;
    for (; t + 4 <= tokens; t += 4) {
      dense_block<4, 4>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride + i, y_stride);
    }
    for (; t < tokens; ++t)
      dense_block<4, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride + i, y_stride);
  }
  for (; i < rows; ++i, w += w_stride) {
    for (std::size_t t = 0; t < tokens; ++t) {
      dense_block<1, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride + i, y_stride);
    }
  }
}

EDGERAZOR_AVX512VNNI inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  __m512 largest = _mm512_setzero_ps();
  for (std::size_t c = 0; c < cols; c += 16) {
    const __m512 value = load_masked(x + c, cols - c >= 16 ? __mmask16{0xffff} : tail_mask(cols - c));
    largest = _mm512_max_ps(_mm512_abs_ps(value), largest);  // the second operand where one is NaN
  }
  return _mm512_reduce_max_ps(largest);
}

EDGERAZOR_AVX512VNNI inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                                                  std::int8_t* codes) noexcept {
  const __m512 low = _mm512_set1_ps(-127.0f), high = _mm512_set1_ps(127.0f), divisor = _mm512_set1_ps(scale);
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t c = 0; c < cols; c += 16) {
    const __mmask16 mask = cols - c >= 16 ? __mmask16{0xffff} : tail_mask(cols - c);
    const __m512 ratio = _mm512_div_ps(load_masked(x + c, mask), divisor);
    // max and min give the second operand where one is NaN, so NaN becomes -127; the conversion rounds half to even.
    const __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(ratio, low), high));
    _mm512_mask_cvtepi32_storeu_epi8(codes + c, mask, code);
    sum = _mm512_mask_add_epi32(sum, mask, sum, code);
  }
  return _mm512_reduce_add_epi32(sum);
}

EDGERAZOR_AVX512VNNI inline void mix(const std::int8_t* levels, std::size_t stride, const float* weights,
                                     std::size_t positions, std::size_t cols, float* out) noexcept {
  for (std::size_t c = 0; c < cols; c += 16) {
    const __mmask16 mask = cols - c >= 16 ? __mmask16{0xffff} : tail_mask(cols - c);
    __m512 total = load_masked(out + c, mask);
    for (std::size_t t = 0; t < positions; ++t) {
      const __m128i bytes = _mm_maskz_loadu_epi8(mask, levels + t * stride + c);
      total = _mm512_fmadd_ps(_mm512_set1_ps(weights[t]), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), total);
    }
    _mm512_mask_storeu_ps(out + c, mask, total);
  }
}

inline constexpr kernel table{
    .name = "avx512vnni",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>, &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_dot = {&panel_dot, &panel_dot, &panel_dot, &panel_dot},
    .panel_float = &panel_float,
    .scale_sums = {&scale_sums<float16>, &scale_sums<bfloat16>, &scale_sums<float>},
    .scale_tokens = {&scale_tokens<float16>, &scale_tokens<bfloat16>, &scale_tokens<float>},
    .scale_floats = {&scale_floats<float16>, &scale_floats<bfloat16>, &scale_floats<float>},
    .dense_float = &dense_dot<float>,
    .dense_float16 = &dense_dot<float16>,
    .dense_bfloat16 = &dense_dot<bfloat16>,
    .max_magnitude = &max_magnitude,
    .quantize = &quantize,
    .mix = &mix,
};

#undef EDGERAZOR_AVX512VNNI

}  // namespace edgerazor::inline v0::avx512vnni

EDGERAZOR_END_INTRINSICS

#endif
