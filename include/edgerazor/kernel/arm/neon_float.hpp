// SPDX-License-Identifier: Apache-2.0
/// The float functions of AArch64 NEON: 16 floats are four registers. See kernel.hpp for the
/// contract of each, scalar.hpp for the truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_ARM64

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <arm_neon.h>

#include <edgerazor/kernel/arm/neon_codes.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

/// 4 stored numbers as floats, exact.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t load4(const float* at) noexcept {
  return vld1q_f32(at);
}
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t load4(const float16* at) noexcept {
  uint16x4_t bits;
  std::memcpy(&bits, at, sizeof bits);  // scales lie where their matrix lies, at any address
  return vcvt_f32_f16(vreinterpret_f16_u16(bits));
}
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t load4(const bfloat16* at) noexcept {
  uint16x4_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

/// a * b + c, rounded once.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t multiply_add(float32x4_t a, float32x4_t b,
                                                                float32x4_t c) noexcept {
  return vfmaq_f32(c, a, b);
}

/// 16 floats.
struct reals {
  float32x4_t part[4];
};
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE reals load16(const float* at) noexcept {
  return {{vld1q_f32(at), vld1q_f32(at + 4), vld1q_f32(at + 8), vld1q_f32(at + 12)}};
}
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void store16(float* to, const reals& v) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < quarters; ++q) vst1q_f32(to + 4 * q, v.part[q]);
}
/// Halves are added as the contract orders.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float sum_lanes(const reals& s) noexcept {
  const float32x4_t s4 =
      vaddq_f32(vaddq_f32(s.part[0], s.part[2]), vaddq_f32(s.part[1], s.part[3]));
  return vpadds_f32(vadd_f32(vget_low_f32(s4), vget_high_f32(s4)));
}

/// Levels of byte b of 4 rows of a slot.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t levels_of(const std::uint8_t* rows,
                                                             int32x4_t right_shift,
                                                             int32x4_t zero_code) noexcept {
  const uint32x4_t codes = vshlq_u32(vreinterpretq_u32_u8(vld1q_u8(rows)), right_shift);
  return vcvtq_f32_s32(
      vsubq_s32(vreinterpretq_s32_u32(vandq_u32(codes, vdupq_n_u32(0xff))), zero_code));
}

/// Some tokens share each decoded column; one column of each slot at a time, so that their sums
/// stay in registers.
template <std::size_t Tokens>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void panel_float_tokens(const std::uint8_t* panel,
                                                               std::size_t slots, int zero_code,
                                                               const float* x, std::size_t x_stride,
                                                               float* p) noexcept {
  const int32x4_t zero = vdupq_n_s32(zero_code);
  for (std::size_t b = 0; b < slot_cols; ++b) {
    const int32x4_t shift = vdupq_n_s32(-8 * static_cast<int>(b));
    reals sums[Tokens];
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) sums[t] = load16(p + 64 * t + 16 * b);
    for (std::size_t s = 0; s < slots; ++s) {
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < quarters; ++q) {
        const float32x4_t level = levels_of(panel + chunk_bytes * s + 16 * q, shift, zero);
        EDGERAZOR_UNROLL
        for (std::size_t t = 0; t < Tokens; ++t) {
          const float32x4_t column = vdupq_n_f32(x[t * x_stride + slot_cols * s + b]);
          sums[t].part[q] = multiply_add(level, column, sums[t].part[q]);
        }
      }
    }
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) store16(p + 64 * t + 16 * b, sums[t]);
  }
}

inline void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code, const float* x,
                        std::size_t x_stride, std::size_t tokens, float* p) noexcept {
  for (; tokens >= 4; tokens -= 4, x += 4 * x_stride, p += 4 * 64) {
    panel_float_tokens<4>(panel, slots, zero_code, x, x_stride, p);
  }
  for (; tokens > 0; --tokens, x += x_stride, p += 64) {
    panel_float_tokens<1>(panel, slots, zero_code, x, x_stride, p);
  }
}

