// SPDX-License-Identifier: Apache-2.0
/// AVX2 (with FMA, F16C): a 256-bit register is half a chunk, 8 rows; 16 floats are two. Integers
/// are exact though `vpmaddubsw` saturates: avx2_planes.hpp. See contract.hpp for what each
/// function of the table does, portable/scalar.hpp for the reference implementation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>
#include <edgerazor/kernel/x86/avx2_planes.hpp>
#include <edgerazor/kernel/x86/avx2_registers.hpp>
#include <edgerazor/kernel/x86/avx2_triples.hpp>
#include <edgerazor/kernel/x86/avx2_words.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx2 {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx2,fma,f16c")

inline constexpr std::string_view name = "avx2";
inline bool supported() noexcept { return detect_cpu_features().avx2; }

// Accumulators in 16 registers: 4 tokens x 16 rows, or 4 columns of one; 2 x 2 rows and tokens.
inline constexpr std::size_t float_tokens = 4, float_cols = 1, float_tokens_rest = 4,
                             float_cols_rest = 4, dense_rows = 2, dense_tokens = 2, sum_vectors = 1,
                             sum_vectors_rest = 4, panel_block = 4, panel_step = 1, sparse_rows = 8;

/// Sums of 16 rows while chunks go by: in 16 bits as long as they fit, then in 32.
template <plane_type Plane>
struct chunk_sums {
  static constexpr bool narrow = narrow_chunks<Plane> > 0;
  static constexpr std::size_t count = narrow_sums<Plane>;
  __m256i low[count], high[count];  ///< in 16 bits if narrow, else in 32
  ints wide = splat_ints(0);

  EDGERAZOR_ISA EDGERAZOR_INLINE chunk_sums() noexcept { clear(); }
  EDGERAZOR_ISA EDGERAZOR_INLINE void clear() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < count; ++i) low[i] = high[i] = _mm256_setzero_si256();
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE static __m256i sum(__m256i before, const half_codes<Plane>& codes,
                                                    unsigned i, const std::int8_t* x) noexcept {
    if constexpr (count > 1) return _mm256_add_epi16(before, codes.sums_of_field(i, x));
    if constexpr (narrow) return _mm256_add_epi16(before, codes.sums(x));
    return _mm256_add_epi32(before, codes.sums(x));
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE void add(const chunk_codes<Plane>& codes,
                                          const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned i = 0; i < count; ++i) {
      low[i] = sum(low[i], codes.low, i, x);
      EDGERAZOR_PIN_REGISTER(low[i]);
      high[i] = sum(high[i], codes.high, i, x);
      EDGERAZOR_PIN_REGISTER(high[i]);
    }
  }
  /// To be called when widest<Plane> chunks have been added since the last time.
  EDGERAZOR_ISA EDGERAZOR_INLINE void widen() noexcept {
    wide = total();
    clear();
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE ints total() const noexcept {
    ints sum = narrow ? wide : ints{{low[0], high[0]}};
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < count && narrow; ++i)
      sum = add_ints(sum, {{row_sums(low[i]), row_sums(high[i])}});
    return sum;
  }
};
/// Of a plane with a table, one chunk fills 16 bits: its sums are widened at once.
template <>
struct chunk_sums<plane_type::levels2> {
  half_table low_table, high_table;
  __m256i low, high;

