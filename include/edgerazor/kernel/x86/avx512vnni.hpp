// SPDX-License-Identifier: Apache-2.0
/// AVX-512 VNNI (with F, BW, VL): one 512-bit register is one chunk, 16 rows x 4 columns in each
/// field of its bytes.
///
/// `vpdpbusd` multiplies 64 unsigned digits by 16 copies of 4 signed activations into 16 sums, one
/// a row, in 32 bits without saturation: integers are exact. See contract.hpp for what each
/// function of the table does, portable/scalar.hpp for the reference implementation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>
#include <edgerazor/kernel/x86/avx2.hpp>
#include <edgerazor/kernel/x86/avx512_registers.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avx512vnni {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline constexpr std::string_view name = "avx512vnni";
inline bool supported() noexcept { return detect_cpu_features().avx512vnni; }

// Accumulators in 32 registers: 6 tokens x 4 columns; 4 rows x 4 tokens; 16 tokens of a panel.
inline constexpr std::size_t float_tokens = 6, float_cols = 4, float_tokens_rest = 3,
                             float_cols_rest = 4, dense_rows = 4, dense_tokens = 4, sum_vectors = 4,
                             sum_vectors_rest = 4, panel_block = 16, panel_step = 4,
                             sparse_rows = 16;

/// The digits of a chunk as vpdpbusd can multiply them. The primary template is for planes of bits:
/// a field is masked, not shifted, and counts radix^f too much, which its sum loses again once, at
/// the end. Exact, because |sum| <= 255 * 128 * largest_group < 2^31. Do not carry this to
/// vpmaddubsw: 2 * 192 * 127 overflows its int16.
static_assert(std::int64_t{255} * 128 * format::largest_group <= std::int64_t{1} << 31);

template <plane_type Plane>
struct chunk_codes {
  static constexpr plane_info plane = plane_of(Plane);
  static_assert(std::has_single_bit(plane.radix), "this plane needs a decoder of its own");
  __m512i bytes;

  EDGERAZOR_OP explicit chunk_codes(const std::uint8_t* chunk) noexcept
      : bytes(_mm512_loadu_si512(chunk)) {}
  /// Field f, shift(f) bits too high.
  EDGERAZOR_OP __m512i raised(unsigned f) const noexcept {
    if constexpr (plane.fields() == 1) return bytes;
    const unsigned mask = (plane.radix - 1) * plane.weight(f);
    return _mm512_and_si512(bytes, _mm512_set1_epi8(static_cast<char>(mask)));
  }
  static constexpr unsigned shift(unsigned f) noexcept { return plane.bits * f; }
  EDGERAZOR_OP slot_bytes field(unsigned f) const noexcept {
    return {_mm512_srli_epi16(raised(f), shift(f))};
  }
};

EDGERAZOR_OP __m512i look_up(const base3_digits<16>& table, __m512i index) noexcept {
  const __m128i fields = _mm_load_si128(reinterpret_cast<const __m128i*>(table.fields));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(fields), index);
}

/// Base 3: byte = 9 * u + v. v = 0..8 are digits 0 and 1, u = 0..26 the others, which takes two
/// tables of 16. Division by 9: even bytes alone, b * 57 >> 9; odd ones as the upper half of a
/// word, word * 7282 >> 24 (base3_digits.hpp proves both).
template <>
struct chunk_codes<plane_type::base3> {
  __m512i digits01, digits234;

  EDGERAZOR_OP explicit chunk_codes(const std::uint8_t* chunk) noexcept {
    const __m512i b =
        _mm512_min_epu8(_mm512_loadu_si512(chunk), _mm512_set1_epi8(static_cast<char>(242)));
    const __m512i even = _mm512_srli_epi16(_mm512_maddubs_epi16(b, _mm512_set1_epi16(57)), 9);
    const __m512i odd = _mm512_mulhi_epu16(b, _mm512_set1_epi16(7282));
    const __m512i u = _mm512_mask_mov_epi8(even, 0xaaaaaaaaaaaaaaaa, odd);
    const __m512i v = _mm512_sub_epi8(
        b, _mm512_mullo_epi16(u, _mm512_set1_epi16(9)));  // 9 * 26: no carry upwards
    digits01 = look_up(digits_from_0, v);
    // A shuffle gives 0 where its index has the top bit set: u + 0x70 from u = 16 on, u - 16 below.
    digits234 = _mm512_or_si512(look_up(digits_from_0, _mm512_add_epi8(u, _mm512_set1_epi8(0x70))),
                                look_up(digits_from_16, _mm512_sub_epi8(u, _mm512_set1_epi8(16))));
  }
  EDGERAZOR_OP __m512i raised(unsigned f) const noexcept {
    return _mm512_and_si512(f < 2 ? digits01 : digits234,
                            _mm512_set1_epi8(static_cast<char>(3 << shift(f))));
  }
  static constexpr unsigned shift(unsigned f) noexcept { return f < 2 ? 2 * f : 2 * (f - 2); }
  EDGERAZOR_OP slot_bytes field(unsigned f) const noexcept {
    return {_mm512_srli_epi16(raised(f), shift(f))};
  }
};

/// Sums of one group while its chunks go by, one a field.
template <plane_type Plane>
struct chunk_sums {
  static constexpr unsigned fields = plane_of(Plane).fields();
  __m512i sums[fields];