template <class Scale>
void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                std::size_t groups, float* y) noexcept {
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  reals total = load16(y);
  for (std::size_t g = 0; g < groups; ++g, isum += tile_rows, scales += tile_rows) {
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < quarters; ++q) {
      const float32x4_t scale = vmulq_n_f32(load4(scales + 4 * q), x_scales[g]);
      total.part[q] = multiply_add(vcvtq_f32_s32(vld1q_s32(isum + 4 * q)), scale, total.part[q]);
    }
  }
  store16(y, total);
}

template <class Scale>
void read_scales(const std::byte* w_scales, float* scales) noexcept {
  const Scale* stored = reinterpret_cast<const Scale*>(w_scales);
  for (std::size_t q = 0; q < quarters; ++q) vst1q_f32(scales + 4 * q, load4(stored + 4 * q));
}

template <class Scale>
void scale_floats(const float* p, const std::byte* w_scales, float* y) noexcept {
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  for (std::size_t r = 0; r < tile_rows; r += 4, p += 4) {
    const float32x4_t p01 = vaddq_f32(load4(p), load4(p + 16)),
                      p23 = vaddq_f32(load4(p + 32), load4(p + 48));
    vst1q_f32(y + r, multiply_add(vaddq_f32(p01, p23), load4(scales + r), load4(y + r)));
  }
}

template <std::size_t Rows, std::size_t Tokens, class T>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride,
                                                        std::size_t cols, const float* x,
                                                        std::size_t x_stride, float* y,
                                                        std::size_t y_stride) noexcept {
  reals sums[Rows][Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < 4 * Rows * Tokens; ++i) {
    sums[i / (4 * Tokens)][i / 4 % Tokens].part[i % 4] = vdupq_n_f32(0.0f);
  }
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < quarters; ++q) {
      float32x4_t tokens[Tokens];
      EDGERAZOR_UNROLL
      for (std::size_t t = 0; t < Tokens; ++t) tokens[t] = load4(x + t * x_stride + c + 4 * q);
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        const float32x4_t weights = load4(w + i * w_stride + c + 4 * q);
        EDGERAZOR_UNROLL
        for (std::size_t t = 0; t < Tokens; ++t) {
          sums[i][t].part[q] = multiply_add(weights, tokens[t], sums[i][t].part[q]);
        }
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows; ++i) {
    EDGERAZOR_UNROLL
    for (std::size_t t = 0; t < Tokens; ++t) {
      if (c < cols) {  // lanes past the end keep their sum, the sign of a zero included
        float s[16];
        store16(s, sums[i][t]);
        for (std::size_t j = c; j < cols; ++j) {
          s[j - c] =
              std::fma(static_cast<float>(w[i * w_stride + j]), x[t * x_stride + j], s[j - c]);
        }
        sums[i][t] = load16(s);
      }
      y[t * y_stride + i] = sum_lanes(sums[i][t]);
    }
  }
}

/// In 32 registers: 3 x 2 sums of 16 lanes, or 4 x 1.
template <class T>
void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols, const float* x,
               std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  const std::size_t pairs = tokens / 2 * 2;
  std::size_t i = 0;
  for (; i + 3 <= rows && pairs > 0; i += 3) {
    for (std::size_t t = 0; t < pairs; t += 2) {
      dense_block<3, 2>(w + i * w_stride, w_stride, cols, x + t * x_stride, x_stride,
                        y + t * y_stride + i, y_stride);
    }
  }
  for (; i < rows && pairs > 0; ++i) {
    for (std::size_t t = 0; t < pairs; t += 2) {
      dense_block<1, 2>(w + i * w_stride, w_stride, cols, x + t * x_stride, x_stride,
                        y + t * y_stride + i, y_stride);
    }
  }
  if (pairs == tokens) return;
  x += pairs * x_stride, y += pairs * y_stride;
  for (i = 0; i + 4 <= rows; i += 4)
    dense_block<4, 1>(w + i * w_stride, w_stride, cols, x, x_stride, y + i, y_stride);
  for (; i < rows; ++i)
    dense_block<1, 1>(w + i * w_stride, w_stride, cols, x, x_stride, y + i, y_stride);
}

