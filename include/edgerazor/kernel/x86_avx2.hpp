/// AVX2 (with FMA, F16C): a 256-bit register is half a chunk, 8 rows; 16 floats are two.
///
/// Integers are exact though `vpmaddubsw` saturates: x86_avx2_sums.hpp. See kernel.hpp for the contract of each
/// function, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstring>

#include <immintrin.h>

#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/kernel.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/x86_avx2_sums.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor::inline v0::avx2 {

#define EDGERAZOR_AVX2 EDGERAZOR_TARGET("avx2,fma,f16c")

inline bool supported() noexcept {
  return detect_cpu_features().avx2;
}

/// Sums of 16 rows while chunks go by.
template <code_type Type>
struct accumulator {
  __m256i low, high;

  EDGERAZOR_AVX2 EDGERAZOR_INLINE void add(const std::uint8_t* chunk, const std::int8_t* x) noexcept {
    low = _mm256_add_epi32(low, half_sums<Type>(load_half(chunk), x));
    high = _mm256_add_epi32(high, half_sums<Type>(load_half(chunk + 32), x));
  }
};

template <code_type Type>
EDGERAZOR_AVX2 void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin,
                        std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t chunk_cols = slot_cols * fields;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::chunk_span<fields> span(first, last);
    const std::uint8_t* chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    accumulator<Type> total{};
    if (span.head) {
      const detail::partial_chunk<fields> part(x, span.whole_begin - 1, first, last);
      total.add(chunk - chunk_bytes, part.x);
    }
    for (std::size_t c = span.whole_begin; c < span.whole_end; ++c, chunk += chunk_bytes, columns += chunk_cols) {
      total.add(chunk, columns);
    }
    if (span.tail) {
      const detail::partial_chunk<fields> part(x, span.whole_end, first, last);
      total.add(chunk, part.x);
    }
    const __m256i offset = _mm256_set1_epi32(codec_of(Type).zero_code * x_sums[g]);
    store_half(isum, _mm256_sub_epi32(total.low, offset));
    store_half(isum + 8, _mm256_sub_epi32(total.high, offset));
  }
}

template <code_type Type>
EDGERAZOR_AVX2 void unpack(const tile_codes& w, std::size_t begin, std::size_t end, std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t s = begin; s < end;) {
    const std::size_t chunk = s / fields, next = (chunk + 1) * fields;
    const __m256i low = load_half(w.chunks + chunk_bytes * chunk),
                  high = load_half(w.chunks + chunk_bytes * chunk + 32);
    for (; s < next && s < end; ++s, panel += chunk_bytes) {
      const unsigned f = static_cast<unsigned>(s - chunk * fields);
      store_half(panel, field<Type>(low, f));
      store_half(panel + 32, field<Type>(high, f));
    }
  }
}

template <code_type Type, std::size_t Tokens>
EDGERAZOR_AVX2 EDGERAZOR_INLINE void panel_dot_tokens(const std::uint8_t* panel, std::size_t slots,
                                                      const std::int8_t* x, std::size_t x_stride,
                                                      std::int32_t* isum) noexcept {
  // Slots whose products fit 16 bits; those of 8-bit codes are in 32 bits from the start.
  constexpr std::size_t widest = static_cast<std::size_t>(int16_max / pair_bound(codec_of(Type).radix - 1));
  constexpr bool narrow = Type != code_type::int8;
  static_assert(widest >= 8 || !narrow);
  while (slots > 0) {
    const std::size_t block = narrow && slots > widest ? widest : slots;
    __m256i low[Tokens] = {}, high[Tokens] = {};
    std::size_t s = 0;
    do {
      const __m256i low_codes = load_half(panel), high_codes = load_half(panel + 32);
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        const std::int8_t* four = x + t * x_stride;
        if constexpr (narrow) {
          low[t] = _mm256_add_epi16(low[t], pair_sums(low_codes, four));
          high[t] = _mm256_add_epi16(high[t], pair_sums(high_codes, four));
        } else {
          low[t] = _mm256_add_epi32(low[t], half_sums<Type>(low_codes, four));
          high[t] = _mm256_add_epi32(high[t], half_sums<Type>(high_codes, four));
        }
      }
      panel += chunk_bytes, x += slot_cols;
    } while (++s < block);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      std::int32_t* sums = isum + tile_rows * t;
      store_half(sums, _mm256_add_epi32(load_half(sums), narrow ? row_sums(low[t]) : low[t]));
      store_half(sums + 8, _mm256_add_epi32(load_half(sums + 8), narrow ? row_sums(high[t]) : high[t]));
    }
    slots -= block;
  }
}

template <code_type Type>
EDGERAZOR_AVX2 void panel_dot(const std::uint8_t* panel, std::size_t slots, const std::int8_t* x, std::size_t x_stride,
                              std::size_t tokens, std::int32_t* isum) noexcept {
  constexpr std::size_t block = 4;  // 8 sums in 16 registers
  for (; tokens >= block; tokens -= block, x += block * x_stride, isum += block * tile_rows) {
    panel_dot_tokens<Type, block>(panel, slots, x, x_stride, isum);
  }
  for (; tokens > 0; --tokens, x += x_stride, isum += tile_rows) {
    panel_dot_tokens<Type, 1>(panel, slots, x, x_stride, isum);
  }
}

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
  return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
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

