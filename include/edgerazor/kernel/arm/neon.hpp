// SPDX-License-Identifier: Apache-2.0
/// AArch64 NEON, which every such processor has: a 128-bit register is a quarter of a chunk, 4 rows
/// x 4 columns in each field of its bytes; products of bytes in 16 bits (`smlal`) are widened
/// before they could overflow. See contract.hpp for what each function of the table does,
/// portable/scalar.hpp for the reference implementation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/arm/neon_registers.hpp>
#include <edgerazor/kernel/arm/neon_triples.hpp>
#include <edgerazor/kernel/arm/neon_words.hpp>
#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>

#if EDGERAZOR_ARM64

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

#define EDGERAZOR_ISA EDGERAZOR_TARGET_NEON
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline constexpr std::string_view name = "neon";
inline bool supported() noexcept { return true; }

// Accumulators in 32 registers: 4 tokens x 16 rows; 3 rows x 2 tokens x 16 lanes.
inline constexpr std::size_t float_tokens = 4, float_cols = 1, float_tokens_rest = 4,
                             float_cols_rest = 1, dense_rows = 3, dense_tokens = 2, sum_vectors = 1,
                             sum_vectors_rest = 1, panel_block = 2, panel_step = 1,
                             sparse_rows = 16;

EDGERAZOR_OP uint8x16_t masked(uint8x16_t v, unsigned mask) noexcept {
  return vandq_u8(v, vdupq_n_u8(static_cast<std::uint8_t>(mask)));
}
/// 4 activations, for every row.
EDGERAZOR_OP int8x16_t broadcast4(const std::int8_t* x) noexcept {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/// A quarter of a chunk: digits<Field>() are those of a field, one a byte. The primary template is
/// for planes of bits.
template <plane_type Plane>
struct quarter_codes {
  static constexpr plane_info plane = plane_of(Plane);
  static_assert(std::has_single_bit(plane.radix), "this plane needs a decoder of its own");
  uint8x16_t bytes;

  EDGERAZOR_OP explicit quarter_codes(uint8x16_t stored) noexcept : bytes(stored) {}
  EDGERAZOR_OP uint8x16_t digits(unsigned f) const noexcept {
    const int8x16_t right = vdupq_n_s8(static_cast<std::int8_t>(-static_cast<int>(plane.bits * f)));
    return masked(vshlq_u8(bytes, right), plane.radix - 1);
  }
};

/// Base 3: with byte = 9 * u + v, v = 0..8 are digits 0 and 1, u = 0..26 the others, as 2-bit
/// fields. base3_digits.hpp proves the division.
template <>
struct quarter_codes<plane_type::base3> {
  uint8x16_t digits01, digits234;

  EDGERAZOR_OP explicit quarter_codes(uint8x16_t stored) noexcept {
    const uint8x16_t b = vminq_u8(stored, vdupq_n_u8(242)), factor = vdupq_n_u8(57);
    const uint16x8_t low = vmull_u8(vget_low_u8(b), vget_low_u8(factor)),
                     high = vmull_high_u8(b, factor);
    const uint8x16_t upper =
        vuzp2q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));  // 57 * b >> 8
    const uint8x16_t u = vshrq_n_u8(upper, 1), v = vmlsq_u8(b, u, vdupq_n_u8(9));
    uint8x16x2_t table;
    table.val[0] = vld1q_u8(digits_of_27.fields);
    table.val[1] = vld1q_u8(digits_of_27.fields + 16);
    digits01 = vqtbl1q_u8(table.val[0], v);
    digits234 = vqtbl2q_u8(table, u);
  }
  EDGERAZOR_OP uint8x16_t digits(unsigned f) const noexcept {
    const unsigned shift = f < 2 ? 2 * f : 2 * (f - 2);
    const int8x16_t right = vdupq_n_s8(static_cast<std::int8_t>(-static_cast<int>(shift)));
    return masked(vshlq_u8(f < 2 ? digits01 : digits234, right), 3);
  }
};

