// SPDX-License-Identifier: Apache-2.0
/// AArch64 NEON as the register operations that the loops of ../loops/ are written in: 4 floats or
/// int32 a register. See the head of each text for what an operation is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/contract.hpp>

#if EDGERAZOR_ARM64

#include <arm_neon.h>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

#define EDGERAZOR_ISA EDGERAZOR_TARGET_NEON
#define EDGERAZOR_OP EDGERAZOR_ISA EDGERAZOR_INLINE

using real_vector = float32x4_t;
using int_vector = int32x4_t;
inline constexpr std::size_t lanes = 4, parts = 4;

EDGERAZOR_OP real_vector load(const float* at) noexcept { return vld1q_f32(at); }
// Scales lie where their matrix lies, at any address.
EDGERAZOR_OP real_vector load(const float16* at) noexcept {
  uint16x4_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return vcvt_f32_f16(vreinterpret_f16_u16(bits));
}
EDGERAZOR_OP real_vector load(const bfloat16* at) noexcept {
  uint16x4_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}
EDGERAZOR_OP int_vector load(const std::int32_t* at) noexcept { return vld1q_s32(at); }
template <class T>
EDGERAZOR_OP real_vector load_first(const T* at, std::size_t count) noexcept {
  T some[lanes] = {};
  std::memcpy(some, at, count * sizeof(T));
  return load(some);
}
EDGERAZOR_OP void store(float* to, real_vector v) noexcept { vst1q_f32(to, v); }
EDGERAZOR_OP void store_first(float* to, real_vector v, std::size_t count) noexcept {
  float some[lanes];
  store(some, v);
  std::memcpy(to, some, count * sizeof(float));
}
EDGERAZOR_OP real_vector splat(float x) noexcept { return vdupq_n_f32(x); }
EDGERAZOR_OP int_vector splat(std::int32_t x) noexcept { return vdupq_n_s32(x); }

