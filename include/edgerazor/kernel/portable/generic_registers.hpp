// SPDX-License-Identifier: Apache-2.0
/// xsimd's vectors of the build's own instruction set as the register operations that the loops of
/// ../loops/ are written in: 4, 8 or 16 floats or int32 a register. See the head of each text for
/// what an operation is.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/vector/division.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::generic {

#define EDGERAZOR_ISA
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

using arch = xsimd::default_arch;
using real_vector = xsimd::batch<float, arch>;
using int_vector = xsimd::batch<std::int32_t, arch>;
inline constexpr std::size_t lanes = real_vector::size, parts = 16 / lanes;
static_assert(tile_rows % lanes == 0 && int_vector::size == lanes,
              "the 16 rows of a tile are a whole number of vectors");

EDGERAZOR_OP real_vector load(const float* at) noexcept { return real_vector::load_unaligned(at); }
EDGERAZOR_OP int_vector load(const std::int32_t* at) noexcept {
  return int_vector::load_unaligned(at);
}
EDGERAZOR_OP real_vector load(const bfloat16* at) noexcept {
  bfloat16 some[lanes];
  std::memcpy(some, at, sizeof some);  // scales lie where their matrix lies, at any address
  std::uint32_t wide[lanes];
  for (std::size_t i = 0; i < lanes; ++i) wide[i] = std::uint32_t{some[i].bits} << 16;
  return xsimd::bitwise_cast<float>(xsimd::batch<std::uint32_t, arch>::load_unaligned(wide));
}
/// By integers: normal numbers move to float's exponent, subnormal ones are a multiple of 2^-24,
/// the largest exponent is that of infinity and NaN.
EDGERAZOR_OP real_vector load(const float16* at) noexcept {
  float16 some[lanes];
  std::memcpy(some, at, sizeof some);
  std::int32_t wide[lanes];
  for (std::size_t i = 0; i < lanes; ++i) wide[i] = some[i].bits;
  const int_vector half = load(wide), magnitude = half & int_vector(0x7fff);
  const int_vector subnormal =
      xsimd::bitwise_cast<std::int32_t>(xsimd::to_float(magnitude) * real_vector(0x1p-24f));
  const int_vector normal = (magnitude << 13) + int_vector(112 << 23),
                   special = (magnitude << 13) | int_vector(0x7f800000);
  const int_vector finite = xsimd::select(magnitude < int_vector(0x400), subnormal, normal);
  const int_vector result = xsimd::select(magnitude < int_vector(0x7c00), finite, special);
  return xsimd::bitwise_cast<float>(result | ((half & int_vector(0x8000)) << 16));
}
template <class T>
EDGERAZOR_OP real_vector load_first(const T* at, std::size_t count) noexcept {
  T some[lanes] = {};
  std::memcpy(some, at, count * sizeof(T));
  return load(some);
}
EDGERAZOR_OP void store(float* to, const real_vector& v) noexcept { v.store_unaligned(to); }
EDGERAZOR_OP void store_first(float* to, const real_vector& v, std::size_t count) noexcept {
  float some[lanes];
  v.store_unaligned(some);
  std::memcpy(to, some, count * sizeof(float));
}
EDGERAZOR_OP real_vector splat(float x) noexcept { return real_vector(x); }
EDGERAZOR_OP int_vector splat(std::int32_t x) noexcept { return int_vector(x); }

EDGERAZOR_OP int_vector add(const int_vector& a, const int_vector& b) noexcept { return a + b; }
EDGERAZOR_OP int_vector subtract(const int_vector& a, const int_vector& b) noexcept {
  return a - b;
}
EDGERAZOR_OP real_vector add(const real_vector& a, const real_vector& b) noexcept {
  return vector::portable::kept(a + b);
}
EDGERAZOR_OP real_vector subtract(const real_vector& a, const real_vector& b) noexcept {
  return vector::portable::kept(a - b);
}
EDGERAZOR_OP real_vector multiply(const real_vector& a, const real_vector& b) noexcept {
  return vector::portable::kept(a * b);
}
EDGERAZOR_OP real_vector divide(const real_vector& a, const real_vector& b) noexcept {
  return vector::portable::quotient(a, b);
}

/// Whether xsimd::fma rounds once. Where an architecture has no such instruction, or is not known
/// here to have it, xsimd multiplies and adds, and std::fma, lane by lane, keeps the contract's
/// bits. (MSVC never tells xsimd that Arm has it.)
constexpr bool fuses() noexcept {
  for (const std::string_view known :
       {"fma3", "fma4", "avx512", "arm64", "i8mm", "riscv+rvv", "vmx+vsx", "vxe"}) {
    if (std::string_view(arch::name()).substr(0, known.size()) == known)
      return !(EDGERAZOR_MSVC && EDGERAZOR_ARM64);
  }
  return false;
}
/// Not inlined: it is four calls or more of another, wherever it stands.
EDGERAZOR_NOINLINE inline real_vector multiply_add_lanes(const real_vector& a, const real_vector& b,
                                                         const real_vector& c) noexcept {
  float of_a[lanes], of_b[lanes], of_c[lanes];
  store(of_a, a), store(of_b, b), store(of_c, c);
  for (std::size_t i = 0; i < lanes; ++i) of_c[i] = core::fused(of_a[i], of_b[i], of_c[i]);
  return load(of_c);
}
EDGERAZOR_OP real_vector multiply_add(const real_vector& a, const real_vector& b,
                                      const real_vector& c) noexcept {
  if constexpr (fuses()) {
    return xsimd::fma(a, b, c);
  } else {
    return multiply_add_lanes(a, b, c);
  }
}

EDGERAZOR_OP real_vector negated_multiply_add(const real_vector& a, const real_vector& b,
                                              const real_vector& c) noexcept {
  return multiply_add(-a, b, c);
}