/// What the digits of a group stand for: themselves, or codes of its table. A quarter of a chunk is
/// of 4 rows, as a quarter of the table is, so that one look-up finds 16 codes.
template <plane_type Plane>
struct group_table {
  EDGERAZOR_OP uint8x16_t of(std::size_t, uint8x16_t digits) const noexcept { return digits; }
};
template <>
struct group_table<plane_type::levels2> {
  const std::uint8_t* table = nullptr;

  EDGERAZOR_OP uint8x16_t of(std::size_t quarter, uint8x16_t digits) const noexcept {
    const uint8x16_t codes = masked(vld1q_u8(table + 16 * quarter), table_codes - 1);
    const uint32x4_t rows = {0, 0x04040404, 0x08080808, 0x0c0c0c0c};
    return vqtbl1q_u8(codes, vorrq_u8(digits, vreinterpretq_u8_u32(rows)));
  }
};

/// A chunk, which is decoded a quarter at a time.
template <plane_type Plane>
struct chunk_codes {
  const std::uint8_t* chunk;

  EDGERAZOR_OP explicit chunk_codes(const std::uint8_t* stored) noexcept : chunk(stored) {}
  EDGERAZOR_OP quarter_codes<Plane> quarter(std::size_t q) const noexcept {
    return quarter_codes<Plane>(vld1q_u8(chunk + 16 * q));
  }
  EDGERAZOR_OP slot_bytes field(unsigned f) const noexcept {
    return {
        {quarter(0).digits(f), quarter(1).digits(f), quarter(2).digits(f), quarter(3).digits(f)}};
  }
};

EDGERAZOR_OP slot_bytes codes_in_table(const std::uint8_t* table,
                                       const slot_bytes& digits) noexcept {
  const group_table<plane_type::levels2> codes{table};
  return {{codes.of(0, digits.part[0]), codes.of(1, digits.part[1]), codes.of(2, digits.part[2]),
           codes.of(3, digits.part[3])}};
}

/// Whether signed bytes hold the codes. An 8-bit code does not fit: its top bit is turned over,
/// which is code - 128, and 128 times the activations are added to its sums.
constexpr bool fits_signed(unsigned largest_code) noexcept { return largest_code <= 127; }
template <bool Fits>
EDGERAZOR_OP int8x16_t as_signed(uint8x16_t codes) noexcept {
  if constexpr (Fits) return vreinterpretq_s8_u8(codes);
  return vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)));
}

/// Products of codes up to `largest` fit 16 bits together for so many slots: a lane gets one
/// product a slot, of an activation down to -128.
constexpr std::size_t slots_to_widen(unsigned largest) noexcept {
  return 32767 / (128 * (fits_signed(largest) ? largest : 128));
}
static_assert(slots_to_widen(255) >= 1);

/// 16-bit products of 4 rows x 4 columns: `low` of rows 0 and 1, `high` of rows 2 and 3.
struct products {
  int16x8_t low, high;

  EDGERAZOR_OP void clear() noexcept { low = high = vdupq_n_s16(0); }
  EDGERAZOR_OP void add(int8x16_t codes, int8x16_t x) noexcept {
    low = vmlal_s8(low, vget_low_s8(codes), vget_low_s8(x));
    high = vmlal_high_s8(high, codes, x);
  }
  /// Sums of the rows, in 32 bits.
  [[nodiscard]] EDGERAZOR_OP int32x4_t row_sums() const noexcept {
    return vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
  }
};

/// Sums of 16 rows while chunks go by: in 16 bits as long as they fit, then in 32.
template <plane_type Plane>
struct chunk_sums {
  static constexpr plane_info plane = plane_of(Plane);
  static constexpr unsigned fields = plane.fields();
  static constexpr bool fits = fits_signed(plane.largest());
  static constexpr std::size_t widest = slots_to_widen(plane.largest()) / fields;
  static_assert(widest >= 1);
  group_table<Plane> table;
  products narrow[parts];
  ints wide;
  std::size_t held = 0;      ///< chunks whose products are in `narrow`
  std::int32_t missing = 0;  ///< 128 times the activations of codes that do not fit signed bytes

