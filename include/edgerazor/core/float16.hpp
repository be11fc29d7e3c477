/// The two 16-bit floating-point types as plain storage with exact conversions; arithmetic is always done in float.
///
/// Conversions to 16 bits round to nearest, ties to even (IEEE 754 roundTiesToEven), give infinity past the largest
/// finite value, keep subnormals and keep NaN a (quiet) NaN. Conversions to float are exact.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace edgerazor::inline v0 {

namespace detail {
/// IEEE 754 binary16 from binary32 by integer arithmetic, round to nearest even.
constexpr std::uint16_t float_to_half_bits(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to 65536 or more
  if (magnitude < 0x33000001u) return sign;                                         // at most 2^-25: a tie goes to zero
  std::uint32_t mantissa = (magnitude & 0x007fffffu) | 0x00800000u;
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  // A normal half keeps 11 of the 24 significant bits; below 2^-14 one fewer for each power of two.
  const int dropped = exponent >= -14 ? 13 : 13 + (-14 - exponent);
  const std::uint32_t half = 1u << (dropped - 1), rest = mantissa & ((half << 1) - 1);
  mantissa >>= dropped;
  if (rest > half || (rest == half && (mantissa & 1u))) ++mantissa;
  // The implicit bit of a normal mantissa adds 1 to the exponent field, and so does a carry out of rounding.
  const std::uint32_t field = exponent >= -14 ? static_cast<std::uint32_t>(exponent + 14) << 10 : 0;
  return static_cast<std::uint16_t>(sign | (field + mantissa));
}

constexpr float half_bits_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(subnormal));
}

constexpr std::uint16_t float_to_bfloat_bits(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
}  // namespace detail

/// IEEE 754 binary16: 11 significant bits, largest finite value 65504, smallest positive 2^-24.
struct float16 {
  std::uint16_t bits = 0;

  float16() = default;
  constexpr explicit float16(float value) noexcept : bits(detail::float_to_half_bits(value)) {}
  constexpr operator float() const noexcept { return detail::half_bits_to_float(bits); }
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
  constexpr explicit bfloat16(float value) noexcept : bits(detail::float_to_bfloat_bits(value)) {}
  constexpr operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  static constexpr bfloat16 from_bits(std::uint16_t bits) noexcept {
    bfloat16 result;
    result.bits = bits;
    return result;
  }
};

static_assert(sizeof(float16) == 2 && sizeof(bfloat16) == 2);
static_assert(std::is_trivially_copyable_v<float16> && std::is_trivially_copyable_v<bfloat16>);

namespace detail {
template <class T>
inline constexpr bool is_real_element = false;
template <>
inline constexpr bool is_real_element<float> = true;
template <>
inline constexpr bool is_real_element<float16> = true;
template <>
inline constexpr bool is_real_element<bfloat16> = true;
}  // namespace detail

/// The element types a matrix of real numbers may have: float, float16, bfloat16.
template <class T>
concept real_element = detail::is_real_element<std::remove_const_t<T>>;

}  // namespace edgerazor::inline v0