/// The result of an operation as it is: see EDGERAZOR_KEEP.
EDGERAZOR_OP real_vector kept(real_vector v) noexcept {
  EDGERAZOR_KEEP(v);
  return v;
}
EDGERAZOR_OP real_vector add(real_vector a, real_vector b) noexcept {
  return kept(vaddq_f32(a, b));
}
EDGERAZOR_OP int_vector add(int_vector a, int_vector b) noexcept { return vaddq_s32(a, b); }
EDGERAZOR_OP real_vector subtract(real_vector a, real_vector b) noexcept {
  return kept(vsubq_f32(a, b));
}
EDGERAZOR_OP int_vector subtract(int_vector a, int_vector b) noexcept { return vsubq_s32(a, b); }
EDGERAZOR_OP real_vector multiply(real_vector a, real_vector b) noexcept {
  return kept(vmulq_f32(a, b));
}
EDGERAZOR_OP real_vector divide(real_vector a, real_vector b) noexcept {
  EDGERAZOR_KEEP_BOTH(a, b);
  return kept(vdivq_f32(a, b));
}
EDGERAZOR_OP real_vector multiply_add(real_vector a, real_vector b, real_vector c) noexcept {
  return vfmaq_f32(c, a, b);
}
EDGERAZOR_OP real_vector negated_multiply_add(real_vector a, real_vector b,
                                              real_vector c) noexcept {
  return vfmsq_f32(c, a, b);
}
EDGERAZOR_OP real_vector larger(real_vector a, real_vector b) noexcept {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
EDGERAZOR_OP real_vector smaller(real_vector a, real_vector b) noexcept {
  return vbslq_f32(vcltq_f32(a, b), a, b);
}
EDGERAZOR_OP int_vector magnitude_bits(real_vector v) noexcept {
  return vandq_s32(vreinterpretq_s32_f32(v), vdupq_n_s32(0x7fffffff));
}
EDGERAZOR_OP int_vector larger(int_vector a, int_vector b) noexcept { return vmaxq_s32(a, b); }
EDGERAZOR_OP real_vector first_of(std::size_t count, real_vector a, real_vector b) noexcept {
  const std::uint32_t index[lanes] = {0, 1, 2, 3};
  const uint32x4_t below =
      vcltq_u32(vld1q_u32(index), vdupq_n_u32(static_cast<std::uint32_t>(count)));
  return vbslq_f32(below, a, b);
}
EDGERAZOR_OP real_vector round_to_even(real_vector v) noexcept { return vrndnq_f32(v); }
EDGERAZOR_OP real_vector to_float(int_vector v) noexcept { return vcvtq_f32_s32(v); }
EDGERAZOR_OP int_vector to_int(real_vector v) noexcept { return vcvtq_s32_f32(v); }  // NaN: 0
EDGERAZOR_OP int_vector half_of(int_vector v) noexcept { return vshrq_n_s32(v, 1); }
EDGERAZOR_OP real_vector power_of_two(int_vector n) noexcept {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
EDGERAZOR_OP float fold(real_vector v) noexcept {
  return vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)));
}
EDGERAZOR_OP std::int32_t largest_lane(int_vector v) noexcept { return vmaxvq_s32(v); }
EDGERAZOR_OP std::int32_t sum_lanes(int_vector v) noexcept { return vaddvq_s32(v); }
EDGERAZOR_OP int_vector load_bytes(const std::int8_t* at) noexcept {
  std::int32_t four;
  std::memcpy(&four, at, sizeof four);
  return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)))));
}
EDGERAZOR_OP real_vector load_levels(const std::int8_t* at) noexcept {
  return vcvtq_f32_s32(load_bytes(at));
}
EDGERAZOR_OP real_vector gather(const float* x, const std::uint16_t* columns) noexcept {
  const float some[lanes] = {x[columns[0]], x[columns[1]], x[columns[2]], x[columns[3]]};
  return load(some);
}
EDGERAZOR_OP real_vector add_product(real_vector v, real_vector x, real_vector c) noexcept {
  return vbslq_f32(vceqzq_f32(v), c, vfmaq_f32(c, v, x));
}
EDGERAZOR_OP void store_codes(std::int8_t* to, int_vector v) noexcept {
  const int16x4_t words = vmovn_s32(v);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  const std::int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
  std::memcpy(to, &four, sizeof four);
}
EDGERAZOR_OP real_vector panel_levels(const std::uint8_t* rows, std::size_t b,
                                      int_vector zero) noexcept {
  const int32x4_t right_shift = vdupq_n_s32(-8 * static_cast<int>(b));
  const uint32x4_t codes = vshlq_u32(vreinterpretq_u32_u8(vld1q_u8(rows)), right_shift);
  return vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(vandq_u32(codes, vdupq_n_u32(0xff))), zero));
}

EDGERAZOR_OP void store(std::int32_t* to, int_vector v) noexcept { vst1q_s32(to, v); }
EDGERAZOR_OP int_vector shift_left(int_vector v, unsigned count) noexcept {
  return vshlq_s32(v, vdupq_n_s32(static_cast<int>(count)));
}

using byte_vector = uint8x16_t;
EDGERAZOR_OP byte_vector load(const std::uint8_t* at) noexcept { return vld1q_u8(at); }
EDGERAZOR_OP void store(std::uint8_t* to, byte_vector v) noexcept { vst1q_u8(to, v); }
EDGERAZOR_OP byte_vector either(byte_vector a, byte_vector b) noexcept { return vorrq_u8(a, b); }
EDGERAZOR_OP byte_vector shift_bytes_left(byte_vector v, unsigned count) noexcept {
  return vshlq_u8(v, vdupq_n_s8(static_cast<std::int8_t>(count)));
}

#include <edgerazor/kernel/loops/registers.inl>

/// Left to the processor: not measured on one.
EDGERAZOR_OP void prefetch(const std::uint8_t*) noexcept {}
EDGERAZOR_OP void prefetch_line(const void*) noexcept {}
inline void prefetch_bytes(const std::byte*, std::size_t) noexcept {}

#undef EDGERAZOR_OP
#undef EDGERAZOR_ISA

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
