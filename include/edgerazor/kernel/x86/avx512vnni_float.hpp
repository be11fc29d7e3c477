// SPDX-License-Identifier: Apache-2.0
/// The float functions of AVX-512 (F, BW, VL). See kernel.hpp for the contract of each, scalar.hpp
/// for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <immintrin.h>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx512vnni {

#define EDGERAZOR_AVX512VNNI EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")

/// 4 sums a token stay in registers: 6 tokens are 24 of the 32.
template <std::size_t Tokens>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void panel_float_tokens(const std::uint8_t* panel,
                                                              std::size_t slots, int zero_code,
                                                              const float* x, std::size_t x_stride,
                                                              float* p) noexcept {
  const __m512i low_byte = _mm512_set1_epi32(0xff), zero = _mm512_set1_epi32(zero_code);
  __m512 sums[Tokens][slot_cols];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) sums[t][b] = _mm512_loadu_ps(p + 64 * t + 16 * b);
  }
  for (std::size_t s = 0; s < slots; ++s, x += slot_cols) {
    __m512i codes = _mm512_loadu_si512(panel + chunk_bytes * s);
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) {
      const __m512 level =
          _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_and_si512(codes, low_byte), zero));
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        sums[t][b] = _mm512_fmadd_ps(level, _mm512_set1_ps(x[t * x_stride + b]), sums[t][b]);
      }
      codes = _mm512_srli_epi32(codes, 8);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) _mm512_storeu_ps(p + 64 * t + 16 * b, sums[t][b]);
  }
}

EDGERAZOR_AVX512VNNI inline void panel_float(const std::uint8_t* panel, std::size_t slots,
                                             int zero_code, const float* x, std::size_t x_stride,
                                             std::size_t tokens, float* p) noexcept {
  constexpr std::size_t block = 6, sums = slot_cols * tile_rows;
  for (; tokens >= block; tokens -= block, x += block * x_stride, p += block * sums) {
    panel_float_tokens<block>(panel, slots, zero_code, x, x_stride, p);
  }
  if (tokens >= 3) {
    panel_float_tokens<3>(panel, slots, zero_code, x, x_stride, p);
    tokens -= 3, x += 3 * x_stride, p += 3 * sums;
  }
  for (; tokens > 0; --tokens, x += x_stride, p += sums)
    panel_float_tokens<1>(panel, slots, zero_code, x, x_stride, p);
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
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load_masked(const float16* at,
                                                         __mmask16 mask) noexcept {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at));
}
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 load_masked(const bfloat16* at,
                                                         __mmask16 mask) noexcept {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)), 16));
}
/// The lanes of a last vector of `count` elements, all 16 for a whole one.
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __mmask16 tail_mask(std::size_t count) noexcept {
  return static_cast<__mmask16>((1u << count) - 1u);
}

template <class Scale>
EDGERAZOR_AVX512VNNI void scale_sums(const std::int32_t* isum, const std::byte* w_scales,
                                     const float* x_scales, std::size_t groups, float* y) noexcept {
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  __m512 total = _mm512_loadu_ps(y);
  for (std::size_t g = 0; g < groups; ++g, isum += tile_rows, scales += tile_rows) {
    const __m512 scale = _mm512_mul_ps(load16(scales), _mm512_set1_ps(x_scales[g]));
    total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(isum)), scale, total);
  }
  _mm512_storeu_ps(y, total);
}

template <class Scale>
EDGERAZOR_AVX512VNNI void read_scales(const std::byte* w_scales, float* scales) noexcept {
  _mm512_storeu_ps(scales, load16(reinterpret_cast<const Scale*>(w_scales)));
}

template <class Scale>
EDGERAZOR_AVX512VNNI void scale_floats(const float* p, const std::byte* w_scales,
                                       float* y) noexcept {
  const __m512 low = _mm512_add_ps(_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16));
  const __m512 sum =
      _mm512_add_ps(low, _mm512_add_ps(_mm512_loadu_ps(p + 32), _mm512_loadu_ps(p + 48)));
  _mm512_storeu_ps(y, _mm512_fmadd_ps(sum, load16(reinterpret_cast<const Scale*>(w_scales)),
                                      _mm512_loadu_ps(y)));
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
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride,
                                                       std::size_t cols, const float* x,
                                                       std::size_t x_stride, float* y,
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
      for (std::size_t i = 0; i < Rows; ++i)
        sums[i][t] = _mm512_fmadd_ps(weights[i], token, sums[i][t]);
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
        sums[i][t] = _mm512_mask3_fmadd_ps(weights, load_masked(x + t * x_stride + c, mask),
                                           sums[i][t], mask);
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
EDGERAZOR_AVX512VNNI void dense_dot(const T* w, std::size_t w_stride, std::size_t rows,
                                    std::size_t cols, const float* x, std::size_t x_stride,
                                    std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= rows; i += 4, w += 4 * w_stride) {
    std::size_t t = 0;
    for (; t + 4 <= tokens; t += 4) {
      dense_block<4, 4>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride + i,
                        y_stride);
    }
    for (; t < tokens; ++t)
      dense_block<4, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride + i,
                        y_stride);
  }
  for (; i < rows; ++i, w += w_stride) {
    for (std::size_t t = 0; t < tokens; ++t) {
      dense_block<1, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride + i,
                        y_stride);
    }
  }
}