EDGERAZOR_AVX2 inline void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code, const float* x,
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

template <class Scale>
EDGERAZOR_AVX2 void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                               std::size_t groups, float* y) noexcept {
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  reals total = load16(y);
  for (std::size_t g = 0; g < groups; ++g, isum += tile_rows, scales += tile_rows) {
    total = multiply_add(load16(isum), times(load16(scales), x_scales[g]), total);
  }
  store16(y, total);
}

template <class Scale>
EDGERAZOR_AVX2 void scale_tokens(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                                 std::size_t scale_stride, std::size_t tokens, float* y,
                                 std::size_t y_stride) noexcept {
  const reals w_scale = load16(reinterpret_cast<const Scale*>(w_scales));
  for (std::size_t t = 0; t < tokens; ++t, isum += tile_rows, y += y_stride) {
    store16(y, multiply_add(load16(isum), times(w_scale, x_scales[t * scale_stride]), load16(y)));
  }
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
EDGERAZOR_AVX2 EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride, std::size_t cols, const float* x,
                                                 std::size_t x_stride, float* y, std::size_t y_stride) noexcept {
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
      for (std::size_t t = 0; t < Tokens; ++t) sums[i][t] = multiply_add(weights, tokens[t], sums[i][t]);
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
        const reals sum = multiply_add(weights, load_first(x + t * x_stride + c, count), sums[i][t]);
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
EDGERAZOR_AVX2 void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols, const float* x,
                              std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  for (; rows >= 4; rows -= 4, w += 4 * w_stride, y += 4) {
    std::size_t t = 0;
    for (; t + 2 <= tokens; t += 2) {
      const float* two = x + t * x_stride;
      dense_block<2, 2>(w, w_stride, cols, two, x_stride, y + t * y_stride, y_stride);
      dense_block<2, 2>(w + 2 * w_stride, w_stride, cols, two, x_stride, y + t * y_stride + 2, y_stride);
    }
    if (t < tokens) dense_block<4, 1>(w, w_stride, cols, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
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
  const __m256 low = _mm256_set1_ps(-127.0f), high = _mm256_set1_ps(127.0f), divisor = _mm256_set1_ps(scale);
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t c = 0; c < cols; c += 8) {
    const __m256i mask = tail_mask(cols - c);
    const __m256 ratio = _mm256_div_ps(_mm256_maskload_ps(x + c, mask), divisor);
    // max and min give the second operand where one is NaN, so NaN becomes -127; the conversion rounds half to even.
    const __m256i code = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(ratio, low), high));
    sum = _mm256_add_epi32(sum, _mm256_and_si256(code, mask));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    const long long bytes = _mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    std::memcpy(codes + c, &bytes, cols - c < 8 ? cols - c : 8);
  }
  const __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  const __m128i s2 = _mm_add_epi32(s4, _mm_unpackhi_epi64(s4, s4));
  return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 1)));
}

/// `Vectors` times 8 columns.
template <std::size_t Vectors>
EDGERAZOR_AVX2 EDGERAZOR_INLINE void mix_block(const std::int8_t* levels, std::size_t stride, const float* weights,
                                               std::size_t positions, float* out) noexcept {
  __m256 total[Vectors];
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < Vectors; ++v) total[v] = _mm256_loadu_ps(out + 8 * v);
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    const __m256 weight = _mm256_set1_ps(weights[t]);
    EDGERAZOR_UNROLL
    for (std::size_t v = 0; v < Vectors; ++v) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(levels + 8 * v));
      total[v] = _mm256_fmadd_ps(weight, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), total[v]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < Vectors; ++v) _mm256_storeu_ps(out + 8 * v, total[v]);
}

EDGERAZOR_AVX2 inline void mix(const std::int8_t* levels, std::size_t stride, const float* weights,
                               std::size_t positions, std::size_t cols, float* out) noexcept {
  std::size_t c = 0;
  for (; c + 64 <= cols; c += 64) mix_block<8>(levels + c, stride, weights, positions, out + c);
  for (; c + 8 <= cols; c += 8) mix_block<1>(levels + c, stride, weights, positions, out + c);
  if (c == cols) return;
  const __m256i mask = tail_mask(cols - c);
  __m256 total = _mm256_maskload_ps(out + c, mask);
  for (std::size_t t = 0; t < positions; ++t) {
    long long bytes = 0;
    std::memcpy(&bytes, levels + t * stride + c, cols - c);
    const __m256i level = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bytes));
    total = _mm256_fmadd_ps(_mm256_set1_ps(weights[t]), _mm256_cvtepi32_ps(level), total);
  }
  _mm256_maskstore_ps(out + c, mask, total);
}

inline constexpr kernel table{
    .name = "avx2",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>, &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_dot = {&panel_dot<code_type::ternary2>, &panel_dot<code_type::ternary5>, &panel_dot<code_type::int4>,
                  &panel_dot<code_type::int8>},
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

#undef EDGERAZOR_AVX2

}  // namespace edgerazor::inline v0::avx2

EDGERAZOR_END_INTRINSICS

#endif
