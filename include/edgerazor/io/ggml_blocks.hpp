// SPDX-License-Identifier: Apache-2.0
/// The block layouts of GGUF tensors: blocks of every decoded type to floats, and codes into Q4_0,
/// TQ1_0, TQ2_0. The list of types in ggml_type.hpp refers to these functions.
///
/// Bytes, in order; d and m are float16, codes unsigned; x[i] is element i of the block:
///
///     Q4_0    32 in  18   d | qs[16]             x[j + 16 n] = (nibble n of qs[j] - 8) d, n = 0, 1
///     Q4_1    32 in  20   d | m | qs[16]         x[j + 16 n] = (nibble n of qs[j]) d + m
///     Q5_0    32 in  22   d | h (u32) | qs[16]   x[i] = (nibble as above + 16 (bit i of h) - 16) d
///     Q8_0    32 in  34   d | i8 qs[32]          x[i] = qs[i] d
///     Q6_K   256 in 210   ql[128] | qh[64] | i8 s[16] | d      x[i] = (q[i] - 32) s[i / 16] d
///                         q of element 128 h + 32 g + l is nibble g / 2 of
///                         ql[64 h + 32 (g % 2) + l] + 16 (bits 2g of qh[32 h + l])
///     TQ2_0  256 in  66   qs[64] | d             x[128 h + 32 g + l] =
///                                                    (bits 2g of qs[32 h + l] - 1) d
///     TQ1_0  256 in  54   qs[48] | qh[4] | d     five base-3 digits t a byte, x = (t - 1) d:
///                         x[32 n + l] from qs[l], x[160 + 16 n + l] from qs[32 + l],
///                         x[240 + 4 n + l] from qh[l]
///
/// A TQ1_0 byte is ceil(256 v / 243) with v = sum t[n] 3^(4 - n), so its digits are
///
///     t[n] = floor(3 frac(3^n byte / 256))
///
/// Source: the GGUF types' own definitions; every byte value decodes to something (TQ2_0's code 3
/// is 2 d).
///
/// A product of a code and a float16 has at most 19 significant bits and is exact in float, so a
/// result does not depend on whether the compiler contracts a product and a sum.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/float16.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

inline float read_f16(const std::byte* at) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return float16::from_bits(bits);
}
inline float read_bf16(const std::byte* at) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bfloat16::from_bits(bits);
}
inline float read_f32(const std::byte* at) noexcept {
  float value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline unsigned read_u8(const std::byte* at) noexcept { return std::to_integer<unsigned>(*at); }
inline int read_i8(const std::byte* at) noexcept {
  return static_cast<std::int8_t>(std::to_integer<std::uint8_t>(*at));
}

// One block from `in` to floats. The layouts are drawn above.

inline void decode_q4_0(const std::byte* in, float* x) noexcept {
  const float d = read_f16(in);
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned qs = read_u8(in + 2 + j);
    x[j] = static_cast<float>(static_cast<int>(qs & 15u) - 8) * d;
    x[j + 16] = static_cast<float>(static_cast<int>(qs >> 4) - 8) * d;
  }
}

inline void decode_q4_1(const std::byte* in, float* x) noexcept {
  const float d = read_f16(in), m = read_f16(in + 2);
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned qs = read_u8(in + 4 + j);
    x[j] = static_cast<float>(qs & 15u) * d + m;
    x[j + 16] = static_cast<float>(qs >> 4) * d + m;
  }
}

inline void decode_q5_0(const std::byte* in, float* x) noexcept {
  const float d = read_f16(in);
  std::uint32_t high;
  std::memcpy(&high, in + 2, sizeof high);
  for (std::size_t j = 0; j < 16; ++j) {
    const unsigned qs = read_u8(in + 6 + j);
    x[j] = static_cast<float>(static_cast<int>((qs & 15u) + 16 * (high >> j & 1u)) - 16) * d;
    x[j + 16] =
        static_cast<float>(static_cast<int>((qs >> 4) + 16 * (high >> (j + 16) & 1u)) - 16) * d;
  }
}

inline void decode_q8_0(const std::byte* in, float* x) noexcept {
  const float d = read_f16(in);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(read_i8(in + 2 + i)) * d;
}

