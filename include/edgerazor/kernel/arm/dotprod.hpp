// SPDX-License-Identifier: Apache-2.0
/// AArch64 with dot products (Armv8.2 dotprod): `sdot` adds four products of bytes in 32 bits, the
/// four activations chosen by lane. Everything but these sums is NEON's. See kernel.hpp for the
/// contract of each function, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_ARM64

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

#include <edgerazor/kernel/arm/neon.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/cpu_features.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::dotprod {

inline bool supported() noexcept {
  return detect_cpu_features().dotprod;
}

/// sums[r] += codes of row r * the activations of a lane, 4 of each. clang before 16 declares the
/// intrinsic only where the whole build has it; the assembler asks for the function's own target.
template <int Lane>
EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE int32x4_t dot_lane(int32x4_t sums, int8x16_t codes,
                                                             int8x16_t x) noexcept {
#if EDGERAZOR_MSVC
  return vdotq_laneq_s32(sums, codes, x, Lane);
#else
  __asm__("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sums) : "w"(codes), "w"(x), "i"(Lane));
  return sums;
#endif
}

EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE int8x16_t masked(uint8x16_t bytes,
                                                           unsigned mask) noexcept {
  return vreinterpretq_s8_u8(neon::masked(bytes, mask));
}

/// Sums of 4 rows while chunks go by. Fields 1 and 2 of a byte are masked, not shifted: they count
/// 4 and 16 times too much and are shifted back once. Exact: `sdot` does not saturate, 48 fits a
/// signed byte, and a group of 65,536 columns reaches 48 * 128 * 2^16 / 4 < 2^31 in its sixteens.
struct quarter_sums {
  int32x4_t ones, fours, sixteens;

  [[nodiscard]] EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE int32x4_t total() const noexcept {
    return vaddq_s32(ones, vaddq_s32(vshrq_n_s32(fours, 2), vshrq_n_s32(sixteens, 4)));
  }

  /// The bytes of a quarter of a chunk, whose columns begin at lane 0 of `x` (and of `next`, from
  /// the 17th on).
  template <code_type Type>
  EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE void add(uint8x16_t bytes, int8x16_t x,
                                                     int8x16_t next) noexcept {
    if constexpr (Type == code_type::ternary2) {
      ones = dot_lane<0>(ones, masked(bytes, 0x03), x);
      fours = dot_lane<1>(fours, masked(bytes, 0x0c), x);
      sixteens = dot_lane<2>(sixteens, masked(bytes, 0x30), x);
      ones = dot_lane<3>(ones, vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6)), x);
    } else if constexpr (Type == code_type::ternary5) {
      const neon::base3_fields digits(bytes);
      ones = dot_lane<0>(ones, masked(digits.digits01, 0x03), x);
      fours = dot_lane<1>(fours, masked(digits.digits01, 0x0c), x);
      ones = dot_lane<2>(ones, masked(digits.digits234, 0x03), x);
      fours = dot_lane<3>(fours, masked(digits.digits234, 0x0c), x);
      sixteens = dot_lane<0>(sixteens, masked(digits.digits234, 0x30), next);
    } else if constexpr (Type == code_type::int4) {
      ones = dot_lane<0>(ones, masked(bytes, 0x0f), x);
      ones = dot_lane<1>(ones, vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)), x);
    } else {
      ones = dot_lane<0>(ones, neon::as_signed<Type>(bytes), x);
    }
  }
};

template <code_type Type>
struct accumulator {
  quarter_sums quarter[neon::quarters];

  EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE accumulator() noexcept {
    const int32x4_t zero = vdupq_n_s32(0);
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q) quarter[q] = {zero, zero, zero};
  }
  EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE void add(const std::uint8_t* chunk,
                                                     const std::int8_t* x) noexcept {
    constexpr unsigned fields = codec_of(Type).fields;
    int8x16_t columns, next = vdupq_n_s8(0);
    if constexpr (fields >= 4) {
      columns = vld1q_s8(x);
    } else if constexpr (fields == 2) {
      columns = vcombine_s8(vld1_s8(x), vdup_n_s8(0));
    } else {
      columns = neon::broadcast4(x);
    }
    if constexpr (fields == 5) next = neon::broadcast4(x + 16);
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q) {
      quarter[q].template add<Type>(vld1q_u8(chunk + 16 * q), columns, next);
    }
  }
};