  EDGERAZOR_ISA EDGERAZOR_INLINE chunk_sums() noexcept { low = high = _mm256_setzero_si256(); }
  EDGERAZOR_ISA EDGERAZOR_INLINE void take_table(const std::uint8_t* table) noexcept {
    low_table = half_table(load_half(table));
    high_table = half_table(load_half(table + 32));
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE void add(const chunk_codes<plane_type::levels2>& codes,
                                          const std::int8_t* x) noexcept {
    low = _mm256_add_epi32(low, row_sums(low_table.sums(codes.low.bytes, x)));
    EDGERAZOR_PIN_REGISTER(low);
    high = _mm256_add_epi32(high, row_sums(high_table.sums(codes.high.bytes, x)));
    EDGERAZOR_PIN_REGISTER(high);
  }
  EDGERAZOR_ISA EDGERAZOR_INLINE ints total() const noexcept { return {{low, high}}; }
};

template <plane_type Plane>
inline constexpr std::size_t widest = plane_of(Plane).of_table ? 0 : narrow_chunks<Plane>;
/// With one, g++ 12 copies each sum of a small group back to its register: 28 instructions for a
/// chunk of int4 in place of 22.
inline constexpr std::size_t chunks_a_round = 2;
template <plane_type>
inline constexpr unsigned chains = 1;

template <plane_type Plane>
inline constexpr bool has_half_sums = std::has_single_bit(plane_of(Plane).radix) &&
                                      plane_of(Plane).fields() >= 2 && !plane_of(Plane).of_table;
template <plane_type Plane>
EDGERAZOR_ISA EDGERAZOR_INLINE void half_sums(const chunk_codes<Plane>& codes, const std::int8_t* x,
                                              ints& lower, ints& upper) noexcept {
  const std::int8_t* const of_upper = x + slot_cols * (plane_of(Plane).fields() / 2);
  lower = {{codes.low.sums_of_half(false, x), codes.high.sums_of_half(false, x)}};
  upper = {{codes.low.sums_of_half(true, of_upper), codes.high.sums_of_half(true, of_upper)}};
}

/// Codes whose products fit 16 bits for two slots or more are added there, as many slots as fit;
/// larger ones in 32 bits from the start.
template <std::size_t Tokens, bool Narrow>
EDGERAZOR_ISA EDGERAZOR_INLINE void add_slots(const std::uint8_t* codes, std::size_t slots,
                                              const std::int8_t* x, std::size_t x_stride,
                                              ints (&totals)[Tokens]) noexcept {
  __m256i low[Tokens], high[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) low[t] = high[t] = _mm256_setzero_si256();
  for (std::size_t s = 0; s < slots; ++s, codes += chunk_bytes, x += slot_cols) {
    const __m256i low_codes = load_half(codes), high_codes = load_half(codes + 32);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      const std::int8_t* four = x + t * x_stride;
      if constexpr (Narrow) {
        low[t] = _mm256_add_epi16(low[t], pair_sums(low_codes, four));
        high[t] = _mm256_add_epi16(high[t], pair_sums(high_codes, four));
      } else {
        low[t] = _mm256_add_epi32(low[t], wide_row_sums(low_codes, four));
        high[t] = _mm256_add_epi32(high[t], wide_row_sums(high_codes, four));
      }
      EDGERAZOR_PIN_REGISTER(low[t]);
      EDGERAZOR_PIN_REGISTER(high[t]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    totals[t] = add_ints(
        totals[t], {{Narrow ? row_sums(low[t]) : low[t], Narrow ? row_sums(high[t]) : high[t]}});
  }
}

template <std::size_t Tokens>
EDGERAZOR_ISA EDGERAZOR_INLINE void add_panel(const group_panel& w, const panel_tokens& x,
                                              std::size_t first, ints (&totals)[Tokens]) noexcept {
  const std::int8_t* columns = x.x + first * x.x_stride;
  const std::size_t widest = static_cast<std::size_t>(int16_max / pair_bound(w.largest_code));
  if (widest < 2) return add_slots<Tokens, false>(w.codes, w.slots, columns, x.x_stride, totals);
  for (std::size_t s = 0; s < w.slots; s += widest) {
    const std::size_t count = w.slots - s < widest ? w.slots - s : widest;
    add_slots<Tokens, true>(w.codes + chunk_bytes * s, count, columns + slot_cols * s, x.x_stride,
                            totals);
  }
}

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/float.inl>
#include <edgerazor/kernel/loops/look_up.inl>
#include <edgerazor/kernel/loops/panel.inl>
#include <edgerazor/kernel/loops/sparse.inl>
#include <edgerazor/kernel/loops/triples.inl>
#include <edgerazor/kernel/loops/unpack.inl>

#undef EDGERAZOR_ISA

inline constexpr look_up_functions look_up_table{&look_up_indices, &look_up_sums, &look_up_scale};
#include <edgerazor/kernel/loops/table.inl>

}  // namespace detail::kernel::avx2
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
