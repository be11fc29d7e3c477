// SPDX-License-Identifier: Apache-2.0
/// AArch64 with matrix products of bytes (i8mm): `usmmla` multiplies 2 rows of 8 unsigned codes by
/// 2 tokens of 8 signed activations, twice the products of an `sdot`. A single token has no use for
/// it: `dot` is dotprod's. See contract.hpp for what each function of the table does,
/// portable/scalar.hpp for the reference implementation.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/arm/dotprod.hpp>
#include <edgerazor/kernel/arm/neon.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/vector/cpu_features.hpp>

#if EDGERAZOR_ARM64

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::i8mm {

#define EDGERAZOR_ISA EDGERAZOR_TARGET_I8MM
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

inline bool supported() noexcept { return detect_cpu_features().i8mm; }

// What is not defined below is the simpler instruction set's.
using namespace neon;

/// sums[2 * r + t] += 8 codes of row r * 8 activations of token t. See dotprod::dot_lane for why it
/// is assembly.
EDGERAZOR_OP int32x4_t multiply_2x2(int32x4_t sums, uint8x16_t codes, int8x16_t x) noexcept {
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
  EDGERAZOR_OP void add(uint32x4_t slot, uint32x4_t next, int8x16_t x) noexcept {
    rows01 = multiply_2x2(rows01, vreinterpretq_u8_u32(vzip1q_u32(slot, next)), x);
    rows23 = multiply_2x2(rows23, vreinterpretq_u8_u32(vzip2q_u32(slot, next)), x);
  }
};

/// 8 activations of two tokens.
EDGERAZOR_OP int8x16_t load_pair(const std::int8_t* token, const std::int8_t* other) noexcept {
  return vcombine_s8(vld1_s8(token), vld1_s8(other));
}
/// 4 activations of two tokens, 4 zeros after each.
EDGERAZOR_OP int8x16_t load_half_pair(const std::int8_t* token, const std::int8_t* other) noexcept {
  const int32x4_t both = vzip1q_s32(vreinterpretq_s32_s8(neon::broadcast4(token)),
                                    vreinterpretq_s32_s8(neon::broadcast4(other)));
  return vreinterpretq_s8_s32(vzip1q_s32(both, vdupq_n_s32(0)));
}

/// 24 sums, 3 pairs of tokens and a quarter of two slots in 32 registers.
inline constexpr std::size_t panel_block = 6, panel_step = 2;

/// Where the tokens are odd, the last pair is one token twice.
template <std::size_t Tokens>
EDGERAZOR_OP void add_panel(const group_panel& w, const panel_tokens& x, std::size_t first,
                            ints (&totals)[Tokens]) noexcept {
  constexpr std::size_t pairs = (Tokens + 1) / 2;
  const std::size_t other = Tokens == 1 ? 0 : x.x_stride;
  static_assert(Tokens == 1 || Tokens % 2 == 0);
  pair_sums sums[pairs][parts];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < pairs * parts; ++i)
    sums[i / parts][i % parts] = {vdupq_n_s32(0), vdupq_n_s32(0)};
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
    for (std::size_t q = 0; q < parts; ++q) {
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
    for (std::size_t q = 0; q < parts; ++q) {
      const uint32x4_t slot = vreinterpretq_u32_u8(vld1q_u8(codes + 16 * q));
      EDGERAZOR_UNROLL
      for (std::size_t p = 0; p < pairs; ++p) sums[p][q].add(slot, slot, x_pairs[p]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Tokens * parts; ++i) {
    const std::size_t t = i / parts, q = i % parts;
    const pair_sums& pair = sums[t / 2][q];
    const int32x4_t rows =
        t % 2 == 0 ? vuzp1q_s32(pair.rows01, pair.rows23) : vuzp2q_s32(pair.rows01, pair.rows23);
    totals[t].part[q] = vaddq_s32(totals[t].part[q], rows);
  }
}

#include <edgerazor/kernel/loops/panel.inl>

inline constexpr functions table = [] {
  functions k = dotprod::table;
  k.name = "i8mm";
  k.supported = &supported;
  k.panel_product = &panel_product;
  return k;
}();

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::i8mm
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
