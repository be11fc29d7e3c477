// SPDX-License-Identifier: Apache-2.0
/// The block layouts of GGUF's quantized tensors. Each type is a struct that says which packed
/// format its blocks are (matrix/format.hpp), and reads a block's codes and numbers; decoding
/// (ggml_type.hpp) and importing (gguf_import.hpp) follow from that:
///
///     x = scale * level                  formats without a zero; `codes` gives levels
///     x = scale * code + minimum         formats with a minimum; `codes` gives 0 .. 2^bits - 1
///     x = scale * (code - zero)          formats with a zero
///
/// `numbers` gives the scale of each group of the format, and its minimum or zero. Every byte value
/// decodes to something.
///
/// In the layouts d and m are float16, "nibbles" of 16 bytes qs are 32 codes: code i is the low
/// half of qs[i], code 16 + i the high half. Source: the GGUF types' own definitions.
///
/// A scale here is a float16, or its product with an integer below 2^8: exact in float. So is the
/// product of a scale and a code, but for Q6_K, whose product is rounded once.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/format.hpp>

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

namespace blocks {

/// The nibbles of `count` bytes, each less `zero`.
inline void read_nibbles(const std::byte* qs, std::size_t count, int zero,
                         std::int8_t* q) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned byte = read_u8(qs + i);
    q[i] = static_cast<std::int8_t>(static_cast<int>(byte & 15u) - zero);
    q[count + i] = static_cast<std::int8_t>(static_cast<int>(byte >> 4) - zero);
  }
}
/// The same by a table of 16 levels.
inline void read_nibbles(const std::byte* qs, std::size_t count,
                         const std::array<std::int8_t, 16>& levels, std::int8_t* q) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned byte = read_u8(qs + i);
    q[i] = levels[byte & 15u];
    q[count + i] = levels[byte >> 4];
  }
}
/// Adds 16 to code i where bit i % 8 of high[i / 8] is set.
inline void add_fifth_bits(const std::byte* high, std::int8_t* q) noexcept {
  for (std::size_t i = 0; i < 32; ++i)
    q[i] = static_cast<std::int8_t>(q[i] +
                                    static_cast<int>(16 * (read_u8(high + i / 8) >> i % 8 & 1u)));
}

/// d | qs[16]
struct q4_0 {
  static constexpr std::size_t elements = 32, bytes = 18;
  static constexpr format fmt{code_type::int4, 32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    read_nibbles(in + 2, 16, 8, q);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept { *scale = read_f16(in); }
  static void encode(const std::int8_t* levels, float16 d, float16, std::byte* out) noexcept {
    std::memcpy(out, &d.bits, 2);
    for (std::size_t j = 0; j < 16; ++j)
      out[2 + j] = static_cast<std::byte>((levels[j] + 8) | (levels[j + 16] + 8) << 4);
  }
};

/// d | m | qs[16]
struct q4_1 {
  static constexpr std::size_t elements = 32, bytes = 20;
  static constexpr format fmt{code_type::int4, 32, scale_kind::float16, zero_kind::minimum};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    read_nibbles(in + 4, 16, 0, q);
  }
  static void numbers(const std::byte* in, float* scale, float* minimum) noexcept {
    *scale = read_f16(in);
    *minimum = read_f16(in + 2);
  }
  static void encode(const std::int8_t* codes, float16 d, float16 m, std::byte* out) noexcept {
    std::memcpy(out, &d.bits, 2);
    std::memcpy(out + 2, &m.bits, 2);
    for (std::size_t j = 0; j < 16; ++j)
      out[4 + j] = static_cast<std::byte>(codes[j] | codes[j + 16] << 4);
  }
};

/// d | u32 high | qs[16]: code i is its nibble and bit i of high, less 16.
struct q5_0 {
  static constexpr std::size_t elements = 32, bytes = 22;
  static constexpr format fmt{code_type::int5, 32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    read_nibbles(in + 6, 16, 16, q);
    add_fifth_bits(in + 2, q);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept { *scale = read_f16(in); }
};

/// d | m | u32 high | qs[16]
struct q5_1 {
  static constexpr std::size_t elements = 32, bytes = 24;
  static constexpr format fmt{code_type::int5, 32, scale_kind::float16, zero_kind::minimum};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    read_nibbles(in + 8, 16, 0, q);
    add_fifth_bits(in + 4, q);
  }
  static void numbers(const std::byte* in, float* scale, float* minimum) noexcept {
    *scale = read_f16(in);
    *minimum = read_f16(in + 2);
  }
};

