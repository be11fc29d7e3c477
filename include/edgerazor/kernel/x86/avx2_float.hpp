// SPDX-License-Identifier: Apache-2.0
/// The float functions of AVX2 (with FMA, F16C): 16 floats are two registers. See kernel.hpp for
/// the contract of each, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstring>

#include <immintrin.h>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/kernel/x86/avx2_sums.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_AVX2 EDGERAZOR_TARGET("avx2,fma,f16c")

/// 16 floats: lanes 0..7 and 8..15.
struct reals {
  __m256 low, high;
};
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals add(reals a, reals b) noexcept {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals times(reals a, float b) noexcept {
  return {_mm256_mul_ps(a.low, _mm256_set1_ps(b)), _mm256_mul_ps(a.high, _mm256_set1_ps(b))};
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals multiply_add(reals a, reals b, reals c) noexcept {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE void store16(float* to, reals v) noexcept {
  _mm256_storeu_ps(to, v.low), _mm256_storeu_ps(to + 8, v.high);
}
/// 16 stored numbers as floats: exact, but integers over 2^24 round.
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals load16(const float* at) noexcept {
  return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals load16(const float16* at) noexcept {
  const __m128i* halves = reinterpret_cast<const __m128i*>(at);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals load16(const bfloat16* at) noexcept {
  const __m128i* halves = reinterpret_cast<const __m128i*>(at);
  const __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves));
  const __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
}
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals load16(const std::int32_t* at) noexcept {
  return {_mm256_cvtepi32_ps(load_half(at)), _mm256_cvtepi32_ps(load_half(at + 8))};
}
/// All bits set in the first `count` of 8 lanes.
EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256i tail_mask(std::size_t count) noexcept {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count < 8 ? count : 8)), lanes);
}
/// The first `count` of 16 stored numbers, then zeros; nothing else is read.
template <class T>
EDGERAZOR_AVX2 EDGERAZOR_INLINE reals load_first(const T* at, std::size_t count) noexcept {
  T some[16] = {};
  std::memcpy(some, at, count * sizeof(T));
  return load16(some);
}

EDGERAZOR_AVX2 EDGERAZOR_INLINE void panel_float_token(const std::uint8_t* panel, std::size_t slots,
                                                       int zero_code, const float* x,
                                                       float* p) noexcept {
  const __m256i low_byte = _mm256_set1_epi32(0xff), zero = _mm256_set1_epi32(zero_code);
  reals sums[slot_cols];
  EDGERAZOR_UNROLL
  for (std::size_t b = 0; b < slot_cols; ++b) sums[b] = load16(p + 16 * b);
  for (std::size_t s = 0; s < slots; ++s, panel += chunk_bytes, x += slot_cols) {
    __m256i low = load_half(panel), high = load_half(panel + 32);
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) {
      const __m256 column = _mm256_set1_ps(x[b]);
      const __m256i low_level = _mm256_sub_epi32(_mm256_and_si256(low, low_byte), zero);
      const __m256i high_level = _mm256_sub_epi32(_mm256_and_si256(high, low_byte), zero);
      const reals level{_mm256_cvtepi32_ps(low_level), _mm256_cvtepi32_ps(high_level)};
      sums[b] = multiply_add(level, {column, column}, sums[b]);
      low = _mm256_srli_epi32(low, 8), high = _mm256_srli_epi32(high, 8);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t b = 0; b < slot_cols; ++b) store16(p + 16 * b, sums[b]);
}

/// Four tokens share each decoded column; one column of each slot at a time, so that 8 sums stay in
/// 16 registers.
EDGERAZOR_AVX2 EDGERAZOR_INLINE void panel_float_4_tokens(const std::uint8_t* panel,
                                                          std::size_t slots, int zero_code,
                                                          const float* x, std::size_t x_stride,
                                                          float* p) noexcept {
  constexpr std::size_t tokens = 4;
  const __m256i low_byte = _mm256_set1_epi32(0xff), zero = _mm256_set1_epi32(zero_code);
  for (std::size_t b = 0; b < slot_cols; ++b) {
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(8 * b));
    reals sums[tokens];
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) sums[t] = load16(p + 64 * t + 16 * b);
    for (std::size_t s = 0; s < slots; ++s) {
      const __m256i low = _mm256_srl_epi32(load_half(panel + chunk_bytes * s), shift);
      const __m256i high = _mm256_srl_epi32(load_half(panel + chunk_bytes * s + 32), shift);
      const reals level{
          _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_and_si256(low, low_byte), zero)),
          _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_and_si256(high, low_byte), zero))};
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < tokens; ++t) {
        const __m256 column = _mm256_set1_ps(x[t * x_stride + slot_cols * s + b]);
        sums[t] = multiply_add(level, {column, column}, sums[t]);
      }
    }
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < tokens; ++t) store16(p + 64 * t + 16 * b, sums[t]);
  }
}

