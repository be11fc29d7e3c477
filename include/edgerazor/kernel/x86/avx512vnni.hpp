// SPDX-License-Identifier: Apache-2.0
/// AVX-512 VNNI (with F, BW, VL): one 512-bit register is one chunk, 16 rows x 4 columns in each
/// field of its bytes.
///
/// `vpdpbusd` multiplies 64 unsigned codes by 16 copies of 4 signed activations into 16 sums, one a
/// row, in 32 bits without saturation: integers are exact. See kernel.hpp for the contract of each
/// function, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstring>

#include <immintrin.h>

#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/x86/avx512vnni_float.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx512vnni {

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

/// As avx2::prefetch, farther ahead: chunks take half the time.
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void prefetch(const std::uint8_t* chunk) noexcept {
  _mm_prefetch(reinterpret_cast<const char*>(chunk + 4096), _MM_HINT_T0);
}

/// Each codec's bytes as fields that vpdpbusd can multiply, and their sums. A field is masked, not
/// shifted, and counts `weight(f)` times too much, which its sum loses again once, at the end.
/// Exact, because |sum| <= 255 * 128 * largest_group < 2^31. Do not carry this to vpmaddubsw: 2 *
/// 192 * 127 overflows its int16.
static_assert(std::int64_t{255} * 128 * format::largest_group <= std::int64_t{1} << 31);

template <code_type Type>
struct chunk_codes {
  static constexpr unsigned fields = codec_of(Type).fields;
  __m512i bytes;

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE explicit chunk_codes(__m512i stored) noexcept
      : bytes(stored) {}
  /// Field f times the radix to the power f.
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i field(unsigned f) const noexcept {
    if constexpr (fields == 1) return bytes;
    const unsigned mask = (codec_of(Type).radix - 1) * codec_of(Type).weight(f);
    return _mm512_and_si512(bytes, _mm512_set1_epi8(static_cast<char>(mask)));
  }
  static constexpr int shift(unsigned f) noexcept { return static_cast<int>(8 / fields * f); }
};

EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i look_up(const detail::kernel::base3_digits<16>& table,
                                                      __m512i index) noexcept {
  const __m128i fields = _mm_load_si128(reinterpret_cast<const __m128i*>(table.fields));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(fields), index);
}

/// Base 3: byte = 9 * u + v. v = 0..8 are digits 0 and 1, u = 0..26 the others, which takes two
/// tables of 16. Division by 9: even bytes alone, b * 57 >> 9; odd ones as the upper half of a
/// word, word * 7282 >> 24 (base3_digits.hpp proves both).
template <>
struct chunk_codes<code_type::ternary5> {
  static constexpr unsigned fields = 5;
  __m512i digits01, digits234;

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE explicit chunk_codes(__m512i stored) noexcept {
    const __m512i b = _mm512_min_epu8(stored, _mm512_set1_epi8(static_cast<char>(242)));
    const __m512i even = _mm512_srli_epi16(_mm512_maddubs_epi16(b, _mm512_set1_epi16(57)), 9);
    const __m512i odd = _mm512_mulhi_epu16(b, _mm512_set1_epi16(7282));
    const __m512i u = _mm512_mask_mov_epi8(even, 0xaaaaaaaaaaaaaaaa, odd);
    const __m512i v = _mm512_sub_epi8(
        b, _mm512_mullo_epi16(u, _mm512_set1_epi16(9)));  // 9 * 26: no carry upwards
    digits01 = look_up(detail::kernel::digits_from_0, v);
    // A shuffle gives 0 where its index has the top bit set: u + 0x70 from u = 16 on, u - 16 below.
    digits234 = _mm512_or_si512(
        look_up(detail::kernel::digits_from_0, _mm512_add_epi8(u, _mm512_set1_epi8(0x70))),
        look_up(detail::kernel::digits_from_16, _mm512_sub_epi8(u, _mm512_set1_epi8(16))));
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i field(unsigned f) const noexcept {
    return _mm512_and_si512(f < 2 ? digits01 : digits234,
                            _mm512_set1_epi8(static_cast<char>(3 << shift(f))));
  }
  static constexpr int shift(unsigned f) noexcept {
    return static_cast<int>(f < 2 ? 2 * f : 2 * (f - 2));
  }
};

/// Sums of one group while its chunks go by, one a field.
template <code_type Type>
struct accumulator {
  static constexpr unsigned fields = codec_of(Type).fields;
  __m512i sums[fields];

  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE accumulator() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) sums[f] = _mm512_setzero_si512();
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void add(const chunk_codes<Type>& codes,
                                                 const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const __m512i field = codes.field(f);
      EDGERAZOR_DPBUSD_BROADCAST(sums[f], field, x + slot_cols * f);
    }
  }
  EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE __m512i total() const noexcept {
    __m512i sum = sums[0];
    EDGERAZOR_UNROLL
    for (unsigned f = 1; f < fields; ++f) {
      sum = _mm512_add_epi32(
          sum, _mm512_srai_epi32(sums[f], static_cast<unsigned>(chunk_codes<Type>::shift(f))));
    }
    return sum;
  }
};