/// d | i8 qs[32]. ggml writes no -128, and int8 has none.
struct q8_0 {
  static constexpr std::size_t elements = 32, bytes = 34;
  static constexpr format fmt{code_type::int8, 32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept { std::memcpy(q, in + 2, 32); }
  static void numbers(const std::byte* in, float* scale, float*) noexcept { *scale = read_f16(in); }
};

/// Element i of the 2-bit K types: bits 2 (i % 128 / 32) of qs[32 (i / 128) + i % 32].
inline unsigned k_two_bits(const std::byte* qs, std::size_t i) noexcept {
  return read_u8(qs + 32 * (i / 128) + i % 32) >> (2 * (i % 128 / 32)) & 3u;
}

/// s[16] | qs[64] | d | m: group j has the scale d (s[j] & 15) and the minimum -m (s[j] >> 4).
struct q2_k {
  static constexpr std::size_t elements = 256, bytes = 84;
  static constexpr format fmt{code_type::int2, 16, scale_kind::float32, zero_kind::minimum};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 256; ++i) q[i] = static_cast<std::int8_t>(k_two_bits(in + 16, i));
  }
  static void numbers(const std::byte* in, float* scale, float* minimum) noexcept {
    const float d = read_f16(in + 80), m = read_f16(in + 82);
    for (std::size_t j = 0; j < 16; ++j) {
      scale[j] = d * static_cast<float>(read_u8(in + j) & 15u);
      minimum[j] = -(m * static_cast<float>(read_u8(in + j) >> 4));
    }
  }
};

/// mask[32] | qs[64] | s[12] | d: a level is its two bits, less 4 where bit i / 32 of mask[i % 32]
/// is clear. The scale of group j is d times 6 bits less 32: the nibble j / 8 of s[j % 8], and
/// above it bits 2 (j / 4) of s[8 + j % 4].
struct q3_k {
  static constexpr std::size_t elements = 256, bytes = 110;
  static constexpr format fmt{code_type::int3, 16, scale_kind::float32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 256; ++i) {
      const unsigned set = read_u8(in + i % 32) >> (i / 32) & 1u;
      q[i] = static_cast<std::int8_t>(static_cast<int>(k_two_bits(in + 32, i) + 4 * set) - 4);
    }
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    const float d = read_f16(in + 108);
    const std::byte* const s = in + 96;
    for (std::size_t j = 0; j < 16; ++j) {
      const unsigned low = read_u8(s + j % 8) >> (4 * (j / 8)) & 15u,
                     high = read_u8(s + 8 + j % 4) >> (2 * (j / 4)) & 3u;
      scale[j] = d * static_cast<float>(static_cast<int>(low + 16 * high) - 32);
    }
  }
};

/// d | m | s[12]: eight scales d c[j] and minima -m n[j] of 6 bits. c and n of groups 0 to 3 are
/// the low 6 bits of s[j] and s[j + 4]; those of groups 4 to 7 are the low and the high half of s[j
/// + 4], above them the high 2 bits of s[j - 4] and s[j].
inline void read_k_numbers(const std::byte* in, float* scale, float* minimum) noexcept {
  const float d = read_f16(in), m = read_f16(in + 2);
  const auto s = [in](std::size_t j) { return read_u8(in + 4 + j); };
  for (std::size_t j = 0; j < 8; ++j) {
    const unsigned c = j < 4 ? s(j) & 63u : (s(j + 4) & 15u) + 16 * (s(j - 4) >> 6),
                   n = j < 4 ? s(j + 4) & 63u : (s(j + 4) >> 4) + 16 * (s(j) >> 6);
    scale[j] = d * static_cast<float>(c);
    minimum[j] = -(m * static_cast<float>(n));
  }
}

/// d | m | s[12] | qs[128]: groups 2k and 2k + 1 are the nibbles of 32 bytes.
struct q4_k {
  static constexpr std::size_t elements = 256, bytes = 144;
  static constexpr format fmt{code_type::int4, 32, scale_kind::float32, zero_kind::minimum};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t k = 0; k < 4; ++k) read_nibbles(in + 16 + 32 * k, 32, 0, q + 64 * k);
  }
  static constexpr auto numbers = read_k_numbers;
};

/// d | m | s[12] | high[32] | qs[128]: as Q4_K, and 16 more where bit j of high[i % 32] is set.
struct q5_k {
  static constexpr std::size_t elements = 256, bytes = 176;
  static constexpr format fmt{code_type::int5, 32, scale_kind::float32, zero_kind::minimum};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t k = 0; k < 4; ++k) read_nibbles(in + 48 + 32 * k, 32, 0, q + 64 * k);
    for (std::size_t i = 0; i < 256; ++i)
      q[i] = static_cast<std::int8_t>(
          q[i] + static_cast<int>(16 * (read_u8(in + 16 + i % 32) >> (i / 32) & 1u)));
  }
  static constexpr auto numbers = read_k_numbers;
};