EDGERAZOR_AVX2 inline void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code,
                                       const float* x, std::size_t x_stride, std::size_t tokens,
                                       float* p) noexcept {
  for (; tokens >= 4; tokens -= 4, x += 4 * x_stride, p += 4 * 64) {
    panel_float_4_tokens(panel, slots, zero_code, x, x_stride, p);
  }
  for (; tokens > 0; --tokens, x += x_stride, p += 64)
    panel_float_token(panel, slots, zero_code, x, p);
}

template <class Scale>
EDGERAZOR_AVX2 void scale_sums(const std::int32_t* isum, const std::byte* w_scales,
                               const float* x_scales, std::size_t groups, float* y) noexcept {
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  reals total = load16(y);
  for (std::size_t g = 0; g < groups; ++g, isum += tile_rows, scales += tile_rows) {
    total = multiply_add(load16(isum), times(load16(scales), x_scales[g]), total);
  }
  store16(y, total);
}

/// The epilogue of one group and token: y[r] = fma(float(isum[r]), w_scales[r] * x_scale, y[r]).
EDGERAZOR_AVX2 EDGERAZOR_INLINE void add_scaled(__m256i low, __m256i high, const float* w_scales,
                                                float x_scale, float* y) noexcept {
  const reals sums{_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)};
  store16(y, multiply_add(sums, times(load16(w_scales), x_scale), load16(y)));
}

template <class Scale>
EDGERAZOR_AVX2 void read_scales(const std::byte* w_scales, float* scales) noexcept {
  store16(scales, load16(reinterpret_cast<const Scale*>(w_scales)));
}

template <class Scale>
EDGERAZOR_AVX2 void scale_floats(const float* p, const std::byte* w_scales, float* y) noexcept {
  const reals sum = add(add(load16(p), load16(p + 16)), add(load16(p + 32), load16(p + 48)));
  store16(y, multiply_add(sum, load16(reinterpret_cast<const Scale*>(w_scales)), load16(y)));
}

/// Halves are added as the contract orders.
EDGERAZOR_AVX2 EDGERAZOR_INLINE float sum_lanes(reals s) noexcept {
  const __m256 s8 = _mm256_add_ps(s.low, s.high);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

template <std::size_t Rows, std::size_t Tokens, class T>
EDGERAZOR_AVX2 EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride, std::size_t cols,
                                                 const float* x, std::size_t x_stride, float* y,
                                                 std::size_t y_stride) noexcept {
  reals sums[Rows][Tokens] = {};
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    reals tokens[Tokens];
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) tokens[t] = load16(x + t * x_stride + c);
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      const reals weights = load16(w + i * w_stride + c);
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t)
        sums[i][t] = multiply_add(weights, tokens[t], sums[i][t]);
    }
  }
  if (const std::size_t count = cols - c; count > 0) {
    const __m256 low = _mm256_castsi256_ps(tail_mask(count));
    const __m256 high = _mm256_castsi256_ps(tail_mask(count < 8 ? 0 : count - 8));
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Rows; ++i) {
      const reals weights = load_first(w + i * w_stride + c, count);
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        // Lanes past the end keep their sum, the sign of a zero included.
        const reals sum =
            multiply_add(weights, load_first(x + t * x_stride + c, count), sums[i][t]);
        sums[i][t].low = _mm256_blendv_ps(sums[i][t].low, sum.low, low);
        sums[i][t].high = _mm256_blendv_ps(sums[i][t].high, sum.high, high);
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) y[t * y_stride + i] = sum_lanes(sums[i][t]);
  }
}