/// The larger; `other` where one is NaN.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t larger(float32x4_t v,
                                                          float32x4_t other) noexcept {
  return vbslq_f32(vcgtq_f32(v, other), v, other);
}

inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  float32x4_t largest = vdupq_n_f32(0.0f);
  std::size_t c = 0;
  for (; c + 4 <= cols; c += 4) largest = larger(vabsq_f32(load4(x + c)), largest);
  if (c < cols) {
    float some[4] = {};
    std::memcpy(some, x + c, (cols - c) * sizeof(float));
    largest = larger(vabsq_f32(load4(some)), largest);
  }
  return vmaxvq_f32(largest);
}

/// Codes of 8 activations.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE int8x8_t quantize8(const float* x,
                                                          float32x4_t scale) noexcept {
  const float32x4_t low = vdupq_n_f32(-127.0f), high = vdupq_n_f32(127.0f);
  int16x4_t codes[2];
  EDGERAZOR_UNROLL
  for (std::size_t half = 0; half < 2; ++half) {
    const float32x4_t above =
        larger(vdivq_f32(load4(x + 4 * half), scale), low);           // NaN becomes -127
    codes[half] = vmovn_s32(vcvtnq_s32_f32(vminq_f32(above, high)));  // half to even
  }
  return vmovn_s16(vcombine_s16(codes[0], codes[1]));
}

inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                             std::int8_t* codes) noexcept {
  const float32x4_t divisor = vdupq_n_f32(scale);
  int32x4_t sums = vdupq_n_s32(0);
  std::size_t c = 0;
  for (; c + 8 <= cols; c += 8) {
    const int8x8_t eight = quantize8(x + c, divisor);
    vst1_s8(codes + c, eight);
    sums = vpadalq_s16(sums, vmovl_s8(eight));
  }
  std::int32_t sum = vaddvq_s32(sums);
  if (c < cols) {
    float some[8] = {};
    std::memcpy(some, x + c, (cols - c) * sizeof(float));
    std::int8_t eight[8];
    vst1_s8(eight, quantize8(some, divisor));
    std::memcpy(codes + c, eight, cols - c);
    for (std::size_t i = 0; c + i < cols; ++i) sum += eight[i];
  }
  return sum;
}

/// 16 levels as floats.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE reals load_levels(const std::int8_t* at) noexcept {
  const int8x16_t bytes = vld1q_s8(at);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}

/// 16 columns of some mixes.
template <std::size_t Mixes>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void mix_block(const std::int8_t* levels, std::size_t stride,
                                                      const float* weights,
                                                      std::size_t weight_stride,
                                                      std::size_t positions, float* out,
                                                      std::size_t out_stride) noexcept {
  reals totals[Mixes];
  EDGERAZOR_UNROLL
  for (std::size_t m = 0; m < Mixes; ++m) totals[m] = load16(out + m * out_stride);
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    const reals level = load_levels(levels);
    EDGERAZOR_UNROLL
    for (std::size_t m = 0; m < Mixes; ++m) {
      const float32x4_t weight = vdupq_n_f32(weights[m * weight_stride + t]);
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < quarters; ++q) {
        totals[m].part[q] = multiply_add(weight, level.part[q], totals[m].part[q]);
      }
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t m = 0; m < Mixes; ++m) store16(out + m * out_stride, totals[m]);
}

