// SPDX-License-Identifier: Apache-2.0
/// AVX2 (with FMA, F16C): a 256-bit register is half a chunk, 8 rows; 16 floats are two.
///
/// Integers are exact though `vpmaddubsw` saturates: x86_avx2_sums.hpp. See kernel.hpp for the
/// contract of each function, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstring>

#include <immintrin.h>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/x86/avx2_float.hpp>
#include <edgerazor/kernel/x86/avx2_sums.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_AVX2 EDGERAZOR_TARGET("avx2,fma,f16c")

inline bool supported() noexcept {
  return detect_cpu_features().avx2;
}

/// Asks for a chunk a fraction of a microsecond before its use. Processors follow a stream by
/// themselves, but only to the end of a 4 KiB page, and a loop that multiplies is too long for them
/// to run ahead across it: without this, a page costs some 200 ns of waiting for DRAM. An address
/// past the matrix is no access: nothing faults.
EDGERAZOR_AVX2 EDGERAZOR_INLINE void prefetch(const std::uint8_t* chunk) noexcept {
  _mm_prefetch(reinterpret_cast<const char*>(chunk + 2048), _MM_HINT_T0);
}

/// A whole chunk, decoded.
template <code_type Type>
struct chunk_codes {
  half_codes<Type> low, high;

  EDGERAZOR_AVX2 EDGERAZOR_INLINE explicit chunk_codes(const std::uint8_t* chunk) noexcept
      : low(load_half(chunk)), high(load_half(chunk + 32)) {}
};

/// Sums of 16 rows while chunks go by.
template <code_type Type>
struct accumulator {
  __m256i low, high;

  EDGERAZOR_AVX2 EDGERAZOR_INLINE void add(const chunk_codes<Type>& codes,
                                           const std::int8_t* x) noexcept {
    low = _mm256_add_epi32(low, half_sums(codes.low, x));
    high = _mm256_add_epi32(high, half_sums(codes.high, x));
    EDGERAZOR_KEEP(low);
    EDGERAZOR_KEEP(high);
  }
};

/// A chunk that two groups share is decoded once.
template <code_type Type>
EDGERAZOR_AVX2 void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums,
                        std::size_t begin, std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t chunk_cols = slot_cols * fields;
  const std::uint8_t* chunk = w.chunks + w.slot_begin(begin) / fields * chunk_bytes;
  chunk_codes<Type> codes(chunk);
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::kernel::chunk_span<fields> span(first, last);
    accumulator<Type> sums{};
    if (span.head)
      sums.add(codes,
               detail::kernel::partial_chunk<fields>(x, span.whole_begin - 1, first, last).x);
    chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    for (std::size_t c = span.whole_begin; c < span.whole_end;
         ++c, chunk += chunk_bytes, columns += chunk_cols) {
      prefetch(chunk);
      sums.add(chunk_codes<Type>(chunk), columns);
    }
    if (span.tail) {
      codes = chunk_codes<Type>(chunk);
      sums.add(codes, detail::kernel::partial_chunk<fields>(x, span.whole_end, first, last).x);
    }
    const __m256i offset = _mm256_set1_epi32(codec_of(Type).zero_code * x_sums[g]);
    store_half(isum, _mm256_sub_epi32(sums.low, offset));
    store_half(isum + 8, _mm256_sub_epi32(sums.high, offset));
  }
}

template <code_type Type>
EDGERAZOR_AVX2 void unpack(const tile_codes& w, std::size_t begin, std::size_t end,
                           std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t chunk = begin / fields; chunk * fields < end; ++chunk) {
    const chunk_codes<Type> codes(w.chunks + chunk_bytes * chunk);
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const std::size_t slot = chunk * fields + f;
      if (slot < begin || slot >= end) continue;
      store_half(panel + chunk_bytes * (slot - begin), codes.low.field(f));
      store_half(panel + chunk_bytes * (slot - begin) + 32, codes.high.field(f));
    }
  }
}

/// Tokens [first, first + Tokens) of a panel's product.
template <code_type Type, std::size_t Tokens>
EDGERAZOR_AVX2 EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                          const panel_tokens& x,
                                                          std::size_t first) noexcept {
  // Slots whose products fit 16 bits; those of 8-bit codes are in 32 bits from the start.
  constexpr std::size_t widest =
      static_cast<std::size_t>(int16_max / pair_bound(codec_of(Type).radix - 1));
  constexpr bool narrow = Type != code_type::int8;
  static_assert(widest >= 8 || !narrow);
  std::int32_t* const isum = x.isum + tile_rows * first;
  __m256i low[Tokens], high[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    const __m256i offset = _mm256_set1_epi32(-w.zero_code * x.sums[(first + t) * x.group_stride]);
    low[t] = w.first ? offset : load_half(isum + tile_rows * t);
    high[t] = w.first ? offset : load_half(isum + tile_rows * t + 8);
  }
  const std::uint8_t* codes = w.codes;
  const std::int8_t* columns = x.x + first * x.x_stride;
  for (std::size_t slots = w.slots; slots > 0;) {
    const std::size_t block = narrow && slots > widest ? widest : slots;
    __m256i low_sums[Tokens] = {}, high_sums[Tokens] = {};
    std::size_t s = 0;
    do {
      const __m256i low_codes = load_half(codes), high_codes = load_half(codes + 32);
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) {
        const std::int8_t* four = columns + t * x.x_stride;
        if constexpr (narrow) {
          low_sums[t] = _mm256_add_epi16(low_sums[t], pair_sums(low_codes, four));
          high_sums[t] = _mm256_add_epi16(high_sums[t], pair_sums(high_codes, four));
        } else {
          low_sums[t] = _mm256_add_epi32(low_sums[t], half_sums(half_codes<Type>(low_codes), four));
          high_sums[t] =
              _mm256_add_epi32(high_sums[t], half_sums(half_codes<Type>(high_codes), four));
        }
        EDGERAZOR_KEEP(low_sums[t]);
        EDGERAZOR_KEEP(high_sums[t]);
      }
      codes += chunk_bytes, columns += slot_cols;
    } while (++s < block);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      low[t] = _mm256_add_epi32(low[t], narrow ? row_sums(low_sums[t]) : low_sums[t]);
      high[t] = _mm256_add_epi32(high[t], narrow ? row_sums(high_sums[t]) : high_sums[t]);
    }
    slots -= block;
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    if (w.last) {
      const float x_scale = x.scales[(first + t) * x.group_stride];
      add_scaled(low[t], high[t], w.scales, x_scale, x.y + tile_rows * (first + t));
    } else {
      store_half(isum + tile_rows * t, low[t]);
      store_half(isum + tile_rows * t + 8, high[t]);
    }
  }
}

template <code_type Type>
EDGERAZOR_AVX2 void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  constexpr std::size_t block =
      4;  // 8 sums, 2 halves of a slot, a product and a token in 16 registers
  std::size_t t = 0;
  for (; t + block <= x.tokens; t += block) panel_product_tokens<Type, block>(w, x, t);
  for (; t < x.tokens; ++t) panel_product_tokens<Type, 1>(w, x, t);
}

inline constexpr functions table{
    .name = "avx2",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>,
            &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_product = {&panel_product<code_type::ternary2>, &panel_product<code_type::ternary5>,
                      &panel_product<code_type::int4>, &panel_product<code_type::int8>},
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

#undef EDGERAZOR_AVX2

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