/// In 16 registers: 2 x 2 sums of 16 lanes, or 4 x 1.
template <class T>
EDGERAZOR_AVX2 void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols,
                              const float* x, std::size_t x_stride, std::size_t tokens, float* y,
                              std::size_t y_stride) noexcept {
  for (; rows >= 4; rows -= 4, w += 4 * w_stride, y += 4) {
    std::size_t t = 0;
    for (; t + 2 <= tokens; t += 2) {
      const float* two = x + t * x_stride;
      dense_block<2, 2>(w, w_stride, cols, two, x_stride, y + t * y_stride, y_stride);
      dense_block<2, 2>(w + 2 * w_stride, w_stride, cols, two, x_stride, y + t * y_stride + 2,
                        y_stride);
    }
    if (t < tokens)
      dense_block<4, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
  }
  for (; rows > 0; --rows, w += w_stride, ++y) {
    for (std::size_t t = 0; t < tokens; ++t) {
      dense_block<1, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    }
  }
}

EDGERAZOR_AVX2 inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 largest = _mm256_setzero_ps();
  for (std::size_t c = 0; c < cols; c += 8) {
    const __m256 value = _mm256_and_ps(_mm256_maskload_ps(x + c, tail_mask(cols - c)), magnitude);
    largest = _mm256_max_ps(value, largest);  // the second operand where one is NaN
  }
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

EDGERAZOR_AVX2 inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                                            std::int8_t* codes) noexcept {
  const __m256 low = _mm256_set1_ps(-127.0f), high = _mm256_set1_ps(127.0f),
               divisor = _mm256_set1_ps(scale);
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t c = 0; c < cols; c += 8) {
    const __m256i mask = tail_mask(cols - c);
    const __m256 ratio = _mm256_div_ps(_mm256_maskload_ps(x + c, mask), divisor);
    // max and min give the second operand where one is NaN, so NaN becomes -127; the conversion
    // rounds half to even.
    const __m256i code = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(ratio, low), high));
    sum = _mm256_add_epi32(sum, _mm256_and_si256(code, mask));
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    const long long bytes = _mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    std::memcpy(codes + c, &bytes, cols - c < 8 ? cols - c : 8);
  }
  const __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  const __m128i s2 = _mm_add_epi32(s4, _mm_unpackhi_epi64(s4, s4));
  return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 1)));
}

/// 16 columns of some mixes.
template <std::size_t Mixes>
EDGERAZOR_AVX2 EDGERAZOR_INLINE void mix_block(const std::int8_t* levels, std::size_t stride,
                                               const float* weights, std::size_t weight_stride,
                                               std::size_t positions, float* out,
                                               std::size_t out_stride) noexcept {
  reals totals[Mixes];
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < Mixes; ++q) totals[q] = load16(out + q * out_stride);
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
    const reals level{_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                      _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < Mixes; ++q) {
      const __m256 weight = _mm256_set1_ps(weights[q * weight_stride + t]);
      totals[q] = multiply_add({weight, weight}, level, totals[q]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < Mixes; ++q) store16(out + q * out_stride, totals[q]);
}

/// 64 columns of one mix: 8 sums hide the latency of the multiply-add.
EDGERAZOR_AVX2 EDGERAZOR_INLINE void mix_64(const std::int8_t* levels, std::size_t stride,
                                            const float* weights, std::size_t positions,
                                            float* out) noexcept {
  __m256 totals[8];
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < 8; ++v) totals[v] = _mm256_loadu_ps(out + 8 * v);
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    const __m256 weight = _mm256_set1_ps(weights[t]);
    EDGERAZOR_UNROLL
    for (std::size_t v = 0; v < 8; ++v) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(levels + 8 * v));
      totals[v] =
          _mm256_fmadd_ps(weight, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), totals[v]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < 8; ++v) _mm256_storeu_ps(out + 8 * v, totals[v]);
}

/// Fewer than 16 columns.
EDGERAZOR_AVX2 EDGERAZOR_INLINE void mix_tail(const std::int8_t* levels, std::size_t stride,
                                              const float* weights, std::size_t positions,
                                              std::size_t cols, float* out) noexcept {
  std::int8_t some[16] = {};
  float sums[16] = {};
  std::memcpy(sums, out, cols * sizeof(float));
  for (std::size_t t = 0; t < positions; ++t) {
    std::memcpy(some, levels + t * stride, cols);
    mix_block<1>(some, 0, weights + t, 0, 1, sums, 0);
  }
  std::memcpy(out, sums, cols * sizeof(float));
}

