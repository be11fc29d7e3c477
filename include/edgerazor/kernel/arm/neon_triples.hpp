// SPDX-License-Identifier: Apache-2.0
/// Codes in threes in 128-bit registers, one unit each: what ../loops/triples.inl is written in.
/// `tbl` looks up 16 products, `mla` adds them with their signs.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/arm/neon_registers.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/triple_patterns.hpp>

#if EDGERAZOR_ARM64

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

#define EDGERAZOR_ISA EDGERAZOR_TARGET_NEON
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline constexpr std::size_t tiles_at_once = 2;

struct unit_bytes {
  uint8x16_t unit[2];
};
EDGERAZOR_OP unit_bytes load_units(const std::uint8_t* at) noexcept {
  return {{vld1q_u8(at), vld1q_u8(at + 16)}};
}
EDGERAZOR_OP void store_units(std::uint8_t* to, const unit_bytes& v) noexcept {
  vst1q_u8(to, v.unit[0]), vst1q_u8(to + 16, v.unit[1]);
}
EDGERAZOR_OP unit_bytes splat_units(int byte) noexcept {
  const uint8x16_t v = vdupq_n_u8(static_cast<std::uint8_t>(byte));
  return {{v, v}};
}
EDGERAZOR_OP unit_bytes add_units(const unit_bytes& a, const unit_bytes& b) noexcept {
  return {{vaddq_u8(a.unit[0], b.unit[0]), vaddq_u8(a.unit[1], b.unit[1])}};
}
EDGERAZOR_OP void pin([[maybe_unused]] unit_bytes& v) noexcept {
  EDGERAZOR_PIN_REGISTER(v.unit[0]);
  EDGERAZOR_PIN_REGISTER(v.unit[1]);
}
EDGERAZOR_OP unit_bytes low_nibbles(const unit_bytes& v) noexcept {
  return {{vandq_u8(v.unit[0], vdupq_n_u8(15)), vandq_u8(v.unit[1], vdupq_n_u8(15))}};
}
EDGERAZOR_OP unit_bytes high_nibbles(const unit_bytes& v) noexcept {
  return {{vshrq_n_u8(v.unit[0], 4), vshrq_n_u8(v.unit[1], 4)}};
}
EDGERAZOR_OP unit_bytes look_up_units(const unit_bytes& table, const unit_bytes& index) noexcept {
  return {{vqtbl1q_u8(table.unit[0], index.unit[0]), vqtbl1q_u8(table.unit[1], index.unit[1])}};
}
EDGERAZOR_OP unit_bytes signs_of(const unit_bytes& v) noexcept { return v; }
/// 1 or -1 of each byte.
EDGERAZOR_OP uint8x16_t sign_factor(uint8x16_t signs) noexcept {
  const int8x16_t all = vshrq_n_s8(vreinterpretq_s8_u8(signs), 7);
  return vorrq_u8(vreinterpretq_u8_s8(all), vdupq_n_u8(1));
}
EDGERAZOR_OP unit_bytes add_signed(const unit_bytes& sum, const unit_bytes& v,
                                   const unit_bytes& signs) noexcept {
  return {{vmlaq_u8(sum.unit[0], v.unit[0], sign_factor(signs.unit[0])),
           vmlaq_u8(sum.unit[1], v.unit[1], sign_factor(signs.unit[1]))}};
}
EDGERAZOR_OP unit_bytes two_bits(const unit_bytes& v, unsigned b) noexcept {
  const int8x16_t right = vdupq_n_s8(static_cast<std::int8_t>(-2 * static_cast<int>(b)));
  const uint8x16_t mask = vdupq_n_u8(3);
  return {{vandq_u8(vshlq_u8(v.unit[0], right), mask), vandq_u8(vshlq_u8(v.unit[1], right), mask)}};
}

/// Rows 0 to 7 of each unit, and rows 8 to 15.
struct unit_sums {
  int16x8_t first[2], second[2];
  EDGERAZOR_OP unit_sums() noexcept {
    first[0] = first[1] = second[0] = second[1] = vdupq_n_s16(0);
  }
};
EDGERAZOR_OP void add_products(unit_sums& sums, const unit_bytes& low,
                               const unit_bytes& high) noexcept {
  const int8x16_t factor = vdupq_n_s8(triple_factor);
  EDGERAZOR_UNROLL
  for (std::size_t u = 0; u < 2; ++u) {
    const int8x16_t of_low = vreinterpretq_s8_u8(low.unit[u]),
                    of_high = vreinterpretq_s8_u8(high.unit[u]);
    sums.first[u] = vmlal_s8(vaddw_s8(sums.first[u], vget_low_s8(of_low)), vget_low_s8(of_high),
                             vget_low_s8(factor));
    sums.second[u] = vmlal_high_s8(vaddw_high_s8(sums.second[u], of_low), of_high, factor);
  }
}
EDGERAZOR_OP ints row_sums(const unit_sums& sums) noexcept {
  return {{vaddl_s16(vget_low_s16(sums.first[0]), vget_low_s16(sums.first[1])),
           vaddl_high_s16(sums.first[0], sums.first[1]),
           vaddl_s16(vget_low_s16(sums.second[0]), vget_low_s16(sums.second[1])),
           vaddl_high_s16(sums.second[0], sums.second[1])}};
}
EDGERAZOR_OP void put_slot(const std::uint8_t* columns, std::uint8_t* slot) noexcept {
  uint8x16x4_t four;
  four.val[0] = vld1q_u8(columns);
  four.val[1] = vld1q_u8(columns + 16);
  four.val[2] = vld1q_u8(columns + 32);
  four.val[3] = vld1q_u8(columns + 48);
  vst4q_u8(slot, four);
}

/// Sums of three products with 8 of the 16 patterns of weights, in 16 bits.
EDGERAZOR_OP int16x8_t eight_sums(const triple_activations& three, std::size_t first) noexcept {
  int16x8_t sum = vdupq_n_s16(0);
  EDGERAZOR_UNROLL
  for (std::size_t b = 0; b < matrix::triples::unit_cols; ++b)
    sum = vmlaq_n_s16(sum, vld1q_s16(weights_of_triples.level[b] + first), three.x[b]);
  return sum;
}
/// See contract.hpp. `sqrdmulh` by 1057 is triple_high.
EDGERAZOR_ISA inline void triple_tables(const std::int8_t* x, std::size_t cols,
                                        std::uint8_t* tables) noexcept {
  namespace triples = matrix::triples;
  for (std::size_t c = 0; c < cols; c += triples::pair_cols, tables += triple_table_bytes) {
    for (std::size_t unit = 0; unit < 2; ++unit) {
      const triple_activations three(x, c + triples::unit_cols * unit, cols);
      const int16x8_t sum0 = eight_sums(three, 0), sum1 = eight_sums(three, 8);
      const int16x8_t high0 = vqrdmulhq_n_s16(sum0, 1057), high1 = vqrdmulhq_n_s16(sum1, 1057);
      const int16x8_t low0 = vmlsq_n_s16(sum0, high0, triple_factor),
                      low1 = vmlsq_n_s16(sum1, high1, triple_factor);
      const int8x16_t low = vcombine_s8(vmovn_s16(low0), vmovn_s16(low1)),
                      high = vcombine_s8(vmovn_s16(high0), vmovn_s16(high1));
      vst1q_u8(tables + 16 * unit, vreinterpretq_u8_s8(low));
      vst1q_u8(tables + 32 + 16 * unit, vreinterpretq_u8_s8(high));
    }
  }
}

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