  EDGERAZOR_OP chunk_sums() noexcept : wide(splat_ints(0)) {
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < parts; ++q) narrow[q].clear();
  }
  EDGERAZOR_OP void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    int8x16_t columns[fields];
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) columns[f] = broadcast4(x + slot_cols * f);
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < parts; ++q) {
      const quarter_codes<Plane> quarter = codes.quarter(q);
      EDGERAZOR_UNROLL
      for (unsigned f = 0; f < fields; ++f)
        narrow[q].add(as_signed<fits>(table.of(q, quarter.digits(f))), columns[f]);
    }
    if constexpr (!fits) missing += 128 * (x[0] + x[1] + x[2] + x[3]);
    if (++held == widest) widen_all();
  }
  EDGERAZOR_OP void take_table(const std::uint8_t* codes) noexcept { table = {codes}; }
  EDGERAZOR_OP void widen_all() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < parts; ++q) {
      wide.part[q] = vaddq_s32(wide.part[q], narrow[q].row_sums());
      narrow[q].clear();
    }
    held = 0;
  }
  EDGERAZOR_OP ints total() noexcept {
    widen_all();
    return fits ? wide : add_ints(wide, splat_ints(missing));
  }
};
template <plane_type>
inline constexpr unsigned chains = 1;
template <plane_type>
inline constexpr bool has_half_sums = false;

/// 128 times the sum of a token's columns, which sums of signed bytes lack where codes do not fit.
EDGERAZOR_OP std::int32_t missing_sum(const std::int8_t* x, std::size_t cols) noexcept {
  std::int32_t sum = 0;
  for (; cols >= 16; cols -= 16, x += 16) sum += vaddlvq_s8(vld1q_s8(x));
  for (; cols > 0; --cols) sum += *x++;
  return 128 * sum;
}

template <std::size_t Tokens, bool Fits>
EDGERAZOR_OP void add_slots(const group_panel& w, const panel_tokens& x, std::size_t first,
                            ints (&totals)[Tokens]) noexcept {
  const std::int8_t* columns = x.x + first * x.x_stride;
  const std::size_t widest = slots_to_widen(w.largest_code);
  for (std::size_t s = 0; s < w.slots;) {
    products narrow[Tokens][parts];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tokens * parts; ++i) narrow[i / parts][i % parts].clear();
    const std::size_t end = w.slots - s < widest ? w.slots : s + widest;
    for (; s < end; ++s, columns += slot_cols) {
      int8x16_t of_token[Tokens];
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) of_token[t] = broadcast4(columns + t * x.x_stride);
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < parts; ++q) {
        const int8x16_t codes = as_signed<Fits>(vld1q_u8(w.codes + chunk_bytes * s + 16 * q));
        EDGERAZOR_UNROLL
        for (std::size_t t = 0; t < Tokens; ++t) narrow[t][q].add(codes, of_token[t]);
      }
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tokens * parts; ++i) {
      int32x4_t& rows = totals[i / parts].part[i % parts];
      rows = vaddq_s32(rows, narrow[i / parts][i % parts].row_sums());
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens && !Fits; ++t) {
    const std::int8_t* const token = x.x + (first + t) * x.x_stride;
    totals[t] = add_ints(totals[t], splat_ints(missing_sum(token, slot_cols * w.slots)));
  }
}

template <std::size_t Tokens>
EDGERAZOR_OP void add_panel(const group_panel& w, const panel_tokens& x, std::size_t first,
                            ints (&totals)[Tokens]) noexcept {
  if (fits_signed(w.largest_code)) {
    add_slots<Tokens, true>(w, x, first, totals);
  } else {
    add_slots<Tokens, false>(w, x, first, totals);
  }
}

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/float.inl>
#include <edgerazor/kernel/loops/look_up.inl>
#include <edgerazor/kernel/loops/panel.inl>
#include <edgerazor/kernel/loops/sparse.inl>
#include <edgerazor/kernel/loops/triples.inl>
#include <edgerazor/kernel/loops/unpack.inl>

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

inline constexpr look_up_functions look_up_table{&look_up_indices, &look_up_sums, &look_up_scale};
#include <edgerazor/kernel/loops/table.inl>

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