inline void decode_q6_k(const std::byte* in, float* x) noexcept {
  const std::byte *const ql = in, *const qh = in + 128, *const scales = in + 192;
  const float d = read_f16(in + 208);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const unsigned low =
        read_u8(ql + 64 * half + 32 * (quarter % 2) + l) >> (4 * (quarter / 2)) & 15u;
    const unsigned high = read_u8(qh + 32 * half + l) >> (2 * quarter) & 3u;
    const float scale = d * static_cast<float>(read_i8(scales + i / 16));
    x[i] = scale * static_cast<float>(static_cast<int>(low + 16 * high) - 32);
  }
}

inline void decode_tq2_0(const std::byte* in, float* x) noexcept {
  const float d = read_f16(in + 64);
  for (std::size_t i = 0; i < 256; ++i) {
    const unsigned code = read_u8(in + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3u;
    x[i] = static_cast<float>(static_cast<int>(code) - 1) * d;
  }
}

/// Where TQ1_0 keeps element i: digit `digit` (0 the most significant) of byte `byte`.
struct tq1_place {
  std::size_t byte, digit;
};
constexpr tq1_place tq1_place_of(std::size_t i) noexcept {
  if (i < 160) return {i % 32, i / 32};
  if (i < 240) return {32 + i % 16, (i - 160) / 16};
  return {48 + i % 4, (i - 240) / 4};
}
inline constexpr std::array<unsigned, 5> tq1_powers{1, 3, 9, 27, 81};

/// Digit n of a TQ1_0 byte, in 0..2 for every byte.
constexpr unsigned tq1_digit(unsigned byte, std::size_t n) noexcept {
  return (byte * tq1_powers[n] & 255u) * 3 >> 8;
}
/// The byte of v = sum of digit[n] 3^(4 - n), v < 243.
constexpr unsigned tq1_byte(unsigned v) noexcept { return (256 * v + 242) / 243; }

inline void decode_tq1_0(const std::byte* in, float* x) noexcept {
  const float d = read_f16(in + 52);
  for (std::size_t i = 0; i < 256; ++i) {
    const auto [byte, digit] = tq1_place_of(i);
    x[i] = static_cast<float>(static_cast<int>(tq1_digit(read_u8(in + byte), digit)) - 1) * d;
  }
}

// Levels and a scale into one block. The codes are copied, nothing is rounded.

/// 32 levels in -8..7.
inline void encode_q4_0(const std::int8_t* levels, float16 d, float16, std::byte* out) noexcept {
  std::memcpy(out, &d.bits, 2);
  for (std::size_t j = 0; j < 16; ++j) {
    out[2 + j] = static_cast<std::byte>((levels[j] + 8) | (levels[j + 16] + 8) << 4);
  }
}

/// 32 codes in 0..15.
inline void encode_q4_1(const std::int8_t* codes, float16 d, float16 m, std::byte* out) noexcept {
  std::memcpy(out, &d.bits, 2);
  std::memcpy(out + 2, &m.bits, 2);
  for (std::size_t j = 0; j < 16; ++j)
    out[4 + j] = static_cast<std::byte>(codes[j] | codes[j + 16] << 4);
}

/// 256 levels in -1..1.
inline void encode_tq2_0(const std::int8_t* levels, float16 d, float16, std::byte* out) noexcept {
  std::memset(out, 0, 64);
  for (std::size_t i = 0; i < 256; ++i) {
    out[i / 128 * 32 + i % 32] |= static_cast<std::byte>((levels[i] + 1) << (i % 128 / 32 * 2));
  }
  std::memcpy(out + 64, &d.bits, 2);
}

/// 256 levels in -1..1. The four bytes of qh hold four digits and a zero digit behind them.
inline void encode_tq1_0(const std::int8_t* levels, float16 d, float16, std::byte* out) noexcept {
  std::array<unsigned, 52> values{};
  for (std::size_t i = 0; i < 256; ++i) {
    const auto [byte, digit] = tq1_place_of(i);
    values[byte] += static_cast<unsigned>(levels[i] + 1) * tq1_powers[4 - digit];
  }
  for (std::size_t j = 0; j < 52; ++j) out[j] = static_cast<std::byte>(tq1_byte(values[j]));
  std::memcpy(out + 52, &d.bits, 2);
}

}  // namespace detail::io

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
