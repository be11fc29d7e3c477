// SPDX-License-Identifier: Apache-2.0
/// NEON as the register operations of products by look-up: 16 int16 in two registers. See the head
/// of loops/look_up.inl for what each does.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/arm/neon_registers.hpp>
#include <edgerazor/kernel/contract.hpp>

#if EDGERAZOR_ARM64

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

#define EDGERAZOR_OP EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE

struct words {
  int16x8_t low, high;
};

EDGERAZOR_OP words load_words(const std::int16_t* at) noexcept {
  return {vld1q_s16(at), vld1q_s16(at + 8)};
}
EDGERAZOR_OP void store_words(std::int16_t* to, const words& v) noexcept {
  vst1q_s16(to, v.low), vst1q_s16(to + 8, v.high);
}
EDGERAZOR_OP words add_words(const words& a, const words& b) noexcept {
  return {vaddq_s16(a.low, b.low), vaddq_s16(a.high, b.high)};
}
EDGERAZOR_OP words subtract_words(const words& a, const words& b) noexcept {
  return {vsubq_s16(a.low, b.low), vsubq_s16(a.high, b.high)};
}
EDGERAZOR_OP words zero_words() noexcept { return {vdupq_n_s16(0), vdupq_n_s16(0)}; }
EDGERAZOR_OP int_vector widened(const std::int16_t* at) noexcept { return vmovl_s16(vld1_s16(at)); }

/// Four times rows i and i + 8 interleaved turn the index (row, column) of 8 bits by 4.
EDGERAZOR_OP void store_columns(const std::int8_t* x, std::size_t stride,
                                std::int16_t* to) noexcept {
  int8x16_t v[16];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < 16; ++i) v[i] = vld1q_s8(x + stride * i);
  EDGERAZOR_UNROLL
  for (int turn = 0; turn < 4; ++turn) {
    int8x16_t next[16];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i) {
      next[2 * i] = vzip1q_s8(v[i], v[i + 8]);
      next[2 * i + 1] = vzip2q_s8(v[i], v[i + 8]);
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 16; ++i) v[i] = next[i];
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < 16; ++i)
    store_words(to + 16 * i, {vmovl_s8(vget_low_s8(v[i])), vmovl_high_s8(v[i])});
}

/// 8 x 8 a time: three times rows i and i + 4 interleaved.
EDGERAZOR_OP void store_transposed(const std::int16_t* from, std::int16_t* to) noexcept {
  for (std::size_t block = 0; block < 4; ++block) {
    const std::size_t row = 8 * (block / 2), col = 8 * (block % 2);
    int16x8_t v[8];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i) v[i] = vld1q_s16(from + 16 * (row + i) + col);
    EDGERAZOR_UNROLL
    for (int turn = 0; turn < 3; ++turn) {
      int16x8_t next[8];
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < 4; ++i) {
        next[2 * i] = vzip1q_s16(v[i], v[i + 4]);
        next[2 * i + 1] = vzip2q_s16(v[i], v[i + 4]);
      }
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < 8; ++i) v[i] = next[i];
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < 8; ++i) vst1q_s16(to + 16 * (col + i) + row, v[i]);
  }
}

EDGERAZOR_OP byte_vector larger_bytes(byte_vector a, byte_vector b) noexcept {
  return vmaxq_u8(a, b);
}
EDGERAZOR_OP bool any_byte_above(byte_vector v, std::uint8_t limit) noexcept {
  return vmaxvq_u8(v) > limit;
}

/// Indices of a unit's 16 rows from their three columns.
EDGERAZOR_OP void store_unit(uint8x16_t c0, uint8x16_t c1, uint8x16_t c2,
                             std::uint8_t* to) noexcept {
  static_assert(look_up_step == 4);
  const uint8x16_t number = vmlaq_u8(vmlaq_u8(c0, c1, vdupq_n_u8(3)), c2, vdupq_n_u8(9));
  vst1q_u8(to, vshlq_n_u8(number, 2));
}
EDGERAZOR_OP void store_indices(const std::uint8_t* panel, std::uint8_t* to) noexcept {
  const uint8x16x4_t s0 = vld4q_u8(panel), s1 = vld4q_u8(panel + chunk_bytes),
                     s2 = vld4q_u8(panel + 2 * chunk_bytes);
  store_unit(s0.val[0], s0.val[1], s0.val[2], to);
  store_unit(s0.val[3], s1.val[0], s1.val[1], to + tile_rows);
  store_unit(s1.val[2], s1.val[3], s2.val[0], to + 2 * tile_rows);
  store_unit(s2.val[1], s2.val[2], s2.val[3], to + 3 * tile_rows);
}

#undef EDGERAZOR_OP

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