  EDGERAZOR_OP chunk_sums() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) sums[f] = _mm512_setzero_si512();
  }
  EDGERAZOR_OP void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) add_products(sums[f], codes.raised(f), x + slot_cols * f);
  }
  EDGERAZOR_OP ints total() const noexcept {
    __m512i sum = sums[0];
    EDGERAZOR_UNROLL
    for (unsigned f = 1; f < fields; ++f)
      sum = _mm512_add_epi32(sum, _mm512_srai_epi32(sums[f], chunk_codes<Plane>::shift(f)));
    return {{sum}};
  }
};

/// The table of a group, and what its digits stand for: avx2::half_table, four lanes at once.
struct chunk_table {
  __m512i direct, turned;

  chunk_table() = default;
  EDGERAZOR_OP explicit chunk_table(const std::uint8_t* table) noexcept
      : direct(_mm512_and_si512(_mm512_loadu_si512(table), _mm512_set1_epi8(table_codes - 1))),
        turned(_mm512_shuffle_epi8(
            direct, _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400))) {}
  /// Digits in bits 0 and 1 of the bytes.
  EDGERAZOR_OP __m512i lower(__m512i bytes) const noexcept {
    const __m512i rows = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    return _mm512_shuffle_epi8(direct, digits_or(bytes, _mm512_set1_epi8(0x03), rows));
  }
  /// In bits 2 and 3.
  EDGERAZOR_OP __m512i upper(__m512i bytes) const noexcept {
    const __m512i rows = _mm512_set4_epi32(0x03030303, 0x02020202, 0x01010101, 0);
    return _mm512_shuffle_epi8(turned, digits_or(bytes, _mm512_set1_epi8(0x0c), rows));
  }

 private:
  EDGERAZOR_OP static __m512i digits_or(__m512i bytes, __m512i mask, __m512i rows) noexcept {
    return _mm512_ternarylogic_epi32(bytes, mask, rows, 0xea);  // (bytes & mask) | rows
  }
};
EDGERAZOR_OP slot_bytes codes_in_table(const std::uint8_t* table,
                                       const slot_bytes& digits) noexcept {
  return {{chunk_table(table).lower(digits.part[0])}};
}
template <>
struct chunk_sums<plane_type::levels2> {
  chunk_table table;
  __m512i sums[4];

  EDGERAZOR_OP chunk_sums() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < 4; ++f) sums[f] = _mm512_setzero_si512();
  }
  EDGERAZOR_OP void take_table(const std::uint8_t* bytes) noexcept { table = chunk_table(bytes); }
  EDGERAZOR_OP void add(const chunk_codes<plane_type::levels2>& codes,
                        const std::int8_t* x) noexcept {
    const __m512i shifted = _mm512_srli_epi16(codes.bytes, 4);
    add_products(sums[0], table.lower(codes.bytes), x);
    add_products(sums[1], table.upper(codes.bytes), x + 4);
    add_products(sums[2], table.lower(shifted), x + 8);
    add_products(sums[3], table.upper(shifted), x + 12);
  }
  EDGERAZOR_OP ints total() const noexcept {
    return {
        {_mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]))}};
  }
};

template <plane_type Plane>
inline constexpr bool has_half_sums = std::has_single_bit(plane_of(Plane).radix) &&
                                      plane_of(Plane).fields() >= 2 && !plane_of(Plane).of_table;
template <plane_type Plane>
EDGERAZOR_OP void half_sums(const chunk_codes<Plane>& codes, const std::int8_t* x, ints& lower,
                            ints& upper) noexcept {
  constexpr unsigned half = plane_of(Plane).fields() / 2;
  chunk_sums<Plane> all;
  all.add(codes, x);
  lower.part[0] = all.sums[0];
  upper.part[0] = _mm512_srai_epi32(all.sums[half], chunk_codes<Plane>::shift(half));
  EDGERAZOR_UNROLL
  for (unsigned f = 1; f < half; ++f) {
    const __m512i low = _mm512_srai_epi32(all.sums[f], chunk_codes<Plane>::shift(f));
    const __m512i high = _mm512_srai_epi32(all.sums[half + f], chunk_codes<Plane>::shift(half + f));
    lower.part[0] = _mm512_add_epi32(lower.part[0], low);
    upper.part[0] = _mm512_add_epi32(upper.part[0], high);
  }
}
/// Sums enough to hide the latency of vpdpbusd.
template <plane_type Plane>
inline constexpr unsigned chains = plane_of(Plane).fields() < 4 ? 4 / plane_of(Plane).fields() : 1;

template <std::size_t Tokens>
EDGERAZOR_OP void add_panel(const group_panel& w, const panel_tokens& x, std::size_t first,
                            ints (&totals)[Tokens]) noexcept {
  const std::int8_t* columns = x.x + first * x.x_stride;
  for (std::size_t s = 0; s < w.slots; ++s, columns += slot_cols) {
    const __m512i codes = _mm512_loadu_si512(w.codes + chunk_bytes * s);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      add_products(totals[t].part[0], codes, columns + t * x.x_stride);
  }
}

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/float.inl>
#include <edgerazor/kernel/loops/panel.inl>
#include <edgerazor/kernel/loops/sparse.inl>
#include <edgerazor/kernel/loops/unpack.inl>

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

using avx2::triple_dot, avx2::triple_tables, avx2::triple_unpack;

#include <edgerazor/kernel/loops/table.inl>

}  // namespace detail::kernel::avx512vnni
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
