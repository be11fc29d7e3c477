// SPDX-License-Identifier: Apache-2.0
/// The float functions of generic.hpp. See kernel.hpp for the contract of each, scalar.hpp for the
/// truth.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/lanes.hpp>
#include <edgerazor/policy/quantizer.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::generic {

/// The vectors of one architecture, all of the same number of bits.
template <class Arch>
struct vectors {
  using bytes = xsimd::batch<std::uint8_t, Arch>;
  using words = xsimd::batch<std::uint16_t, Arch>;
  using shorts = xsimd::batch<std::int16_t, Arch>;
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  static constexpr std::size_t lanes = ints::size;
  static_assert(tile_rows % lanes == 0 && reals::size == lanes,
                "the 16 rows of a tile are a whole number of vectors");
};

/// Whether xsimd::fma rounds once. Where an architecture has no such instruction, or is not known
/// here to have it, xsimd multiplies and adds, and std::fma, lane by lane, keeps the contract's
/// bits. (MSVC never tells xsimd that Arm has it.)
template <class Arch>
constexpr bool fuses() noexcept {
  for (const std::string_view known :
       {"fma3", "fma4", "avx512", "arm64", "i8mm", "riscv+rvv", "vmx+vsx", "vxe"}) {
    if (std::string_view(Arch::name()).substr(0, known.size()) == known)
      return !(EDGERAZOR_MSVC && EDGERAZOR_ARM64);
  }
  return false;
}

/// a * b + c, rounded once.
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> fused(const xsimd::batch<float, Arch>& a,
                                                 const xsimd::batch<float, Arch>& b,
                                                 const xsimd::batch<float, Arch>& c) noexcept {
  using reals = xsimd::batch<float, Arch>;
  if constexpr (fuses<Arch>()) {
    return xsimd::fma(a, b, c);
  } else {
    float of_a[reals::size], of_b[reals::size], of_c[reals::size];
    a.store_unaligned(of_a), b.store_unaligned(of_b), c.store_unaligned(of_c);
    for (std::size_t i = 0; i < reals::size; ++i) of_c[i] = std::fma(of_a[i], of_b[i], of_c[i]);
    return reals::load_unaligned(of_c);
  }
}

/// One vector of 8- or 16-bit integers, widened.
template <class Arch, class T>
EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> load_ints(const T* at) noexcept {
  std::int32_t wide[vectors<Arch>::lanes];
  for (std::size_t i = 0; i < vectors<Arch>::lanes; ++i) wide[i] = at[i];
  return xsimd::batch<std::int32_t, Arch>::load_unaligned(wide);
}

/// One vector of stored numbers as floats; exact.
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> load_reals(const float* at) noexcept {
  return xsimd::batch<float, Arch>::load_unaligned(at);
}
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> load_reals(const bfloat16* at) noexcept {
  bfloat16 some[vectors<Arch>::lanes];
  std::memcpy(some, at, sizeof some);  // scales lie where their matrix lies, at any address
  std::uint32_t wide[vectors<Arch>::lanes];
  for (std::size_t i = 0; i < vectors<Arch>::lanes; ++i)
    wide[i] = std::uint32_t{some[i].bits} << 16;
  return xsimd::bitwise_cast<float>(xsimd::batch<std::uint32_t, Arch>::load_unaligned(wide));
}
/// By integers: normal numbers move to float's exponent, subnormal ones are a multiple of 2^-24,
/// the largest exponent is that of infinity and NaN.
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> load_reals(const float16* at) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  float16 some[vectors<Arch>::lanes];
  std::memcpy(some, at, sizeof some);
  std::int32_t wide[vectors<Arch>::lanes];
  for (std::size_t i = 0; i < vectors<Arch>::lanes; ++i) wide[i] = some[i].bits;
  const ints half = ints::load_unaligned(wide), magnitude = half & ints(0x7fff);
  const ints subnormal =
      xsimd::bitwise_cast<std::int32_t>(xsimd::to_float(magnitude) * reals(0x1p-24f));
  const ints normal = (magnitude << 13) + ints(112 << 23),
             special = (magnitude << 13) | ints(0x7f800000);
  const ints finite = xsimd::select(magnitude < ints(0x400), subnormal, normal);
  const ints result = xsimd::select(magnitude < ints(0x7c00), finite, special);
  return xsimd::bitwise_cast<float>(result | ((half & ints(0x8000)) << 16));
}