/// ql[128] | qh[64] | i8 s[16] | d: element 128 h + 32 g + l has the nibble g / 2 of
/// ql[64 h + 32 (g % 2) + l], above it bits 2g of qh[32 h + l], less 32; group j the scale d s[j].
struct q6_k {
  static constexpr std::size_t elements = 256, bytes = 210;
  static constexpr format fmt{code_type::int6, 16, scale_kind::float32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t quarter = 0; quarter < 4; ++quarter) {
        const std::byte *const ql = in + 64 * half + 32 * (quarter % 2), *const qh =
                                                                             in + 128 + 32 * half;
        for (std::size_t l = 0; l < 32; ++l) {
          const unsigned low = read_u8(ql + l) >> (4 * (quarter / 2)) & 15u,
                         high = read_u8(qh + l) >> (2 * quarter) & 3u;
          q[128 * half + 32 * quarter + l] =
              static_cast<std::int8_t>(static_cast<int>(low + 16 * high) - 32);
        }
      }
    }
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    const float d = read_f16(in + 208);
    for (std::size_t j = 0; j < 16; ++j) scale[j] = d * static_cast<float>(read_i8(in + 192 + j));
  }
};

/// The levels of IQ4_NL and IQ4_XS.
inline constexpr std::array<std::int8_t, 16> iq4_levels{-127, -104, -83, -65, -49, -35, -22, -10,
                                                        1,    13,   25,  38,  53,  69,  89,  113};

/// d | qs[16]
struct iq4_nl {
  static constexpr std::size_t elements = 32, bytes = 18;
  static constexpr format fmt{code_type::int8, 32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    read_nibbles(in + 2, 16, iq4_levels, q);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept { *scale = read_f16(in); }
};

/// d | u16 high | low[4] | qs[128]: the scale of group j is d times 6 bits less 32, the nibble j %
/// 2 of low[j / 2] and above it bits 2j of high; its nibbles are those of 16 bytes.
struct iq4_xs {
  static constexpr std::size_t elements = 256, bytes = 136;
  static constexpr format fmt{code_type::int8, 32, scale_kind::float32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t j = 0; j < 8; ++j) read_nibbles(in + 8 + 16 * j, 16, iq4_levels, q + 32 * j);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    const float d = read_f16(in);
    for (std::size_t j = 0; j < 8; ++j) {
      const unsigned low = read_u8(in + 4 + j / 2) >> (4 * (j % 2)) & 15u,
                     high = read_u8(in + 2 + j / 4) >> (2 * (j % 4)) & 3u;
      scale[j] = d * static_cast<float>(static_cast<int>(low + 16 * high) - 32);
    }
  }
};

/// The values of E2M1, doubled: sign, two bits of exponent, one of mantissa.
inline constexpr std::array<std::int8_t, 16> e2m1_levels{0, 1,  2,  3,  4,  6,  8,  12,
                                                         0, -1, -2, -3, -4, -6, -8, -12};

/// e | qs[16]: the scale is 2^(e - 127), halved as the levels are doubled; NaN where e is 255, as
/// the OCP specification of microscaling formats has it.
struct mxfp4 {
  static constexpr std::size_t elements = 32, bytes = 17;
  static constexpr format fmt{code_type::int5, 32, scale_kind::bfloat16};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    read_nibbles(in + 1, 16, e2m1_levels, q);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    const std::uint32_t e = read_u8(in);
    *scale = e == 255 ? std::numeric_limits<float>::quiet_NaN()
             : e < 2  ? std::bit_cast<float>(std::uint32_t{0x00200000} << e)  // 2^-128, 2^-127
                      : std::bit_cast<float>((e - 1) << 23);
  }
};

/// s[4] | qs[32]: group j has half the unsigned E4M3 number s[j] as its scale (0 and 127 are 0, bit
/// 7 counts nothing) and the nibbles of 8 bytes.
struct nvfp4 {
  static constexpr std::size_t elements = 64, bytes = 36;
  static constexpr format fmt{code_type::int5, 16};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t j = 0; j < 4; ++j) read_nibbles(in + 4 + 8 * j, 8, e2m1_levels, q + 16 * j);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    for (std::size_t j = 0; j < 4; ++j) {
      const unsigned byte = read_u8(in + j), exponent = byte >> 3 & 15u, mantissa = byte & 7u;
      const auto digits = static_cast<float>(exponent == 0 ? mantissa : mantissa + 8);
      // digits 2^(max(exponent, 1) - 10), halved
      const unsigned power = exponent == 0 ? 1 : exponent;
      scale[j] = byte == 0x7f ? 0 : digits * std::bit_cast<float>((power + 127 - 11) << 23);
    }
  }
};

