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
#include <edgerazor/kernel/x86_avx2_reals.hpp>
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
    .exponentials = &exponentials,
};

#undef EDGERAZOR_AVX2

}  // namespace edgerazor::inline v0::avx2

EDGERAZOR_END_INTRINSICS

#endif