template <class Arch>
EDGERAZOR_INLINE void panel_float_token(const std::uint8_t* panel, std::size_t slots, int zero_code,
                                        const float* x, float* p) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  for (std::size_t r = 0; r < tile_rows; r += ints::size) {
    reals sums[slot_cols];
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) sums[b] = reals::load_unaligned(p + 16 * b + r);
    for (std::size_t s = 0; s < slots; ++s) {
      const auto bytes =
          xsimd::batch<std::uint8_t, Arch>::load_unaligned(panel + chunk_bytes * s + 4 * r);
      ints codes = xsimd::bitwise_cast<std::int32_t>(bytes);
      EDGERAZOR_UNROLL
      for (std::size_t b = 0; b < slot_cols; ++b) {
        const ints level = (codes & ints(0xff)) - ints(zero_code);
        sums[b] = fused<Arch>(xsimd::to_float(level), reals(x[slot_cols * s + b]), sums[b]);
        codes = codes >> 8;
      }
    }
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) sums[b].store_unaligned(p + 16 * b + r);
  }
}

template <class Arch>
void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code, const float* x,
                 std::size_t x_stride, std::size_t tokens, float* p) noexcept {
  for (std::size_t t = 0; t < tokens; ++t, x += x_stride, p += slot_cols * tile_rows) {
    panel_float_token<Arch>(panel, slots, zero_code, x, p);
  }
}

template <class Scale, class Arch>
void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                std::size_t groups, float* y) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  for (std::size_t r = 0; r < tile_rows; r += reals::size) {
    reals total = reals::load_unaligned(y + r);
    for (std::size_t g = 0; g < groups; ++g) {
      const reals sum = xsimd::to_float(
          xsimd::batch<std::int32_t, Arch>::load_unaligned(isum + tile_rows * g + r));
      total = fused<Arch>(sum, load_reals<Arch>(scales + tile_rows * g + r) * reals(x_scales[g]),
                          total);
    }
    total.store_unaligned(y + r);
  }
}

/// The epilogue of one group: y[r] = fma(float(isum[r]), w_scales[r] * x_scale, y[r]).
template <class Arch>
EDGERAZOR_INLINE void add_scaled(const std::int32_t* isum, const float* w_scales, float x_scale,
                                 float* y) noexcept {
  using reals = xsimd::batch<float, Arch>;
  for (std::size_t r = 0; r < tile_rows; r += reals::size) {
    const reals sum = xsimd::to_float(xsimd::batch<std::int32_t, Arch>::load_unaligned(isum + r));
    const reals scale = reals::load_unaligned(w_scales + r) * reals(x_scale);
    fused<Arch>(sum, scale, reals::load_unaligned(y + r)).store_unaligned(y + r);
  }
}

template <class Scale, class Arch>
void read_scales(const std::byte* w_scales, float* scales) noexcept {
  using reals = xsimd::batch<float, Arch>;
  for (std::size_t r = 0; r < tile_rows; r += reals::size) {
    load_reals<Arch>(reinterpret_cast<const Scale*>(w_scales) + r).store_unaligned(scales + r);
  }
}

template <class Scale, class Arch>
void scale_floats(const float* p, const std::byte* w_scales, float* y) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  for (std::size_t r = 0; r < tile_rows; r += reals::size, p += reals::size) {
    const reals low = reals::load_unaligned(p) + reals::load_unaligned(p + 16);
    const reals sum = low + (reals::load_unaligned(p + 32) + reals::load_unaligned(p + 48));
    fused<Arch>(sum, load_reals<Arch>(scales + r), reals::load_unaligned(y + r))
        .store_unaligned(y + r);
  }
}

