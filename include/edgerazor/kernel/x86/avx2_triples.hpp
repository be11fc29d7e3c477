// SPDX-License-Identifier: Apache-2.0
/// Codes in threes in 256-bit registers, one block of a chunk each: what ../loops/triples.inl is
/// written in. `vpshufb` looks up 32 products, `vpsignb` gives them their signs.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/triple_patterns.hpp>
#include <edgerazor/kernel/x86/avx2_registers.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx2,fma,f16c")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline constexpr std::size_t tiles_at_once = 2;

using unit_bytes = __m256i;
EDGERAZOR_OP unit_bytes load_units(const std::uint8_t* at) noexcept { return load_half(at); }
EDGERAZOR_OP void store_units(std::uint8_t* to, unit_bytes v) noexcept { store_half(to, v); }
EDGERAZOR_OP unit_bytes splat_units(int byte) noexcept {
  return _mm256_set1_epi8(static_cast<char>(byte));
}
EDGERAZOR_OP unit_bytes add_units(unit_bytes a, unit_bytes b) noexcept {
  return _mm256_add_epi8(a, b);
}
EDGERAZOR_OP void pin([[maybe_unused]] unit_bytes& v) noexcept { EDGERAZOR_PIN_REGISTER(v); }
EDGERAZOR_OP unit_bytes low_nibbles(unit_bytes v) noexcept {
  return _mm256_and_si256(v, _mm256_set1_epi8(15));
}
EDGERAZOR_OP unit_bytes high_nibbles(unit_bytes v) noexcept {
  return low_nibbles(_mm256_srli_epi16(v, 4));
}
EDGERAZOR_OP unit_bytes look_up_units(unit_bytes table, unit_bytes index) noexcept {
  return _mm256_shuffle_epi8(table, index);
}
/// `vpsignb` gives zero where a sign is zero, as that of the index 0 would be: bit 0 keeps it from
/// that, and is never the top bit of the four signs.
EDGERAZOR_OP unit_bytes signs_of(unit_bytes v) noexcept {
  return _mm256_or_si256(v, _mm256_set1_epi8(1));
}
EDGERAZOR_OP unit_bytes add_signed(unit_bytes sum, unit_bytes v, unit_bytes signs) noexcept {
  return _mm256_add_epi8(sum, _mm256_sign_epi8(v, signs));
}
EDGERAZOR_OP unit_bytes two_bits(unit_bytes v, unsigned b) noexcept {
  return _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(static_cast<int>(2 * b))),
                          _mm256_set1_epi8(3));
}

/// Rows 0 to 7 of both units, and rows 8 to 15.
struct unit_sums {
  __m256i first = _mm256_setzero_si256(), second = _mm256_setzero_si256();
  EDGERAZOR_OP unit_sums() noexcept {}
};
/// `vpmaddubsw` of the bytes 1 and 31 with low and high in turn: |sum| <= 8 * 3 * 128, which fits.
EDGERAZOR_OP void add_products(unit_sums& sums, unit_bytes low, unit_bytes high) noexcept {
  const __m256i factors = _mm256_set1_epi16(256 * triple_factor + 1);
  sums.first =
      _mm256_add_epi16(sums.first, _mm256_maddubs_epi16(factors, _mm256_unpacklo_epi8(low, high)));
  sums.second =
      _mm256_add_epi16(sums.second, _mm256_maddubs_epi16(factors, _mm256_unpackhi_epi8(low, high)));
}
EDGERAZOR_OP __m256i eight_row_sums(__m256i sums) noexcept {
  return _mm256_add_epi32(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(sums)),
                          _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sums, 1)));
}
EDGERAZOR_OP ints row_sums(const unit_sums& sums) noexcept {
  return {{eight_row_sums(sums.first), eight_row_sums(sums.second)}};
}
EDGERAZOR_OP void put_slot(const std::uint8_t* columns, std::uint8_t* slot) noexcept {
  const auto* const at = reinterpret_cast<const __m128i*>(columns);
  auto* const to = reinterpret_cast<__m128i*>(slot);
  const __m128i c0 = _mm_loadu_si128(at), c1 = _mm_loadu_si128(at + 1),
                c2 = _mm_loadu_si128(at + 2), c3 = _mm_loadu_si128(at + 3);
  const __m128i low01 = _mm_unpacklo_epi8(c0, c1), high01 = _mm_unpackhi_epi8(c0, c1),
                low23 = _mm_unpacklo_epi8(c2, c3), high23 = _mm_unpackhi_epi8(c2, c3);
  _mm_storeu_si128(to, _mm_unpacklo_epi16(low01, low23));
  _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(low01, low23));
  _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(high01, high23));
  _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(high01, high23));
}

/// See contract.hpp. The 16 entries of a unit in 16 bits: three products by the patterns of
/// weights. `vpmulhrsw` by 1057 is triple_high; |1057 * sum| < 2^31.
EDGERAZOR_ISA inline void triple_tables(const std::int8_t* x, std::size_t cols,
                                        std::uint8_t* tables) noexcept {
  namespace triples = matrix::triples;
  const __m256i w0 = load_half(weights_of_triples.level[0]),
                w1 = load_half(weights_of_triples.level[1]),
                w2 = load_half(weights_of_triples.level[2]);
  for (std::size_t c = 0; c < cols; c += triples::pair_cols, tables += triple_table_bytes) {
    for (std::size_t unit = 0; unit < 2; ++unit) {
      const triple_activations three(x, c + triples::unit_cols * unit, cols);
      const __m256i sum01 = _mm256_add_epi16(_mm256_mullo_epi16(w0, _mm256_set1_epi16(three.x[0])),
                                             _mm256_mullo_epi16(w1, _mm256_set1_epi16(three.x[1])));
      const __m256i sum =
          _mm256_add_epi16(sum01, _mm256_mullo_epi16(w2, _mm256_set1_epi16(three.x[2])));
      const __m256i high = _mm256_mulhrs_epi16(sum, _mm256_set1_epi16(1057));
      const __m256i low =
          _mm256_sub_epi16(sum, _mm256_mullo_epi16(high, _mm256_set1_epi16(triple_factor)));
      const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
      auto* const to = reinterpret_cast<__m128i*>(tables + 16 * unit);
      _mm_storeu_si128(to, _mm256_castsi256_si128(bytes));
      _mm_storeu_si128(to + 2, _mm256_extracti128_si256(bytes, 1));
    }
  }
}

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
