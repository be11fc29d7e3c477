// SPDX-License-Identifier: Apache-2.0
/// AVX-512 VNNI with VBMI (from Ice Lake and Zen 4 on): base 3 is decoded by one look-up of 128
/// bytes. All else is x86_avx512vnni.hpp. See kernel.hpp for the contract of each function,
/// scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_X86

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/x86/avx512vnni.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx512vbmi {

#define EDGERAZOR_AVX512VBMI \
  EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")

using avx512vnni::broadcast4;

inline bool supported() noexcept {
  return detect_cpu_features().avx512vbmi;
}

/// The four digits of 0..80; past that those of 80, so that a byte over 242 reads as 242.
inline constexpr detail::kernel::base3_digits<128> digits{0, 0, 4, 80};

/// The number by which an exact multiple of 81 becomes its quotient, modulo 2^32.
inline constexpr std::uint32_t inverse_of_81 = 2014922929u;
static_assert(inverse_of_81 * 81u == 1u);

/// byte = 81 * (digit 4) + rest, rest = 0..80. `top` is 81 * (digit 4): two comparisons against 81
/// and 162. It is multiplied as it is, and its sum divided by 81: |sum| <= 162 * 128 *
/// largest_group < 2^31.
struct base3_codes {
  __m512i low, top;

  EDGERAZOR_AVX512VBMI EDGERAZOR_INLINE explicit base3_codes(const std::uint8_t* chunk) noexcept {
    const __m512i bytes = _mm512_loadu_si512(chunk);
    const __m512i one = _mm512_set1_epi8(81), two = _mm512_set1_epi8(static_cast<char>(162));
    top = _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(bytes, one), one);
    top = _mm512_mask_mov_epi8(top, _mm512_cmpge_epu8_mask(bytes, two), two);
    low = _mm512_permutex2var_epi8(_mm512_load_si512(digits.fields), _mm512_sub_epi8(bytes, top),
                                   _mm512_load_si512(digits.fields + 64));
  }
  /// Digit f times 4^f; digit 4 times 81.
  EDGERAZOR_AVX512VBMI EDGERAZOR_INLINE __m512i field(unsigned f) const noexcept {
    return f == 4 ? top : _mm512_and_si512(low, _mm512_set1_epi8(static_cast<char>(3 << 2 * f)));
  }
};

/// Sums of one group, one a field; see avx512vnni::chunk_codes for why fields need no shift.
struct base3_sums {
  static constexpr unsigned fields = 5;
  __m512i sums[fields];

  EDGERAZOR_AVX512VBMI EDGERAZOR_INLINE base3_sums() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) sums[f] = _mm512_setzero_si512();
  }
  EDGERAZOR_AVX512VBMI EDGERAZOR_INLINE void add(const base3_codes& codes,
                                                 const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const __m512i field = codes.field(f);
      EDGERAZOR_DPBUSD_BROADCAST(sums[f], field, x + slot_cols * f);
    }
  }
  EDGERAZOR_AVX512VBMI EDGERAZOR_INLINE __m512i total() const noexcept {
    __m512i sum =
        _mm512_mullo_epi32(sums[4], _mm512_set1_epi32(static_cast<std::int32_t>(inverse_of_81)));
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < 4; ++f) sum = _mm512_add_epi32(sum, _mm512_srai_epi32(sums[f], 2 * f));
    return sum;
  }
};

/// As avx512vnni::dot, of base 3. (A function cannot lend its body to one with more instructions.)
EDGERAZOR_AVX512VBMI inline void dot_ternary5(const tile_codes& w, const std::int8_t* x,
                                              const std::int32_t* x_sums, std::size_t begin,
                                              std::size_t end, std::int32_t* isum) noexcept {
  constexpr codec_info codec = codec_of(code_type::ternary5);
  constexpr std::size_t chunk_cols = slot_cols * codec.fields;
  base3_codes codes(w.chunks + w.slot_begin(begin) / codec.fields * chunk_bytes);
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::kernel::chunk_span<codec.fields> span(first, last);
    const std::uint8_t* chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    base3_sums sums;
    if (span.head)
      sums.add(codes,
               detail::kernel::partial_chunk<codec.fields>(x, span.whole_begin - 1, first, last).x);
    for (std::size_t c = span.whole_begin; c < span.whole_end;
         ++c, chunk += chunk_bytes, columns += chunk_cols) {
      avx512vnni::prefetch(chunk);
      sums.add(base3_codes(chunk), columns);
    }
    if (span.tail) {
      codes = base3_codes(chunk);
      sums.add(codes,
               detail::kernel::partial_chunk<codec.fields>(x, span.whole_end, first, last).x);
    }
    const __m512i offset = _mm512_set1_epi32(codec.zero_code * x_sums[g]);
    _mm512_storeu_si512(isum, _mm512_sub_epi32(sums.total(), offset));
  }
}

EDGERAZOR_AVX512VBMI inline void unpack_ternary5(const tile_codes& w, std::size_t begin,
                                                 std::size_t end, std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(code_type::ternary5).fields;
  const __m512i one = _mm512_set1_epi8(1);
  for (std::size_t chunk = begin / fields; chunk * fields < end; ++chunk) {
    const base3_codes codes(w.chunks + chunk_bytes * chunk);
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const std::size_t slot = chunk * fields + f;
      if (slot < begin || slot >= end) continue;
      // Of 0, 81 and 162 the top bit tells 2, and any bit tells 1.
      const __m512i digit =
          f + 1 < fields
              ? _mm512_srli_epi16(codes.field(f), 2 * f)
              : _mm512_add_epi8(_mm512_min_epu8(codes.top, one),
                                _mm512_maskz_mov_epi8(_mm512_movepi8_mask(codes.top), one));
      _mm512_storeu_si512(panel + chunk_bytes * (slot - begin), digit);
    }
  }
}

inline constexpr functions table = [] {
  functions k = avx512vnni::table;
  k.name = "avx512vbmi";
  k.supported = &supported;
  k.dot[static_cast<std::size_t>(code_type::ternary5)] = &dot_ternary5;
  k.unpack[static_cast<std::size_t>(code_type::ternary5)] = &unpack_ternary5;
  return k;
}();

#undef EDGERAZOR_AVX512VBMI

}  // namespace detail::kernel::avx512vbmi
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