template <std::size_t Rows, class T, class Arch>
EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride, std::size_t cols,
                                  const float* x, float* y) noexcept {
  using reals = xsimd::batch<float, Arch>;
  constexpr std::size_t parts = 16 / reals::size;
  reals sums[Rows][parts];
  EDGERAZOR_UNROLL
  for (std::size_t i = 0; i < Rows * parts; ++i) sums[i / parts][i % parts] = reals(0.0f);
  std::size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    EDGERAZOR_UNROLL
    for (std::size_t part = 0; part < parts; ++part) {
      const reals token = reals::load_unaligned(x + c + part * reals::size);
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < Rows; ++i) {
        sums[i][part] = fused<Arch>(load_reals<Arch>(w + i * w_stride + c + part * reals::size),
                                    token, sums[i][part]);
      }
    }
  }
  for (std::size_t i = 0; i < Rows; ++i, w += w_stride) {
    float s[16];
    for (std::size_t part = 0; part < parts; ++part)
      sums[i][part].store_unaligned(s + part * reals::size);
    for (std::size_t j = c; j < cols; ++j)
      s[j - c] = std::fma(static_cast<float>(w[j]), x[j], s[j - c]);
    for (std::size_t half = 8; half > 0; half /= 2) {
      for (std::size_t j = 0; j < half; ++j) s[j] += s[j + half];
    }
    y[i] = s[0];
  }
}

template <class T, class Arch>
void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols, const float* x,
               std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  for (; rows >= 4; rows -= 4, w += 4 * w_stride, y += 4) {
    for (std::size_t t = 0; t < tokens; ++t)
      dense_block<4, T, Arch>(w, w_stride, cols, x + t * x_stride, y + t * y_stride);
  }
  for (; rows > 0; --rows, w += w_stride, ++y) {
    for (std::size_t t = 0; t < tokens; ++t)
      dense_block<1, T, Arch>(w, w_stride, cols, x + t * x_stride, y + t * y_stride);
  }
}

template <class Arch>
float max_magnitude(const float* x, std::size_t cols) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const std::size_t whole = cols - cols % reals::size;
  reals lanes(0.0f);
  for (std::size_t c = 0; c < whole; c += reals::size) {
    const reals value = xsimd::abs(reals::load_unaligned(x + c));
    lanes = xsimd::select(value > lanes, value, lanes);  // NaN is not larger
  }
  float largest = xsimd::reduce_max(lanes);
  for (std::size_t c = whole; c < cols; ++c)
    largest = std::fabs(x[c]) > largest ? std::fabs(x[c]) : largest;
  return largest;
}

template <class Arch>
std::int32_t quantize(const float* x, std::size_t cols, float scale, std::int8_t* codes) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  const std::size_t whole = cols - cols % reals::size;
  const reals divisor(scale);
  ints sums(0);
  for (std::size_t c = 0; c < whole; c += reals::size) {
    const ints level = detail::policy::round_lanes<-127, 127>(
        detail::policy::quotient(reals::load_unaligned(x + c), divisor));
    std::int32_t wide[ints::size];
    level.store_unaligned(wide);
    for (std::size_t i = 0; i < ints::size; ++i) codes[c + i] = static_cast<std::int8_t>(wide[i]);
    sums += level;
  }
  std::int32_t sum = xsimd::reduce_add(sums);
  for (std::size_t c = whole; c < cols; ++c) {
    codes[c] = static_cast<std::int8_t>(round_to_level<-127, 127>(x[c] / scale));
    sum += codes[c];
  }
  return sum;
}

