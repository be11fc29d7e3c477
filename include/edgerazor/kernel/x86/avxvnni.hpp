// SPDX-License-Identifier: Apache-2.0
/// AVX-VNNI (Alder Lake and later processors without AVX-512): `vpdpbusd` on 256-bit registers,
/// half a chunk. Float functions and decoding are those of AVX2. See kernel.hpp for the contract of
/// each function, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/x86/avx2.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avxvnni {

#define EDGERAZOR_AVXVNNI EDGERAZOR_TARGET("avxvnni,avx2,fma,f16c")

inline bool supported() noexcept {
  return detect_cpu_features().avxvnni;
}

/// sums + the products of 8 rows x 4 columns, in 32 bits without saturation.
EDGERAZOR_AVXVNNI EDGERAZOR_INLINE __m256i add_products(__m256i sums, __m256i codes,
                                                        __m256i x) noexcept {
  return _mm256_dpbusd_avx_epi32(sums, codes, x);
}

/// Sums of 16 rows while chunks go by, one a field.
///
/// Fields of a power-of-two radix are masked, not shifted: field f counts radix^f times too much,
/// and is shifted back once, at the end. Exact: |sum| <= 255 * 128 * largest_group < 2^31.
template <code_type Type>
struct accumulator {
  static constexpr unsigned fields = codec_of(Type).fields;
  static constexpr bool in_place = Type != code_type::ternary5;
  __m256i low[fields], high[fields];

  EDGERAZOR_AVXVNNI EDGERAZOR_INLINE accumulator() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) low[f] = high[f] = _mm256_setzero_si256();
  }
  EDGERAZOR_AVXVNNI EDGERAZOR_INLINE static __m256i field(const avx2::half_codes<Type>& codes,
                                                          unsigned f) noexcept {
    if constexpr (in_place) {
      if constexpr (fields == 1) return codes.bytes;
      return avx2::masked(codes.bytes,
                          static_cast<int>((codec_of(Type).radix - 1) * codec_of(Type).weight(f)));
    } else {
      return codes.field(f);
    }
  }
  EDGERAZOR_AVXVNNI EDGERAZOR_INLINE void add(const avx2::chunk_codes<Type>& codes,
                                              const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const __m256i four = avx2::broadcast4(x + slot_cols * f);
      low[f] = add_products(low[f], field(codes.low, f), four);
      high[f] = add_products(high[f], field(codes.high, f), four);
      EDGERAZOR_KEEP(low[f]);
      EDGERAZOR_KEEP(high[f]);
    }
  }
  EDGERAZOR_AVXVNNI EDGERAZOR_INLINE static __m256i total(const __m256i* sums) noexcept {
    __m256i sum = sums[0];
    EDGERAZOR_UNROLL
    for (unsigned f = 1; f < fields; ++f) {
      sum = _mm256_add_epi32(
          sum, in_place ? _mm256_srai_epi32(sums[f], static_cast<int>(8 / fields * f)) : sums[f]);
    }
    return sum;
  }
};

/// As avx2::dot. (A function cannot lend its body to one with more instructions.)
template <code_type Type>
EDGERAZOR_AVXVNNI void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums,
                           std::size_t begin, std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t chunk_cols = slot_cols * fields;
  avx2::chunk_codes<Type> codes(w.chunks + w.slot_begin(begin) / fields * chunk_bytes);
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::kernel::chunk_span<fields> span(first, last);
    const std::uint8_t* chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    // Sums enough to hide the latency of vpdpbusd: codecs of fewer fields take chunks in turn.
    constexpr unsigned chains = fields < 4 ? 4 / fields : 1;
    accumulator<Type> sums[chains];
    if (span.head)
      sums[0].add(codes,
                  detail::kernel::partial_chunk<fields>(x, span.whole_begin - 1, first, last).x);
    std::size_t c = span.whole_begin;
    for (; c + chains <= span.whole_end;
         c += chains, chunk += chains * chunk_bytes, columns += chains * chunk_cols) {
      EDGERAZOR_UNROLL
      for (unsigned i = 0; i < chains; ++i) {
        avx2::prefetch(chunk + i * chunk_bytes);
        sums[i].add(avx2::chunk_codes<Type>(chunk + i * chunk_bytes), columns + i * chunk_cols);
      }
    }
    for (; c < span.whole_end; ++c, chunk += chunk_bytes, columns += chunk_cols) {
      sums[0].add(avx2::chunk_codes<Type>(chunk), columns);
    }
    if (span.tail) {
      codes = avx2::chunk_codes<Type>(chunk);
      sums[0].add(codes, detail::kernel::partial_chunk<fields>(x, span.whole_end, first, last).x);
    }
    __m256i low = _mm256_set1_epi32(-codec_of(Type).zero_code * x_sums[g]), high = low;
    EDGERAZOR_UNROLL
    for (unsigned i = 0; i < chains; ++i) {
      low = _mm256_add_epi32(low, accumulator<Type>::total(sums[i].low));
      high = _mm256_add_epi32(high, accumulator<Type>::total(sums[i].high));
    }
    avx2::store_half(isum, low);
    avx2::store_half(isum + 8, high);
  }
}

/// Tokens [first, first + Tokens) of a panel's product.
template <std::size_t Tokens>
EDGERAZOR_AVXVNNI EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                             const panel_tokens& x,
                                                             std::size_t first) noexcept {
  std::int32_t* const isum = x.isum + tile_rows * first;
  __m256i low[Tokens], high[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    const __m256i offset = _mm256_set1_epi32(-w.zero_code * x.sums[(first + t) * x.group_stride]);
    low[t] = w.first ? offset : avx2::load_half(isum + tile_rows * t);
    high[t] = w.first ? offset : avx2::load_half(isum + tile_rows * t + 8);
  }
  const std::int8_t* columns = x.x + first * x.x_stride;
  for (std::size_t s = 0; s < w.slots; ++s, columns += slot_cols) {
    const __m256i low_codes = avx2::load_half(w.codes + chunk_bytes * s);
    const __m256i high_codes = avx2::load_half(w.codes + chunk_bytes * s + 32);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      const __m256i four = avx2::broadcast4(columns + t * x.x_stride);
      low[t] = add_products(low[t], low_codes, four);
      high[t] = add_products(high[t], high_codes, four);
      EDGERAZOR_KEEP(low[t]);
      EDGERAZOR_KEEP(high[t]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    if (w.last) {
      const float x_scale = x.scales[(first + t) * x.group_stride];
      avx2::add_scaled(low[t], high[t], w.scales, x_scale, x.y + tile_rows * (first + t));
    } else {
      avx2::store_half(isum + tile_rows * t, low[t]);
      avx2::store_half(isum + tile_rows * t + 8, high[t]);
    }
  }
}

EDGERAZOR_AVXVNNI inline void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  constexpr std::size_t block = 6;  // 12 sums, 2 halves of a slot and a token in 16 registers
  std::size_t t = 0;
  for (; t + block <= x.tokens; t += block) panel_product_tokens<block>(w, x, t);
  for (; t + 2 <= x.tokens; t += 2) panel_product_tokens<2>(w, x, t);
  for (; t < x.tokens; ++t) panel_product_tokens<1>(w, x, t);
}

inline constexpr functions table = [] {
  functions k = avx2::table;
  k.name = "avxvnni";
  k.supported = &supported;
  k.dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>,
           &dot<code_type::int8>};
  k.panel_product = {&panel_product, &panel_product, &panel_product, &panel_product};
  return k;
}();

#undef EDGERAZOR_AVXVNNI

}  // namespace detail::kernel::avxvnni
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