EDGERAZOR_AVX512VNNI inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  __m512 largest = _mm512_setzero_ps();
  for (std::size_t c = 0; c < cols; c += 16) {
    const __m512 value =
        load_masked(x + c, cols - c >= 16 ? __mmask16{0xffff} : tail_mask(cols - c));
    largest = _mm512_max_ps(_mm512_abs_ps(value), largest);  // the second operand where one is NaN
  }
  return _mm512_reduce_max_ps(largest);
}

EDGERAZOR_AVX512VNNI inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                                                  std::int8_t* codes) noexcept {
  const __m512 low = _mm512_set1_ps(-127.0f), high = _mm512_set1_ps(127.0f),
               divisor = _mm512_set1_ps(scale);
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t c = 0; c < cols; c += 16) {
    const __mmask16 mask = cols - c >= 16 ? __mmask16{0xffff} : tail_mask(cols - c);
    const __m512 ratio = _mm512_div_ps(load_masked(x + c, mask), divisor);
    // max and min give the second operand where one is NaN, so NaN becomes -127; the conversion
    // rounds half to even.
    const __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(ratio, low), high));
    _mm512_mask_cvtepi32_storeu_epi8(codes + c, mask, code);
    sum = _mm512_mask_add_epi32(sum, mask, sum, code);
  }
  return _mm512_reduce_add_epi32(sum);
}

/// Up to 64 columns of some mixes; lanes past `cols` are neither read nor written.
template <std::size_t Mixes>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void mix_block(const std::int8_t* levels, std::size_t stride,
                                                     const float* weights,
                                                     std::size_t weight_stride,
                                                     std::size_t positions, std::size_t cols,
                                                     float* out, std::size_t out_stride) noexcept {
  constexpr std::size_t vectors = 4;
  __mmask16 masks[vectors];
  __m512 totals[Mixes][vectors];
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < vectors; ++v) {
    masks[v] =
        cols >= 16 * (v + 1) ? __mmask16{0xffff} : tail_mask(cols > 16 * v ? cols - 16 * v : 0);
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < Mixes; ++q)
      totals[q][v] = load_masked(out + q * out_stride + 16 * v, masks[v]);
  }
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    EDGERAZOR_UNROLL
    for (std::size_t v = 0; v < vectors; ++v) {
      const __m128i bytes = _mm_maskz_loadu_epi8(masks[v], levels + 16 * v);
      const __m512 level = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < Mixes; ++q) {
        totals[q][v] =
            _mm512_fmadd_ps(_mm512_set1_ps(weights[q * weight_stride + t]), level, totals[q][v]);
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < vectors; ++v) {
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < Mixes; ++q) {
      _mm512_mask_storeu_ps(out + q * out_stride + 16 * v, masks[v], totals[q][v]);
    }
  }
}

EDGERAZOR_AVX512VNNI inline void mix(const std::int8_t* levels, std::size_t stride,
                                     const float* weights, std::size_t weight_stride,
                                     std::size_t positions, std::size_t cols, std::size_t mixes,
                                     float* out, std::size_t out_stride) noexcept {
  for (std::size_t c = 0; c < cols; c += 64) {
    std::size_t q = 0;
    for (; q + 4 <= mixes; q += 4) {
      mix_block<4>(levels + c, stride, weights + q * weight_stride, weight_stride, positions,
                   cols - c, out + q * out_stride + c, out_stride);
    }
    for (; q < mixes; ++q) {
      mix_block<1>(levels + c, stride, weights + q * weight_stride, weight_stride, positions,
                   cols - c, out + q * out_stride + c, out_stride);
    }
  }
}

EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512 exponentials_of(__m512 x) noexcept {
  // max and min give the second operand where one is NaN.
  __m512 v = _mm512_max_ps(_mm512_set1_ps(exponential::lowest), x);
  v = _mm512_min_ps(_mm512_set1_ps(exponential::highest), v);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(v, _mm512_set1_ps(exponential::log2_e)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(exponential::ln2_high), v);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(exponential::ln2_low), r);
  __m512 p = _mm512_set1_ps(exponential::terms[0]);
  EDGERAZOR_UNROLL
  for (std::size_t k = 1; k < 8; ++k)
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(exponential::terms[k]));
  const __m512i power = _mm512_cvtps_epi32(n), half = _mm512_srai_epi32(power, 1),
                bias = _mm512_set1_epi32(127);
  const __m512i rest = _mm512_sub_epi32(power, half);
  p = _mm512_mul_ps(p, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(half, bias), 23)));
  return _mm512_mul_ps(p, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(rest, bias), 23)));
}

EDGERAZOR_AVX512VNNI inline float exponentials(float* x, std::size_t count, float scale,
                                               float shift) noexcept {
  const __m512 factor = _mm512_set1_ps(scale), origin = _mm512_set1_ps(shift);
  __m512 sum = _mm512_setzero_ps();
  for (std::size_t i = 0; i < count; i += 16) {
    const __mmask16 mask = count - i >= 16 ? __mmask16{0xffff} : tail_mask(count - i);
    const __m512 e =
        exponentials_of(_mm512_mul_ps(factor, _mm512_sub_ps(load_masked(x + i, mask), origin)));
    _mm512_mask_storeu_ps(x + i, mask, e);
    sum = _mm512_mask_add_ps(sum, mask, sum, e);
  }
  return sum_lanes(sum);
}

#undef EDGERAZOR_AVX512VNNI

}  // namespace detail::kernel::avx512vnni
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