/// `Vectors` vectors of columns.
template <std::size_t Vectors, class Arch>
EDGERAZOR_INLINE void mix_block(const std::int8_t* levels, std::size_t stride, const float* weights,
                                std::size_t positions, float* out) noexcept {
  using reals = xsimd::batch<float, Arch>;
  reals total[Vectors];
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < Vectors; ++v) total[v] = reals::load_unaligned(out + v * reals::size);
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    EDGERAZOR_UNROLL
    for (std::size_t v = 0; v < Vectors; ++v) {
      const reals level = xsimd::to_float(load_ints<Arch>(levels + v * reals::size));
      total[v] = fused<Arch>(reals(weights[t]), level, total[v]);
    }
  }
  EDGERAZOR_UNROLL
  for (std::size_t v = 0; v < Vectors; ++v) total[v].store_unaligned(out + v * reals::size);
}

template <class Arch>
EDGERAZOR_INLINE void mix_once(const std::int8_t* levels, std::size_t stride, const float* weights,
                               std::size_t positions, std::size_t cols, float* out) noexcept {
  constexpr std::size_t lanes = vectors<Arch>::lanes;
  std::size_t c = 0;
  for (; c + 4 * lanes <= cols; c += 4 * lanes)
    mix_block<4, Arch>(levels + c, stride, weights, positions, out + c);
  for (; c + lanes <= cols; c += lanes)
    mix_block<1, Arch>(levels + c, stride, weights, positions, out + c);
  for (; c < cols; ++c) {
    for (std::size_t t = 0; t < positions; ++t) {
      out[c] = std::fma(weights[t], static_cast<float>(levels[t * stride + c]), out[c]);
    }
  }
}

template <class Arch>
void mix(const std::int8_t* levels, std::size_t stride, const float* weights,
         std::size_t weight_stride, std::size_t positions, std::size_t cols, std::size_t mixes,
         float* out, std::size_t out_stride) noexcept {
  for (std::size_t q = 0; q < mixes; ++q) {
    mix_once<Arch>(levels, stride, weights + q * weight_stride, positions, cols,
                   out + q * out_stride);
  }
}

template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> exponentials_of(
    const xsimd::batch<float, Arch>& x) noexcept {
  using reals = xsimd::batch<float, Arch>;
  using ints = xsimd::batch<std::int32_t, Arch>;
  reals v = xsimd::select(x < reals(exponential::lowest), reals(exponential::lowest),
                          x);  // NaN is not less
  v = xsimd::select(v > reals(exponential::highest), reals(exponential::highest), v);
  const reals n = xsimd::nearbyint(v * reals(exponential::log2_e));
  const reals r = fused<Arch>(n, reals(-exponential::ln2_low),
                              fused<Arch>(n, reals(-exponential::ln2_high), v));
  reals p(exponential::terms[0]);
  EDGERAZOR_UNROLL
  for (std::size_t k = 1; k < 8; ++k) p = fused<Arch>(p, r, reals(exponential::terms[k]));
  const ints power = xsimd::to_int(xsimd::select(n == n, n, reals(0.0f))), half = power >> 1;
  const reals low = xsimd::bitwise_cast<float>((half + ints(127)) << 23);
  return p * low * xsimd::bitwise_cast<float>((power - half + ints(127)) << 23);
}

template <class Arch>
float exponentials(float* x, std::size_t count, float scale, float shift) noexcept {
  using reals = xsimd::batch<float, Arch>;
  constexpr std::size_t parts = 16 / reals::size;
  reals sums[parts];
  EDGERAZOR_UNROLL
  for (std::size_t part = 0; part < parts; ++part) sums[part] = reals(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    EDGERAZOR_UNROLL
    for (std::size_t part = 0; part < parts; ++part) {
      float* const at = x + i + part * reals::size;
      const reals e =
          exponentials_of<Arch>(reals(scale) * (reals::load_unaligned(at) - reals(shift)));
      e.store_unaligned(at);
      sums[part] += e;
    }
  }
  float s[16];
  for (std::size_t part = 0; part < parts; ++part)
    sums[part].store_unaligned(s + part * reals::size);
  for (std::size_t j = i; j < count; ++j) {
    x[j] = exponential::of(scale * (x[j] - shift));
    s[j - i] += x[j];
  }
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) s[j] += s[j + half];
  }
  return s[0];
}

}  // namespace detail::kernel::generic
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
