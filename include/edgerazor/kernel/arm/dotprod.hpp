// SPDX-License-Identifier: Apache-2.0
/// AArch64 with dot products (Armv8.2 dotprod): `sdot` adds four products of bytes in 32 bits, the
/// four activations chosen by lane. Everything but these sums is NEON's. See contract.hpp for what
/// each function of the table does, portable/scalar.hpp for the reference implementation.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/arm/neon.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>

#if EDGERAZOR_ARM64

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::dotprod {

#define EDGERAZOR_ISA EDGERAZOR_TARGET_DOTPROD
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline bool supported() noexcept { return detect_cpu_features().dotprod; }

// What is not defined below is the simpler instruction set's.
using namespace neon;

/// sums[r] += codes of row r * the activations of a lane, 4 of each. clang before 16 declares the
/// intrinsic only where the whole build has it; the assembler asks for the function's own target.
template <int Lane>
EDGERAZOR_OP int32x4_t dot_lane(int32x4_t sums, int8x16_t codes, int8x16_t x) noexcept {
#if EDGERAZOR_MSVC
  return vdotq_laneq_s32(sums, codes, x, Lane);
#else
  __asm__("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sums) : "w"(codes), "w"(x), "i"(Lane));
  return sums;
#endif
}
/// The same of four copies.
EDGERAZOR_OP int32x4_t dot_all(int32x4_t sums, int8x16_t codes, int8x16_t x) noexcept {
  return dot_lane<0>(sums, codes, x);
}

/// Field f of a quarter of a chunk, `raised` bits too high where it can be masked in place: a
/// product with it is that much too large, and the sum is shifted back once. The top field of a
/// byte does not fit a signed byte and is shifted; so is the upper half of a byte of eight fields,
/// which saves sums.
template <plane_type Plane>
struct raised_field {
  static constexpr plane_info plane = plane_of(Plane);
  static constexpr bool of_bits = std::has_single_bit(plane.radix), halved = plane.fields() == 8;
  static constexpr unsigned mask(unsigned f) noexcept {
    return (plane.radix - 1) * plane.weight(halved ? f % 4 : f);
  }
  static constexpr unsigned raised(unsigned f) noexcept {
    return !of_bits || mask(f) > 127 ? 0 : plane.bits * (halved ? f % 4 : f);
  }
  EDGERAZOR_OP static int8x16_t of(const neon::quarter_codes<Plane>& codes, unsigned f) noexcept {
    if constexpr (!of_bits) {
      return vreinterpretq_s8_u8(codes.digits(f));
    } else if constexpr (plane.fields() == 1) {
      return neon::as_signed<neon::fits_signed(plane.radix - 1)>(codes.bytes);
    } else if (mask(f) > 127) {
      return vreinterpretq_s8_u8(codes.digits(f));
    } else {
      const uint8x16_t bytes = halved && f >= 4 ? vshrq_n_u8(codes.bytes, 4) : codes.bytes;
      return vreinterpretq_s8_u8(neon::masked(bytes, mask(f)));
    }
  }
};
template <>
struct raised_field<plane_type::base3> {
  static constexpr unsigned raised(unsigned f) noexcept { return f < 2 ? 2 * f : 2 * (f - 2); }
  EDGERAZOR_OP static int8x16_t of(const neon::quarter_codes<plane_type::base3>& codes,
                                   unsigned f) noexcept {
    return vreinterpretq_s8_u8(
        neon::masked(f < 2 ? codes.digits01 : codes.digits234, 3u << raised(f)));
  }
};

template <>
struct raised_field<plane_type::levels2> {
  static constexpr unsigned raised(unsigned) noexcept { return 0; }
  EDGERAZOR_OP static int8x16_t of(const neon::quarter_codes<plane_type::levels2>& codes,
                                   unsigned f) noexcept {
    return vreinterpretq_s8_u8(codes.digits(f));
  }
};

/// Sums of 16 rows while chunks go by, apart by how many bits too high their fields are: 0, `step`,
/// 2 * `step`. Exact: `sdot` does not saturate, and |sum| <= 127 * 128 * largest_group < 2^31.
template <plane_type Plane>
struct chunk_sums {
  static constexpr plane_info plane = plane_of(Plane);
  static constexpr unsigned fields = plane.fields();
  static constexpr unsigned step = plane.bits == 1 ? 1 : 2;
  static constexpr unsigned heights = [] {
    unsigned most = 0;
    for (unsigned f = 0; f < fields; ++f)
      most = raised_field<Plane>::raised(f) > most ? raised_field<Plane>::raised(f) : most;
    return most / step + 1;
  }();
  neon::group_table<Plane> table;
  ints sums[heights];
  std::int32_t missing = 0;  ///< see neon::chunk_sums

  EDGERAZOR_OP chunk_sums() noexcept {
    EDGERAZOR_UNROLL
    for (unsigned h = 0; h < heights; ++h) sums[h] = splat_ints(0);
  }
  EDGERAZOR_OP void add(const chunk_codes<Plane>& codes, const std::int8_t* x) noexcept {
    int8x16_t columns[fields];
    EDGERAZOR_UNROLL
    for (unsigned f = 0; f < fields; ++f) columns[f] = neon::broadcast4(x + slot_cols * f);
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < parts; ++q) {
      const neon::quarter_codes<Plane> quarter = codes.quarter(q);
      EDGERAZOR_UNROLL
      for (unsigned f = 0; f < fields; ++f) {
        int32x4_t& sum = sums[raised_field<Plane>::raised(f) / step].part[q];
        const int8x16_t digits = raised_field<Plane>::of(quarter, f);
        sum =
            dot_all(sum, vreinterpretq_s8_u8(table.of(q, vreinterpretq_u8_s8(digits))), columns[f]);
      }
    }
    if constexpr (!neon::fits_signed(plane.radix - 1)) missing += 128 * (x[0] + x[1] + x[2] + x[3]);
  }
  EDGERAZOR_OP void take_table(const std::uint8_t* codes) noexcept { table = {codes}; }
  EDGERAZOR_OP ints total() const noexcept {
    ints total = add_ints(sums[0], splat_ints(missing));
    EDGERAZOR_UNROLL
    for (unsigned h = 1; h < heights; ++h) {
      const int32x4_t right = vdupq_n_s32(-static_cast<int>(step * h));
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < parts; ++q)
        total.part[q] = vaddq_s32(total.part[q], vshlq_s32(sums[h].part[q], right));
    }
    return total;
  }
};
template <plane_type>
inline constexpr unsigned chains = 1;