EDGERAZOR_OP real_vector larger(const real_vector& a, const real_vector& b) noexcept {
  return xsimd::select(a > b, a, b);
}
EDGERAZOR_OP real_vector smaller(const real_vector& a, const real_vector& b) noexcept {
  return xsimd::select(a < b, a, b);
}
EDGERAZOR_OP int_vector magnitude_bits(const real_vector& v) noexcept {
  return xsimd::bitwise_cast<std::int32_t>(v) & int_vector(0x7fffffff);
}
EDGERAZOR_OP int_vector larger(const int_vector& a, const int_vector& b) noexcept {
  return xsimd::max(a, b);
}
EDGERAZOR_OP real_vector first_of(std::size_t count, const real_vector& a,
                                  const real_vector& b) noexcept {
  float of_a[lanes], of_b[lanes];
  store(of_a, a), store(of_b, b);
  std::memcpy(of_b, of_a, count * sizeof(float));
  return load(of_b);
}
/// Of |v| < 2^22: adding 1.5 * 2^23 rounds to an integer.
EDGERAZOR_OP real_vector round_to_even(const real_vector& v) noexcept {
  const real_vector shift(12582912.0f);
  return subtract(add(v, shift), shift);
}
EDGERAZOR_OP real_vector to_float(const int_vector& v) noexcept { return xsimd::to_float(v); }
/// NaN, whose conversion is not defined everywhere, becomes 0.
EDGERAZOR_OP int_vector to_int(const real_vector& v) noexcept {
  return xsimd::to_int(xsimd::select(v == v, v, real_vector(0.0f)));
}
EDGERAZOR_OP int_vector half_of(const int_vector& v) noexcept { return v >> 1; }
EDGERAZOR_OP real_vector power_of_two(const int_vector& n) noexcept {
  return xsimd::bitwise_cast<float>((n + int_vector(127)) << 23);
}
EDGERAZOR_OP float fold(const real_vector& v) noexcept {
  float s[lanes];
  store(s, v);
  for (std::size_t half = lanes / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) s[j] = core::exact(s[j] + s[j + half]);
  }
  return s[0];
}
EDGERAZOR_OP std::int32_t largest_lane(const int_vector& v) noexcept {
  std::int32_t some[lanes];
  v.store_unaligned(some);
  std::int32_t largest = some[0];
  for (std::size_t i = 1; i < lanes; ++i) largest = some[i] > largest ? some[i] : largest;
  return largest;
}
EDGERAZOR_OP std::int32_t sum_lanes(const int_vector& v) noexcept { return xsimd::reduce_add(v); }
EDGERAZOR_OP int_vector load_bytes(const std::int8_t* at) noexcept {
  std::int32_t wide[lanes];
  for (std::size_t i = 0; i < lanes; ++i) wide[i] = at[i];
  return load(wide);
}
EDGERAZOR_OP real_vector load_levels(const std::int8_t* at) noexcept {
  return xsimd::to_float(load_bytes(at));
}
EDGERAZOR_OP real_vector gather(const float* x, const std::uint16_t* columns) noexcept {
  float some[lanes];
  for (std::size_t i = 0; i < lanes; ++i) some[i] = x[columns[i]];
  return load(some);
}
EDGERAZOR_OP real_vector add_product(const real_vector& v, const real_vector& x,
                                     const real_vector& c) noexcept {
  return xsimd::select(v == real_vector(0.0f), c, multiply_add(v, x, c));
}
EDGERAZOR_OP void store_codes(std::int8_t* to, const int_vector& v) noexcept {
  std::int32_t wide[lanes];
  v.store_unaligned(wide);
  for (std::size_t i = 0; i < lanes; ++i) to[i] = static_cast<std::int8_t>(wide[i]);
}
EDGERAZOR_OP real_vector panel_levels(const std::uint8_t* rows, std::size_t b,
                                      const int_vector& zero) noexcept {
  const auto bytes = xsimd::batch<std::uint8_t, arch>::load_unaligned(rows);
  const int_vector codes =
      (xsimd::bitwise_cast<std::int32_t>(bytes) >> static_cast<int>(8 * b)) & int_vector(0xff);
  return xsimd::to_float(codes - zero);
}

EDGERAZOR_OP void store(std::int32_t* to, const int_vector& v) noexcept { v.store_unaligned(to); }
EDGERAZOR_OP int_vector shift_left(const int_vector& v, unsigned count) noexcept {
  return v << static_cast<int>(count);
}

using byte_vector = xsimd::batch<std::uint8_t, arch>;
using word_vector = xsimd::batch<std::uint16_t, arch>;
static_assert(byte_vector::size == slot_cols * lanes);
EDGERAZOR_OP byte_vector load(const std::uint8_t* at) noexcept {
  return byte_vector::load_unaligned(at);
}
EDGERAZOR_OP void store(std::uint8_t* to, const byte_vector& v) noexcept { v.store_unaligned(to); }
EDGERAZOR_OP byte_vector either(const byte_vector& a, const byte_vector& b) noexcept {
  return a | b;
}
EDGERAZOR_OP byte_vector shift_bytes_left(const byte_vector& v, unsigned count) noexcept {
  return xsimd::bitwise_cast<std::uint8_t>(xsimd::bitwise_cast<std::uint16_t>(v)
                                           << static_cast<int>(count));
}

#include <edgerazor/kernel/loops/registers.inl>

/// Nothing that every compiler could be asked for.
EDGERAZOR_OP void prefetch(const std::uint8_t*) noexcept {}
EDGERAZOR_OP void prefetch_line(const void*) noexcept {}
inline void prefetch_bytes(const std::byte*, std::size_t) noexcept {}

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::generic
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