/// Some mixes of any number of columns. A last block of fewer than 16 is the end of the 16 that end
/// there: all of them are computed from what `out` was before, apart, and those past the whole
/// blocks are kept.
template <std::size_t Mixes>
EDGERAZOR_AVX2 EDGERAZOR_INLINE void mix_rows(const std::int8_t* levels, std::size_t stride,
                                              const float* weights, std::size_t weight_stride,
                                              std::size_t positions, std::size_t cols, float* out,
                                              std::size_t out_stride) noexcept {
  const std::size_t rest = cols % 16;
  float last[Mixes * 16];
  if (rest != 0 && cols >= 16) {
    for (std::size_t q = 0; q < Mixes; ++q)
      store16(last + 16 * q, load16(out + q * out_stride + cols - 16));
    mix_block<Mixes>(levels + cols - 16, stride, weights, weight_stride, positions, last, 16);
  }
  std::size_t c = 0;
  if constexpr (Mixes == 1) {
    for (; c + 64 <= cols; c += 64) mix_64(levels + c, stride, weights, positions, out + c);
  }
  for (; c + 16 <= cols; c += 16) {
    mix_block<Mixes>(levels + c, stride, weights, weight_stride, positions, out + c, out_stride);
  }
  for (std::size_t q = 0; q < Mixes && rest != 0; ++q) {
    float* const to = out + q * out_stride + c;
    if (cols >= 16) {
      std::memcpy(to, last + 16 * q + 16 - rest, rest * sizeof(float));
    } else {
      mix_tail(levels + c, stride, weights + q * weight_stride, positions, rest, to);
    }
  }
}

EDGERAZOR_AVX2 inline void mix(const std::int8_t* levels, std::size_t stride, const float* weights,
                               std::size_t weight_stride, std::size_t positions, std::size_t cols,
                               std::size_t mixes, float* out, std::size_t out_stride) noexcept {
  for (; mixes >= 4; mixes -= 4, weights += 4 * weight_stride, out += 4 * out_stride) {
    mix_rows<4>(levels, stride, weights, weight_stride, positions, cols, out, out_stride);
  }
  for (; mixes > 0; --mixes, weights += weight_stride, out += out_stride) {
    mix_rows<1>(levels, stride, weights, weight_stride, positions, cols, out, out_stride);
  }
}

EDGERAZOR_AVX2 EDGERAZOR_INLINE __m256 exponentials_of(__m256 x) noexcept {
  // max and min give the second operand where one is NaN.
  __m256 v = _mm256_max_ps(_mm256_set1_ps(exponential::lowest), x);
  v = _mm256_min_ps(_mm256_set1_ps(exponential::highest), v);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(exponential::log2_e)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(exponential::ln2_high), v);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(exponential::ln2_low), r);
  __m256 p = _mm256_set1_ps(exponential::terms[0]);
  EDGERAZOR_UNROLL
  for (std::size_t k = 1; k < 8; ++k)
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(exponential::terms[k]));
  const __m256i power = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(power, 1),
                bias = _mm256_set1_epi32(127);
  const __m256i rest = _mm256_sub_epi32(power, half);
  p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
  return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}

EDGERAZOR_AVX2 inline float exponentials(float* x, std::size_t count, float scale,
                                         float shift) noexcept {
  const __m256 factor = _mm256_set1_ps(scale), origin = _mm256_set1_ps(shift);
  reals sums{_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (std::size_t i = 0; i < count; i += 16) {
    const std::size_t left = count - i;
    const __m256i low = tail_mask(left), high = tail_mask(left < 8 ? 0 : left - 8);
    const __m256 x0 = _mm256_sub_ps(_mm256_maskload_ps(x + i, low), origin);
    const __m256 e0 = exponentials_of(_mm256_mul_ps(factor, x0));
    _mm256_maskstore_ps(x + i, low, e0);
    sums.low = _mm256_add_ps(sums.low, _mm256_and_ps(e0, _mm256_castsi256_ps(low)));
    if (left <= 8) break;
    const __m256 x1 = _mm256_sub_ps(_mm256_maskload_ps(x + i + 8, high), origin);
    const __m256 e1 = exponentials_of(_mm256_mul_ps(factor, x1));
    _mm256_maskstore_ps(x + i + 8, high, e1);
    sums.high = _mm256_add_ps(sums.high, _mm256_and_ps(e1, _mm256_castsi256_ps(high)));
  }
  return sum_lanes(sums);
}

#undef EDGERAZOR_AVX2

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
