// SPDX-License-Identifier: Apache-2.0
/// AVX-VNNI (Alder Lake and later processors without AVX-512): `vpdpbusd` on 256-bit registers,
/// half a chunk. Float functions and decoding are those of AVX2. See contract.hpp for what each
/// function of the table does, portable/scalar.hpp for the reference implementation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>
#include <edgerazor/kernel/x86/avx2.hpp>

#if EDGERAZOR_X86

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::avxvnni {

#define EDGERAZOR_ISA EDGERAZOR_TARGET("avxvnni,avx2,fma,f16c")
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline bool supported() noexcept { return detect_cpu_features().avxvnni; }

// What is not defined below is the simpler instruction set's.
using namespace avx2;

/// sums + the products of 8 rows x 4 columns, in 32 bits without saturation.
EDGERAZOR_OP __m256i add_products(__m256i sums, __m256i digits, __m256i x) noexcept {
  return _mm256_dpbusd_avx_epi32(sums, digits, x);
}

/// Sums of 16 rows while chunks go by, one a field, or one for two where a byte has eight: the
/// upper half of a byte is then shifted down, as avx2::half_codes does.
///
/// Fields of a plane of bits are masked, not shifted: field f counts radix^f too much, and is
/// shifted back once, at the end. Exact: |sum| <= 255 * 128 * largest_group < 2^31.
template <plane_type Plane>
struct chunk_sums {
  static constexpr plane_info plane = plane_of(Plane);
  static constexpr unsigned fields = plane.fields();
  static constexpr bool in_place = std::has_single_bit(plane.radix);
  static constexpr unsigned count = fields == 8 ? 4 : fields;
  __m256i low[count], high[count];

  EDGERAZOR_OP chunk_sums() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < count; ++f) low[f] = high[f] = _mm256_setzero_si256();
  }
  EDGERAZOR_OP static __m256i field(const avx2::half_codes<Plane>& codes, unsigned f) noexcept {
    if constexpr (!in_place) {
      return codes.field(f);
    } else if constexpr (fields == 1) {
      return codes.bytes;
    } else {
      const __m256i bytes = f < count ? codes.bytes : _mm256_srli_epi16(codes.bytes, 4);
      return avx2::masked(bytes, (plane.radix - 1) * plane.weight(f % count));
    }
  }
  EDGERAZOR_OP void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) {
      const __m256i four = avx2::broadcast4(x + slot_cols * f);
      low[f % count] = add_products(low[f % count], field(codes.low, f), four);
      high[f % count] = add_products(high[f % count], field(codes.high, f), four);
      EDGERAZOR_PIN_REGISTER(low[f % count]);
      EDGERAZOR_PIN_REGISTER(high[f % count]);
    }
  }
  EDGERAZOR_OP static __m256i total(const __m256i* sums) noexcept {
    __m256i sum = sums[0];
    EDGERAZOR_UNROLL
    for (unsigned f = 1; f < count; ++f) {
      sum = _mm256_add_epi32(
          sum, in_place ? _mm256_srai_epi32(sums[f], static_cast<int>(plane.bits * f)) : sums[f]);
    }
    return sum;
  }
  EDGERAZOR_OP ints total() const noexcept { return {{total(low), total(high)}}; }
};
/// Of a plane with a table: codes are looked up as avx2::half_table does.
template <>
struct chunk_sums<plane_type::levels2> {
  avx2::half_table low_table, high_table;
  __m256i low[2], high[2];

  EDGERAZOR_OP chunk_sums() noexcept {
    low[0] = low[1] = high[0] = high[1] = _mm256_setzero_si256();
  }
  EDGERAZOR_OP void take_table(const std::uint8_t* table) noexcept {
    low_table = avx2::half_table(avx2::load_half(table));
    high_table = avx2::half_table(avx2::load_half(table + 32));
  }
  EDGERAZOR_OP static void add_half(__m256i (&sums)[2], const avx2::half_table& table,
                                    __m256i bytes, const std::int8_t* x) noexcept {
    using avx2::masked, avx2::broadcast4;
    const __m256i shifted = _mm256_srli_epi16(bytes, 4);
    sums[0] = add_products(sums[0], table.lower(masked(bytes, 0x03)), broadcast4(x));
    sums[1] = add_products(sums[1], table.upper(masked(bytes, 0x0c)), broadcast4(x + 4));
    sums[0] = add_products(sums[0], table.lower(masked(shifted, 0x03)), broadcast4(x + 8));
    sums[1] = add_products(sums[1], table.upper(masked(shifted, 0x0c)), broadcast4(x + 12));
    EDGERAZOR_PIN_REGISTER(sums[0]);
    EDGERAZOR_PIN_REGISTER(sums[1]);
  }
  EDGERAZOR_OP void add(const chunk_codes<plane_type::levels2>& codes,
                        const std::int8_t* x) noexcept {
    add_half(low, low_table, codes.low.bytes, x);
    add_half(high, high_table, codes.high.bytes, x);
  }
  EDGERAZOR_OP ints total() const noexcept {
    return {{_mm256_add_epi32(low[0], low[1]), _mm256_add_epi32(high[0], high[1])}};
  }
};
template <plane_type>
inline constexpr std::size_t widest = 0;
inline constexpr std::size_t chunks_a_round = 1;
/// Sums enough to hide the latency of vpdpbusd.
template <plane_type Plane>
inline constexpr unsigned chains = plane_of(Plane).fields() < 4 ? 4 / plane_of(Plane).fields() : 1;

/// 12 sums, 2 halves of a slot and a token in 16 registers.
inline constexpr std::size_t panel_block = 6, panel_step = 2;

template <std::size_t Tokens>
EDGERAZOR_OP void add_panel(const group_panel& w, const panel_tokens& x, std::size_t first,
                            ints (&totals)[Tokens]) noexcept {
  const std::int8_t* columns = x.x + first * x.x_stride;
  for (std::size_t s = 0; s < w.slots; ++s, columns += slot_cols) {
    const __m256i low_codes = avx2::load_half(w.codes + chunk_bytes * s);
    const __m256i high_codes = avx2::load_half(w.codes + chunk_bytes * s + 32);
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      const __m256i four = avx2::broadcast4(columns + t * x.x_stride);
      totals[t].part[0] = add_products(totals[t].part[0], low_codes, four);
      totals[t].part[1] = add_products(totals[t].part[1], high_codes, four);
      EDGERAZOR_PIN_REGISTER(totals[t].part[0]);
      EDGERAZOR_PIN_REGISTER(totals[t].part[1]);
    }
  }
}

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/panel.inl>

inline constexpr functions table = [] {
  functions k = avx2::table;
  k.name = "avxvnni";
  k.supported = &supported;
  k.dot = of_every_plane<dot_function>([](auto plane) { return &dot<plane.type>; });
  k.panel_product = &panel_product;
  k.look_up = {};
  return k;
}();

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::avxvnni
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
