// SPDX-License-Identifier: Apache-2.0
/// AArch64 NEON: a 128-bit register is a quarter of a chunk, 4 rows x 4 columns in each field of
/// its bytes. What the codecs' bytes are in such registers.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_ARM64

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <arm_neon.h>

#include <edgerazor/kernel/base3_digits.hpp>
#include <edgerazor/kernel/contract.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

/// Quarters of a chunk, of a tile's rows.
inline constexpr std::size_t quarters = 4;

EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE uint8x16_t masked(uint8x16_t v, unsigned mask) noexcept {
  return vandq_u8(v, vdupq_n_u8(static_cast<std::uint8_t>(mask)));
}

/// 4 activations, for every row.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE int8x16_t broadcast4(const std::int8_t* x) noexcept {
  std::int32_t four;
  std::memcpy(&four, x, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/// The five digits of each byte as 2-bit fields. With byte = 9 * u + v, v = 0..8 are digits 0 and
/// 1, u = 0..26 the others. base3_digits.hpp proves the division.
struct base3_fields {
  uint8x16_t digits01, digits234;

  EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE explicit base3_fields(uint8x16_t bytes) noexcept {
    const uint8x16_t b = vminq_u8(bytes, vdupq_n_u8(242)), factor = vdupq_n_u8(57);
    const uint16x8_t low = vmull_u8(vget_low_u8(b), vget_low_u8(factor)),
                     high = vmull_high_u8(b, factor);
    const uint8x16_t upper =
        vuzp2q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));  // 57 * b >> 8
    const uint8x16_t u = vshrq_n_u8(upper, 1), v = vmlsq_u8(b, u, vdupq_n_u8(9));
    uint8x16x2_t table;
    table.val[0] = vld1q_u8(detail::kernel::digits_of_27.fields);
    table.val[1] = vld1q_u8(detail::kernel::digits_of_27.fields + 16);
    digits01 = vqtbl1q_u8(table.val[0], v);
    digits234 = vqtbl2q_u8(table, u);
  }
};

/// One code a byte, field by field.
template <unsigned Fields>
struct row_codes {
  uint8x16_t of_field[Fields];
};

/// The codes of 4 rows of a chunk, or of a panel's slot, which holds one field.
template <code_type Type, unsigned Fields = codec_of(Type).fields>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE matrix::row_codes<Fields> split(uint8x16_t bytes) noexcept {
  if constexpr (Fields == 1) {
    return {{bytes}};
  } else if constexpr (Type == code_type::ternary2) {
    return {{masked(bytes, 3), masked(vshrq_n_u8(bytes, 2), 3), masked(vshrq_n_u8(bytes, 4), 3),
             vshrq_n_u8(bytes, 6)}};
  } else if constexpr (Type == code_type::int4) {
    return {{masked(bytes, 15), vshrq_n_u8(bytes, 4)}};
  } else {
    const base3_fields digits(bytes);
    return {{masked(digits.digits01, 3), vshrq_n_u8(digits.digits01, 2),
             masked(digits.digits234, 3), masked(vshrq_n_u8(digits.digits234, 2), 3),
             vshrq_n_u8(digits.digits234, 4)}};
  }
}

/// Whether signed bytes hold the codes. An 8-bit code does not fit: its top bit is turned over,
/// which is code - 128, its level.
template <code_type Type>
inline constexpr bool fits_signed = codec_of(Type).radix <= 128;

template <code_type Type>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE int8x16_t as_signed(uint8x16_t codes) noexcept {
  if constexpr (fits_signed<Type>) return vreinterpretq_s8_u8(codes);
  return vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)));
}
/// What is to be added to a sum of signed bytes times x to have that of levels.
template <code_type Type>
constexpr std::int32_t level_offset(std::int32_t x_sum) noexcept {
  return fits_signed<Type> ? -codec_of(Type).zero_code * x_sum : 0;
}
/// What is to be added to have that of codes.
template <code_type Type>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE std::int32_t code_offset(const std::int8_t* x,
                                                                std::size_t cols) noexcept {
  std::int32_t sum = 0;
  if constexpr (!fits_signed<Type>) {
    for (; cols >= 16; cols -= 16, x += 16) sum += vaddlvq_s8(vld1q_s8(x));
    for (; cols > 0; --cols) sum += *x++;
  }
  return 128 * sum;
}

template <code_type Type>
void unpack(const tile_codes& w, std::size_t begin, std::size_t end, std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t first = begin / fields * fields; first < end; first += fields) {
    const std::uint8_t* chunk = w.chunks + chunk_bytes * (first / fields);
    for (std::size_t q = 0; q < quarters; ++q) {
      const matrix::row_codes<fields> codes = split<Type>(vld1q_u8(chunk + 16 * q));
      EDGERAZOR_UNROLL
      for (unsigned f = 0; f < fields; ++f) {
        if (first + f < begin || first + f >= end) continue;
        vst1q_u8(panel + chunk_bytes * (first + f - begin) + 16 * q, codes.of_field[f]);
      }
    }
  }
}

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