/// Some mixes, all columns; fewer than 16 columns at the end pass through arrays of 16.
template <std::size_t Mixes>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void mix_all_columns(
    const std::int8_t* levels, std::size_t stride, const float* weights, std::size_t weight_stride,
    std::size_t positions, std::size_t cols, float* out, std::size_t out_stride) noexcept {
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    mix_block<Mixes>(levels + c, stride, weights, weight_stride, positions, out + c, out_stride);
  }
  if (c == cols) return;
  std::int8_t some[16] = {};
  float sums[16 * Mixes] = {};
  for (std::size_t m = 0; m < Mixes; ++m) {
    std::memcpy(sums + 16 * m, out + m * out_stride + c, (cols - c) * sizeof(float));
  }
  for (std::size_t t = 0; t < positions; ++t) {
    std::memcpy(some, levels + t * stride + c, cols - c);
    mix_block<Mixes>(some, 0, weights + t, weight_stride, 1, sums, 16);
  }
  for (std::size_t m = 0; m < Mixes; ++m) {
    std::memcpy(out + m * out_stride + c, sums + 16 * m, (cols - c) * sizeof(float));
  }
}

inline void mix(const std::int8_t* levels, std::size_t stride, const float* weights,
                std::size_t weight_stride, std::size_t positions, std::size_t cols,
                std::size_t mixes, float* out, std::size_t out_stride) noexcept {
  for (; mixes >= 4; mixes -= 4, weights += 4 * weight_stride, out += 4 * out_stride) {
    mix_all_columns<4>(levels, stride, weights, weight_stride, positions, cols, out, out_stride);
  }
  for (; mixes > 0; --mixes, weights += weight_stride, out += out_stride) {
    mix_all_columns<1>(levels, stride, weights, weight_stride, positions, cols, out, out_stride);
  }
}

EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE float32x4_t exponentials_of(float32x4_t v) noexcept {
  const float32x4_t lowest = vdupq_n_f32(exponential::lowest),
                    highest = vdupq_n_f32(exponential::highest);
  v = vbslq_f32(vcltq_f32(v, lowest), lowest, v);  // NaN is not less, not greater
  v = vbslq_f32(vcgtq_f32(v, highest), highest, v);
  const float32x4_t n = vrndnq_f32(vmulq_n_f32(v, exponential::log2_e));
  float32x4_t r = vfmaq_f32(v, n, vdupq_n_f32(-exponential::ln2_high));
  r = vfmaq_f32(r, n, vdupq_n_f32(-exponential::ln2_low));
  float32x4_t p = vdupq_n_f32(exponential::terms[0]);
  EDGERAZOR_UNROLL
  for (std::size_t k = 1; k < 8; ++k) p = multiply_add(p, r, vdupq_n_f32(exponential::terms[k]));
  const int32x4_t power = vcvtq_s32_f32(n), half = vshrq_n_s32(power, 1),
                  bias = vdupq_n_s32(127);  // NaN becomes 0
  const int32x4_t rest = vsubq_s32(power, half);
  p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
  return vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}

EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void exponentials16(float* x, float scale, float32x4_t shift,
                                                           reals& sums) noexcept {
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < quarters; ++q) {
    const float32x4_t e = exponentials_of(vmulq_n_f32(vsubq_f32(load4(x + 4 * q), shift), scale));
    vst1q_f32(x + 4 * q, e);
    sums.part[q] = vaddq_f32(sums.part[q], e);
  }
}

inline float exponentials(float* x, std::size_t count, float scale, float shift) noexcept {
  const float32x4_t origin = vdupq_n_f32(shift), zero = vdupq_n_f32(0.0f);
  reals sums{{zero, zero, zero, zero}};
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) exponentials16(x + i, scale, origin, sums);
  if (i < count) {
    float some[16] = {}, s[16];
    std::memcpy(some, x + i, (count - i) * sizeof(float));
    reals ignored = sums;
    exponentials16(some, scale, origin, ignored);
    std::memcpy(x + i, some, (count - i) * sizeof(float));
    store16(s, sums);
    for (std::size_t j = 0; i + j < count; ++j) s[j] += some[j];
    sums = load16(s);
  }
  return sum_lanes(sums);
}

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
