// SPDX-License-Identifier: Apache-2.0
/// The two 16-bit floating-point types as plain storage with exact conversions; arithmetic is
/// always done in float.
///
/// Conversions to 16 bits round to nearest, ties to even (IEEE 754 roundTiesToEven), give infinity
/// past the largest finite value, keep subnormals and keep NaN a (quiet) NaN. Conversions to float
/// are exact.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::core {
// Branch-free: GCC does not vectorize loops over these functions if they contain a conditional.

/// All bits where a < b, else none; where 32 bits hold the difference.
constexpr std::int32_t mask_less(std::int32_t a, std::int32_t b) noexcept { return (a - b) >> 31; }
constexpr std::int32_t positive_part(std::int32_t a) noexcept { return a & ~(a >> 31); }

/// IEEE 754 binary16 from binary32. With e the exponent of |x|, but at least -14, a unit in the
/// last place is 2^(e - 10), in binary32 that of 2^(e + 13). Adding 2^(e + 13) therefore rounds as
/// it should; the difference of the bits is the rounded |x| in those units.
constexpr std::uint32_t float_to_half_bits(float value) noexcept {
  const auto bits = std::bit_cast<std::int32_t>(value);
  const std::int32_t magnitude = bits & 0x7fffffff;
  // 65536 already becomes infinity, exponent 31 and no mantissa.
  const std::int32_t clamped =
      magnitude - positive_part(magnitude - std::bit_cast<std::int32_t>(65536.0f));
  const std::int32_t exponent =
      positive_part((clamped & 0x7f800000) - (113 << 23));  // e + 14, at its place in 32 bits
  const std::int32_t unit = exponent + (126 << 23);         // 2^(e + 13)
  const float rounded = std::bit_cast<float>(clamped) + std::bit_cast<float>(unit);
  // A normal number's implicit bit counts as 1 in the exponent, and so does a carry out of
  // rounding.
  const std::int32_t half = std::bit_cast<std::int32_t>(rounded) - unit + (exponent >> 13);
  return static_cast<std::uint32_t>(half | (mask_less(0x7f800000, magnitude) & 0x200) |
                                    (bits >> 16 & 0x8000));
}

constexpr float half_bits_to_float(std::uint16_t half) noexcept {
  const std::int32_t sign = (half & 0x8000) << 16, magnitude = (half & 0x7fff) << 13;
  // The exponent is 112 more in the larger type, and 224 more for infinity and NaN.
  const std::int32_t is_special = mask_less((31 << 23) - 1, magnitude);
  const std::int32_t normal = magnitude + (112 << 23) + (is_special & 112 << 23);
  // A subnormal of mantissa m is m 2^-24: put behind the exponent of 2^-14 it is 2^-14 + m 2^-24.
  const std::int32_t is_small = mask_less(magnitude, 1 << 23);
  const float subnormal = std::bit_cast<float>((magnitude & 0x7fffff) + (113 << 23)) - 0x1p-14f;
  const std::int32_t finite =
      (std::bit_cast<std::int32_t>(subnormal) & is_small) | (normal & ~is_small);
  return std::bit_cast<float>(finite | sign);
}

constexpr std::uint32_t float_to_bfloat_bits(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
}  // namespace detail::core

/// IEEE 754 binary16: 11 significant bits, largest finite value 65504, smallest positive 2^-24.
struct float16 {
  std::uint16_t bits = 0;

  float16() = default;
  constexpr explicit float16(float value) noexcept
      : bits(static_cast<std::uint16_t>(detail::core::float_to_half_bits(value))) {}
  constexpr operator float() const noexcept { return detail::core::half_bits_to_float(bits); }
  static constexpr float16 from_bits(std::uint16_t bits) noexcept {
    float16 result;
    result.bits = bits;
    return result;
  }
};

/// The upper half of a float: 8 significant bits, float's range.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  constexpr explicit bfloat16(float value) noexcept
      : bits(static_cast<std::uint16_t>(detail::core::float_to_bfloat_bits(value))) {}
  constexpr operator float() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  static constexpr bfloat16 from_bits(std::uint16_t bits) noexcept {
    bfloat16 result;
    result.bits = bits;
    return result;
  }
};

static_assert(sizeof(float16) == 2 && sizeof(bfloat16) == 2);
static_assert(std::is_trivially_copyable_v<float16> && std::is_trivially_copyable_v<bfloat16>);

namespace detail::core {
template <class T>
inline constexpr bool is_real_element = false;
template <>
inline constexpr bool is_real_element<float> = true;
template <>
inline constexpr bool is_real_element<float16> = true;
template <>
inline constexpr bool is_real_element<bfloat16> = true;
}  // namespace detail::core

/// The element types a matrix of real numbers may have: float, float16, bfloat16.
template <class T>
concept real_element = detail::core::is_real_element<std::remove_const_t<T>>;

namespace detail::core {
constexpr float element_value(const float& x) noexcept { return x; }
// By the member: compilers vectorize loops over numbers, not loops over conversions of classes.
constexpr float element_value(const float16& x) noexcept { return half_bits_to_float(x.bits); }
constexpr float element_value(const bfloat16& x) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

/// out[i] = in[i], rounded once where To is narrower than From. The two do not overlap.
template <real_element From, real_element To>
inline void convert_elements(const From* EDGERAZOR_RESTRICT in, std::size_t count,
                             To* EDGERAZOR_RESTRICT out) noexcept {
  constexpr std::size_t step = 16;  // a constant number of rounds
  if constexpr (std::is_same_v<From, To>) {
    if (count != 0) std::memcpy(out, in, count * sizeof(To));
  } else if constexpr (std::is_same_v<To, float>) {
    for (; count >= step; count -= step, in += step, out += step) {
      for (std::size_t i = 0; i < step; ++i) out[i] = element_value(in[i]);
    }
    for (std::size_t i = 0; i < count; ++i) out[i] = element_value(in[i]);
  } else {
    for (; count >= step; count -= step, in += step, out += step) {
      // All of it in 32 bits: g++ would narrow each term of a result that is stored in 16.
      std::uint32_t bits[step];
      for (std::size_t i = 0; i < step; ++i) {
        const float value = element_value(in[i]);
        bits[i] =
            std::is_same_v<To, float16> ? float_to_half_bits(value) : float_to_bfloat_bits(value);
      }
      for (std::size_t i = 0; i < step; ++i) out[i].bits = static_cast<std::uint16_t>(bits[i]);
    }
    for (std::size_t i = 0; i < count; ++i) out[i] = To{element_value(in[i])};
  }
}
}  // namespace detail::core

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