/// 16 sums, 4 tokens' columns and a quarter of a slot in 32 registers.
inline constexpr std::size_t panel_block = 4, panel_step = 1;

/// totals[t] += codes of one slot of a panel * its columns, which are a lane of columns[t].
template <int Lane, bool Fits, std::size_t Tokens>
EDGERAZOR_OP void add_slot(const std::uint8_t* slot, const int8x16_t (&columns)[Tokens],
                           ints (&totals)[Tokens]) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < parts; ++q) {
    const int8x16_t codes = neon::as_signed<Fits>(vld1q_u8(slot + 16 * q));
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      totals[t].part[q] = dot_lane<Lane>(totals[t].part[q], codes, columns[t]);
  }
}

template <std::size_t Tokens, bool Fits>
EDGERAZOR_OP void add_slots(const group_panel& w, const std::int8_t* x, std::size_t x_stride,
                            ints (&totals)[Tokens]) noexcept {
  int8x16_t columns[Tokens];
  const std::uint8_t* slot = w.codes;
  std::size_t s = 0;
  for (; s + 4 <= w.slots; s += 4, slot += 4 * chunk_bytes) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      columns[t] = vld1q_s8(x + t * x_stride + slot_cols * s);
    add_slot<0, Fits>(slot, columns, totals);
    add_slot<1, Fits>(slot + chunk_bytes, columns, totals);
    add_slot<2, Fits>(slot + 2 * chunk_bytes, columns, totals);
    add_slot<3, Fits>(slot + 3 * chunk_bytes, columns, totals);
  }
  for (; s < w.slots; ++s, slot += chunk_bytes) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      columns[t] = neon::broadcast4(x + t * x_stride + slot_cols * s);
    add_slot<0, Fits>(slot, columns, totals);
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens && !Fits; ++t) {
    const std::int32_t missing = neon::missing_sum(x + t * x_stride, slot_cols * w.slots);
    totals[t] = add_ints(totals[t], splat_ints(missing));
  }
}

template <std::size_t Tokens>
EDGERAZOR_OP void add_panel(const group_panel& w, const panel_tokens& x, std::size_t first,
                            ints (&totals)[Tokens]) noexcept {
  const std::int8_t* const columns = x.x + first * x.x_stride;
  if (neon::fits_signed(w.largest_code)) {
    add_slots<Tokens, true>(w, columns, x.x_stride, totals);
  } else {
    add_slots<Tokens, false>(w, columns, x.x_stride, totals);
  }
}

#include <edgerazor/kernel/loops/dot.inl>
#include <edgerazor/kernel/loops/panel.inl>

inline constexpr functions table = [] {
  functions k = neon::table;
  k.name = "dotprod";
  k.supported = &supported;
  k.dot = of_every_plane<dot_function>([](auto plane) { return &dot<plane.type>; });
  k.panel_product = &panel_product;
  k.look_up = {};
  return k;
}();

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::dotprod
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