template <code_type Type>
EDGERAZOR_TARGET_DOTPROD void dot(const tile_codes& w, const std::int8_t* x,
                                  const std::int32_t* x_sums, std::size_t begin, std::size_t end,
                                  std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t chunk_cols = slot_cols * fields;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::kernel::chunk_span<fields> span(first, last);
    const std::uint8_t* chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::int8_t* columns = x + chunk_cols * span.whole_begin;
    accumulator<Type> total;
    if (span.head) {
      const detail::kernel::partial_chunk<fields> part(x, span.whole_begin - 1, first, last);
      total.add(chunk - chunk_bytes, part.x);
    }
    for (std::size_t c = span.whole_begin; c < span.whole_end;
         ++c, chunk += chunk_bytes, columns += chunk_cols) {
      total.add(chunk, columns);
    }
    if (span.tail) {
      const detail::kernel::partial_chunk<fields> part(x, span.whole_end, first, last);
      total.add(chunk, part.x);
    }
    const int32x4_t offset = vdupq_n_s32(neon::level_offset<Type>(x_sums[g]));
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q) {
      vst1q_s32(isum + 4 * q, vaddq_s32(total.quarter[q].total(), offset));
    }
  }
}

/// totals[t] += codes of one slot of a panel * its columns, which are a lane of columns[t].
template <code_type Type, int Lane, std::size_t Tokens>
EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE void add_slot(
    const std::uint8_t* slot, const int8x16_t (&columns)[Tokens],
    neon::tile_sums (&totals)[Tokens]) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < neon::quarters; ++q) {
    const int8x16_t codes = neon::as_signed<Type>(vld1q_u8(slot + 16 * q));
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      totals[t].rows[q] = dot_lane<Lane>(totals[t].rows[q], codes, columns[t]);
  }
}

/// Tokens [first, first + Tokens) of a panel's product.
template <code_type Type, std::size_t Tokens>
EDGERAZOR_TARGET_DOTPROD EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                                    const panel_tokens& x,
                                                                    std::size_t first) noexcept {
  const std::int8_t* const tokens = x.x + first * x.x_stride;
  neon::tile_sums totals[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    totals[t] = neon::begin_sums(w, x, first + t);
    const int32x4_t offset =
        vdupq_n_s32(neon::code_offset<Type>(tokens + t * x.x_stride, slot_cols * w.slots));
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q)
      totals[t].rows[q] = vaddq_s32(totals[t].rows[q], offset);
  }
  int8x16_t columns[Tokens];
  const std::uint8_t* slot = w.codes;
  std::size_t s = 0;
  for (; s + 4 <= w.slots; s += 4, slot += 4 * chunk_bytes) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      columns[t] = vld1q_s8(tokens + t * x.x_stride + slot_cols * s);
    add_slot<Type, 0>(slot, columns, totals);
    add_slot<Type, 1>(slot + chunk_bytes, columns, totals);
    add_slot<Type, 2>(slot + 2 * chunk_bytes, columns, totals);
    add_slot<Type, 3>(slot + 3 * chunk_bytes, columns, totals);
  }
  for (; s < w.slots; ++s, slot += chunk_bytes) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t)
      columns[t] = neon::broadcast4(tokens + t * x.x_stride + slot_cols * s);
    add_slot<Type, 0>(slot, columns, totals);
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) neon::end_sums(w, x, first + t, totals[t]);
}

template <code_type Type>
EDGERAZOR_TARGET_DOTPROD void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  constexpr std::size_t block =
      4;  // 16 sums, 4 tokens' columns and a quarter of a slot in 32 registers
  std::size_t t = 0;
  for (; t + block <= x.tokens; t += block) panel_product_tokens<Type, block>(w, x, t);
  for (; t < x.tokens; ++t) panel_product_tokens<Type, 1>(w, x, t);
}

constexpr kernel make_table() noexcept {
  kernel result = neon::table;
  result.name = "dotprod";
  result.supported = &supported;
  result.dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>,
                &dot<code_type::int8>};
  result.panel_product = {&panel_product<code_type::ternary2>, &panel_product<code_type::ternary5>,
                          &panel_product<code_type::int4>, &panel_product<code_type::int8>};
  return result;
}
inline constexpr functions table = make_table();

}  // namespace detail::kernel::dotprod
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
