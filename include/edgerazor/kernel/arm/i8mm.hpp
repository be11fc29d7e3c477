// SPDX-License-Identifier: Apache-2.0
/// AArch64 with matrix products of bytes (i8mm): `usmmla` multiplies 2 rows of 8 unsigned codes by
/// 2 tokens of 8 signed activations, twice the products of an `sdot`. A single token has no use for
/// it: `dot` is dotprod's. See kernel.hpp for the contract of each function, scalar.hpp for the
/// truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_ARM64

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

#include <edgerazor/kernel/arm/dotprod.hpp>
#include <edgerazor/kernel/arm/neon.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/cpu_features.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::i8mm {

inline bool supported() noexcept {
  return detect_cpu_features().i8mm;
}

/// sums[2 * r + t] += 8 codes of row r * 8 activations of token t. See dotprod::dot_lane for why it
/// is assembly.
EDGERAZOR_TARGET_I8MM EDGERAZOR_INLINE int32x4_t multiply_2x2(int32x4_t sums, uint8x16_t codes,
                                                              int8x16_t x) noexcept {
#if EDGERAZOR_MSVC
  return vusmmlaq_s32(sums, codes, x);
#else
  __asm__("usmmla %0.4s, %1.16b, %2.16b" : "+w"(sums) : "w"(codes), "w"(x));
  return sums;
#endif
}

/// Two tokens' sums with a quarter of a tile's rows: lanes are row 0 token 0, row 0 token 1, row 1
/// token 0, ...
struct pair_sums {
  int32x4_t rows01, rows23;

  /// The codes of two slots, 4 rows x 4 columns each, become 2 rows x 8 columns by interleaving
  /// words.
  EDGERAZOR_TARGET_I8MM EDGERAZOR_INLINE void add(uint32x4_t slot, uint32x4_t next,
                                                  int8x16_t x) noexcept {
    rows01 = multiply_2x2(rows01, vreinterpretq_u8_u32(vzip1q_u32(slot, next)), x);
    rows23 = multiply_2x2(rows23, vreinterpretq_u8_u32(vzip2q_u32(slot, next)), x);
  }
};

/// 8 activations of two tokens.
EDGERAZOR_TARGET_I8MM EDGERAZOR_INLINE int8x16_t load_pair(const std::int8_t* token,
                                                           const std::int8_t* other) noexcept {
  return vcombine_s8(vld1_s8(token), vld1_s8(other));
}
/// 4 activations of two tokens, 4 zeros after each.
EDGERAZOR_TARGET_I8MM EDGERAZOR_INLINE int8x16_t load_half_pair(const std::int8_t* token,
                                                                const std::int8_t* other) noexcept {
  const int32x4_t zero = vdupq_n_s32(0);
  return vreinterpretq_s8_s32(vzip1q_s32(vzip1q_s32(vreinterpretq_s32_s8(neon::broadcast4(token)),
                                                    vreinterpretq_s32_s8(neon::broadcast4(other))),
                                         zero));
}

/// Tokens [first, first + Tokens) of a panel's product; where they are odd, the last pair is one
/// token twice.
template <std::size_t Tokens>
EDGERAZOR_TARGET_I8MM EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                                 const panel_tokens& x,
                                                                 std::size_t first) noexcept {
  constexpr std::size_t pairs = (Tokens + 1) / 2;
  const std::size_t other = Tokens == 1 ? 0 : x.x_stride;
  static_assert(Tokens == 1 || Tokens % 2 == 0);
  pair_sums sums[pairs][neon::quarters];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < pairs * neon::quarters; ++i) {
    sums[i / neon::quarters][i % neon::quarters] = {vdupq_n_s32(0), vdupq_n_s32(0)};
  }
  const std::uint8_t* codes = w.codes;
  const std::int8_t* columns = x.x + first * x.x_stride;
  int8x16_t x_pairs[pairs];
  std::size_t s = 0;
  for (; s + 2 <= w.slots; s += 2, codes += 2 * chunk_bytes, columns += 2 * slot_cols) {
    EDGERAZOR_UNROLL
    for (std::size_t p = 0; p < pairs; ++p) {
      const std::int8_t* token = columns + 2 * p * x.x_stride;
      x_pairs[p] = load_pair(token, token + other);
    }
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q) {
      const uint32x4_t slot = vreinterpretq_u32_u8(vld1q_u8(codes + 16 * q));
      const uint32x4_t next = vreinterpretq_u32_u8(vld1q_u8(codes + chunk_bytes + 16 * q));
      EDGERAZOR_UNROLL
      for (std::size_t p = 0; p < pairs; ++p) sums[p][q].add(slot, next, x_pairs[p]);
    }
  }
  if (s < w.slots) {
    EDGERAZOR_UNROLL
    for (std::size_t p = 0; p < pairs; ++p) {
      const std::int8_t* token = columns + 2 * p * x.x_stride;
      x_pairs[p] = load_half_pair(token, token + other);
    }
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q) {
      const uint32x4_t slot = vreinterpretq_u32_u8(vld1q_u8(codes + 16 * q));
      EDGERAZOR_UNROLL
      for (std::size_t p = 0; p < pairs; ++p) sums[p][q].add(slot, slot, x_pairs[p]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    neon::tile_sums total = neon::begin_sums(w, x, first + t);
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < neon::quarters; ++q) {
      const pair_sums& pair = sums[t / 2][q];
      const int32x4_t rows =
          t % 2 == 0 ? vuzp1q_s32(pair.rows01, pair.rows23) : vuzp2q_s32(pair.rows01, pair.rows23);
      total.rows[q] = vaddq_s32(total.rows[q], rows);
    }
    neon::end_sums(w, x, first + t, total);
  }
}

/// Codes of any codec are unsigned bytes: one function serves them all.
EDGERAZOR_TARGET_I8MM inline void panel_product(const group_panel& w,
                                                const panel_tokens& x) noexcept {
  constexpr std::size_t block =
      6;  // 24 sums, 3 pairs of tokens and a quarter of two slots in 32 registers
  std::size_t t = 0;
  for (; t + block <= x.tokens; t += block) panel_product_tokens<block>(w, x, t);
  for (; t + 2 <= x.tokens; t += 2) panel_product_tokens<2>(w, x, t);
  if (t < x.tokens) panel_product_tokens<1>(w, x, t);
}

constexpr kernel make_table() noexcept {
  kernel result = dotprod::table;
  result.name = "i8mm";
  result.supported = &supported;
  result.panel_product = {&panel_product, &panel_product, &panel_product, &panel_product};
  return result;
}
inline constexpr functions table = make_table();

}  // namespace detail::kernel::i8mm
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