/// A chunk that two groups share is decoded once.
template <code_type Type>
EDGERAZOR_AVX512VNNI void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums,
                              std::size_t begin, std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t chunk_cols = slot_cols * fields;
  const std::uint8_t* chunk = w.chunks + w.slot_begin(begin) / fields * chunk_bytes;
  chunk_codes<Type> codes(load_chunk(chunk));
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::kernel::chunk_span<fields> span(first, last);
    // Sums enough to hide the latency of vpdpbusd: codecs of fewer fields take chunks in turn.
    constexpr unsigned chains = fields < 4 ? 4 / fields : 1;
    accumulator<Type> sums[chains];
    if (span.head)
      sums[0].add(codes,
                  detail::kernel::partial_chunk<fields>(x, span.whole_begin - 1, first, last).x);
    chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    std::size_t c = span.whole_begin;
    for (; c + chains <= span.whole_end;
         c += chains, chunk += chains * chunk_bytes, columns += chains * chunk_cols) {
      EDGERAZOR_UNROLL
      for (unsigned i = 0; i < chains; ++i) {
        prefetch(chunk + i * chunk_bytes);
        sums[i].add(chunk_codes<Type>(load_chunk(chunk + i * chunk_bytes)),
                    columns + i * chunk_cols);
      }
    }
    for (; c < span.whole_end; ++c, chunk += chunk_bytes, columns += chunk_cols) {
      sums[0].add(chunk_codes<Type>(load_chunk(chunk)), columns);
    }
    if (span.tail) {
      codes = chunk_codes<Type>(load_chunk(chunk));
      sums[0].add(codes, detail::kernel::partial_chunk<fields>(x, span.whole_end, first, last).x);
    }
    __m512i total = _mm512_set1_epi32(-codec_of(Type).zero_code * x_sums[g]);
    EDGERAZOR_UNROLL
    for (unsigned i = 0; i < chains; ++i) total = _mm512_add_epi32(total, sums[i].total());
    _mm512_storeu_si512(isum, total);
  }
}

template <code_type Type>
EDGERAZOR_AVX512VNNI void unpack(const tile_codes& w, std::size_t begin, std::size_t end,
                                 std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t chunk = begin / fields; chunk * fields < end; ++chunk) {
    const chunk_codes<Type> codes(load_chunk(w.chunks + chunk_bytes * chunk));
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const std::size_t slot = chunk * fields + f;
      if (slot < begin || slot >= end) continue;
      const __m512i field =
          _mm512_srli_epi16(codes.field(f), static_cast<unsigned>(chunk_codes<Type>::shift(f)));
      _mm512_storeu_si512(panel + chunk_bytes * (slot - begin), field);
    }
  }
}

/// Tokens [first, first + Tokens) of a panel's product. The broadcasts fold into the loads of
/// vpdpbusd.
template <std::size_t Tokens>
EDGERAZOR_AVX512VNNI EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                                const panel_tokens& x,
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
      EDGERAZOR_DPBUSD_BROADCAST(sums[t], codes, columns + t * x.x_stride);
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
    const __m512 scale =
        _mm512_mul_ps(scales, _mm512_set1_ps(x.scales[(first + t) * x.group_stride]));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), scale, _mm512_loadu_ps(y)));
  }
}

EDGERAZOR_AVX512VNNI inline void panel_product(const group_panel& w,
                                               const panel_tokens& x) noexcept {
  std::size_t t = 0;  // 16 sums: loads of codes are few beside those of activations
  for (; t + 16 <= x.tokens; t += 16) panel_product_tokens<16>(w, x, t);
  for (; t + 4 <= x.tokens; t += 4) panel_product_tokens<4>(w, x, t);
  for (; t < x.tokens; ++t) panel_product_tokens<1>(w, x, t);
}

inline constexpr functions table{
    .name = "avx512vnni",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>,
            &dot<code_type::int8>},
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

}  // namespace detail::kernel::avx512vnni
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
