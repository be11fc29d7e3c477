// SPDX-License-Identifier: Apache-2.0
/// The vectors of the build's own instruction set, through xsimd: SSE2 or NEON without a flag, and
/// any other machine. What an operation does is said in each.inl.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/vector/division.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::vector::portable {

inline constexpr std::string_view name = "portable";
/// fma, fms and fnma round once.
inline constexpr bool fuses = false;
[[nodiscard]] inline bool supported() noexcept { return true; }

using floats = xsimd::batch<float, xsimd::default_arch>;
using doubles = xsimd::batch<double, xsimd::default_arch>;
using words = xsimd::batch<std::int32_t, xsimd::default_arch>;
using float_mask = floats::batch_bool_type;
using double_mask = doubles::batch_bool_type;

using xsimd::abs;
using xsimd::any;
using xsimd::fma;
using xsimd::fms;
using xsimd::fnma;
using xsimd::max;
using xsimd::min;
using xsimd::reduce_add;
using xsimd::reduce_max;
using xsimd::select;
using xsimd::to_float;

[[nodiscard]] EDGERAZOR_INLINE words bits_of(const floats& a) noexcept {
  return xsimd::bitwise_cast<std::int32_t>(a);
}
[[nodiscard]] EDGERAZOR_INLINE floats from_bits(const words& a) noexcept {
  return xsimd::bitwise_cast<float>(a);
}
template <int Bits>
[[nodiscard]] EDGERAZOR_INLINE words shift_left(const words& a) noexcept {
  return a << Bits;
}
template <int Bits>
[[nodiscard]] EDGERAZOR_INLINE words shift_right(const words& a) noexcept {
  return a >> Bits;
}
[[nodiscard]] EDGERAZOR_INLINE floats power_of_shifted(const floats& shifted) noexcept {
  return from_bits(shift_left<23>(bits_of(shifted) - words{0x4b400000 - 127}));
}
[[nodiscard]] EDGERAZOR_INLINE doubles power_of_shifted(const doubles& shifted) noexcept {
  using longs = xsimd::batch<std::int64_t, xsimd::default_arch>;
  const longs exponent =
      xsimd::bitwise_cast<std::int64_t>(shifted) - longs{0x4338000000000000 - 1023};
  return xsimd::bitwise_cast<double>(exponent << 52);
}

[[nodiscard]] EDGERAZOR_INLINE doubles raw_exponent(const doubles& a) noexcept {
  using longs = xsimd::batch<std::uint64_t, xsimd::default_arch>;
  // The bits of 2^52, whose low ones count in units of 1.
  const doubles two_52{4503599627370496.0};
  const longs field = xsimd::bitwise_cast<std::uint64_t>(a) >> 52;
  return xsimd::bitwise_cast<double>(field | xsimd::bitwise_cast<std::uint64_t>(two_52)) - two_52;
}

/// 2^n for x = 1.5 * 2^23 + n, where that is a normal number.
inline constexpr unsigned power_steps = 1;
[[nodiscard]] EDGERAZOR_INLINE floats power_of_steps(const floats& shifted) noexcept {
  return power_of_shifted(shifted);
}
[[nodiscard]] EDGERAZOR_INLINE floats where(const float_mask& mask, const floats& a) noexcept {
  return xsimd::select(mask, a, floats{0.0f});
}

// What the loops of quantizers have beside that; quotient, kept and ordered are in division.hpp.

/// On x86 its one instruction for a maximum; other machines, and vectors that are emulated
/// (arrays), give NaN or the number there.
[[nodiscard]] EDGERAZOR_INLINE floats larger(const floats& a, const floats& b) noexcept {
  if constexpr (EDGERAZOR_X86 != 0 && is_register<xsimd::default_arch>) return xsimd::max(a, b);
  return xsimd::select(a > b, a, b);
}
[[nodiscard]] EDGERAZOR_INLINE bool any_negative(const words& a) noexcept {
  return xsimd::any(a < words{0});
}
[[nodiscard]] EDGERAZOR_INLINE std::int32_t largest_lane(const words& a) noexcept {
  return xsimd::reduce_max(a);
}
template <std::size_t Parts>
EDGERAZOR_INLINE void store_bytes(std::uint8_t* to, const words (&a)[Parts]) noexcept {
  std::int32_t wide[Parts * words::size];
  EDGERAZOR_UNROLL
  for (std::size_t j = 0; j < Parts; ++j) a[j].store_unaligned(wide + j * words::size);
  for (std::size_t i = 0; i < Parts * words::size; ++i) to[i] = static_cast<std::uint8_t>(wide[i]);
}
template <std::size_t Parts>
EDGERAZOR_INLINE void load_block(const float* at, floats (&to)[Parts]) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t j = 0; j < Parts; ++j) to[j] = floats::load_unaligned(at + j * floats::size);
}
template <class T, std::size_t Parts>
EDGERAZOR_INLINE void load_block(const T* at, floats (&to)[Parts]) noexcept {
  float wide[Parts * floats::size];
  core::convert_elements(at, Parts * floats::size, wide);
  load_block(wide, to);
}
template <std::size_t Parts>
EDGERAZOR_INLINE void store_block(float* to, const floats (&a)[Parts]) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t j = 0; j < Parts; ++j) a[j].store_unaligned(to + j * floats::size);
}
template <class T, std::size_t Parts>
EDGERAZOR_INLINE void store_block(T* to, const floats (&a)[Parts]) noexcept {
  float wide[Parts * floats::size];
  store_block(wide, a);
  core::convert_elements(wide, Parts * floats::size, to);
}

}  // namespace detail::kernel::vector::portable
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