/// d | qs[16]: bit i % 8 of qs[i / 8] is the sign, 1 for +d.
struct q1_0 {
  static constexpr std::size_t elements = 128, bytes = 18;
  static constexpr format fmt{code_type::binary, 128};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 128; ++i)
      q[i] = static_cast<std::int8_t>(
          static_cast<int>(2 * (read_u8(in + 2 + i / 8) >> i % 8 & 1u)) - 1);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept { *scale = read_f16(in); }
};

/// d | qs[16]: code i is bits 2 (i % 4) of qs[i / 4], and 1 stands for 0.
struct q2_0 {
  static constexpr std::size_t elements = 64, bytes = 18;
  static constexpr format fmt{code_type::int2, 64, scale_kind::float16, zero_kind::point};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 64; ++i)
      q[i] = static_cast<std::int8_t>(read_u8(in + 2 + i / 4) >> (2 * (i % 4)) & 3u);
  }
  static void numbers(const std::byte* in, float* scale, float* zero) noexcept {
    *scale = read_f16(in);
    *zero = 1;
  }
};

/// qs[64] | d: level 128 h + 32 g + l is bits 2g of qs[32 h + l] less 1. A code 3, which ggml does
/// not write, is level 2.
struct tq2_0 {
  static constexpr std::size_t elements = 256, bytes = 66;
  static constexpr format fmt{code_type::ternary2, 256};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 256; ++i)
      q[i] = static_cast<std::int8_t>(static_cast<int>(k_two_bits(in, i)) - 1);
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    *scale = read_f16(in + 64);
  }
  static void encode(const std::int8_t* levels, float16 d, float16, std::byte* out) noexcept {
    std::memset(out, 0, 64);
    for (std::size_t i = 0; i < 256; ++i) {
      out[i / 128 * 32 + i % 32] |= static_cast<std::byte>((levels[i] + 1) << (i % 128 / 32 * 2));
    }
    std::memcpy(out + 64, &d.bits, 2);
  }
};

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

/// Digit n of a TQ1_0 byte, floor(3 frac(3^n byte / 256)): in 0..2 for every byte.
constexpr unsigned tq1_digit(unsigned byte, std::size_t n) noexcept {
  return (byte * tq1_powers[n] & 255u) * 3 >> 8;
}
/// The byte of v = sum of digit[n] 3^(4 - n), v < 243: ceil(256 v / 243).
constexpr unsigned tq1_byte(unsigned v) noexcept { return (256 * v + 242) / 243; }

/// qs[48] | qh[4] | d: five base-3 digits a byte, each a level plus 1. Elements 32 n + l are digits
/// n of qs[l], 160 + 16 n + l of qs[32 + l], 240 + 4 n + l of qh[l], which has four.
struct tq1_0 {
  static constexpr std::size_t elements = 256, bytes = 54;
  static constexpr format fmt{code_type::ternary5, 256};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 256; ++i) {
      const auto [byte, digit] = tq1_place_of(i);
      q[i] = static_cast<std::int8_t>(static_cast<int>(tq1_digit(read_u8(in + byte), digit)) - 1);
    }
  }
  static void numbers(const std::byte* in, float* scale, float*) noexcept {
    *scale = read_f16(in + 52);
  }
  static void encode(const std::int8_t* levels, float16 d, float16, std::byte* out) noexcept {
    std::array<unsigned, 52> values{};
    for (std::size_t i = 0; i < 256; ++i) {
      const auto [byte, digit] = tq1_place_of(i);
      values[byte] += static_cast<unsigned>(levels[i] + 1) * tq1_powers[4 - digit];
    }
    for (std::size_t j = 0; j < 52; ++j) out[j] = static_cast<std::byte>(tq1_byte(values[j]));
    std::memcpy(out + 52, &d.bits, 2);
  }
};

/// qs[32]: level 32 p + l is bits 6 - 2p of qs[l] less 1. The scale is the whole tensor's, a float
/// behind its blocks, in 32 bytes of their own (bitnet.cpp's layout for x86; other builds of it
/// write other orders under the same id, which no size tells apart).
struct i2_s {
  static constexpr std::size_t elements = 128, bytes = 32, tail = 32;
  static constexpr format fmt{code_type::ternary2, 0, scale_kind::float32};
  static void codes(const std::byte* in, std::int8_t* q) noexcept {
    for (std::size_t i = 0; i < 128; ++i) {
      const unsigned code = read_u8(in + i % 32) >> (6 - 2 * (i / 32)) & 3u;
      q[i] = static_cast<std::int8_t>(static_cast<int>(code) - 1);
    }
  }
  static void numbers(const std::byte*, float* scale, float*) noexcept { *scale = 1; }
};

}  // namespace blocks
}  // namespace detail::io

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
