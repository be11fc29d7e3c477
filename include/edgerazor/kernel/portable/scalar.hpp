// SPDX-License-Identifier: Apache-2.0
/// The truth: plain loops that define what every kernel computes. Nothing is optimized here, ever.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::scalar {

inline bool supported() noexcept {
  return true;
}

/// The code of row r, byte b of a slot: chunk = slot / fields, field = slot % fields
/// (tile_layout.hpp).
template <code_type Type>
int code_at(const tile_codes& w, std::size_t slot, std::size_t r, std::size_t b) noexcept {
  constexpr codec_info codec = codec_of(Type);
  const std::uint8_t byte = w.chunks[chunk_bytes * (slot / codec.fields) + 4 * r + b];
  return static_cast<int>(codec.code(byte, static_cast<unsigned>(slot % codec.fields)));
}

template <code_type Type>
void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin,
         std::size_t end, std::int32_t* isum) noexcept {
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      isum[r] = -codec_of(Type).zero_code * x_sums[g];
      for (std::size_t s = w.slot_begin(g); s < w.slot_end(g); ++s) {
        for (std::size_t b = 0; b < slot_cols; ++b)
          isum[r] += code_at<Type>(w, s, r, b) * x[slot_cols * s + b];
      }
    }
  }
}

template <code_type Type>
void unpack(const tile_codes& w, std::size_t begin, std::size_t end, std::uint8_t* panel) noexcept {
  for (std::size_t s = begin; s < end; ++s) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      for (std::size_t b = 0; b < slot_cols; ++b)
        *panel++ = static_cast<std::uint8_t>(code_at<Type>(w, s, r, b));
    }
  }
}

inline void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  for (std::size_t t = 0; t < x.tokens; ++t) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      std::int32_t& isum = x.isum[tile_rows * t + r];
      if (w.first) isum = -w.zero_code * x.sums[t * x.group_stride];
      for (std::size_t c = 0; c < slot_cols * w.slots; ++c) {
        isum += w.codes[chunk_bytes * (c / slot_cols) + 4 * r + c % slot_cols] *
                x.x[t * x.x_stride + c];
      }
      float& y = x.y[tile_rows * t + r];
      if (w.last)
        y = std::fma(static_cast<float>(isum), w.scales[r] * x.scales[t * x.group_stride], y);
    }
  }
}

inline void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code, const float* x,
                        std::size_t x_stride, std::size_t tokens, float* p) noexcept {
  for (std::size_t t = 0; t < tokens; ++t, x += x_stride, p += slot_cols * tile_rows) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      for (std::size_t s = 0; s < slots; ++s) {
        for (std::size_t b = 0; b < slot_cols; ++b) {
          const float level = static_cast<float>(panel[chunk_bytes * s + 4 * r + b] - zero_code);
          p[16 * b + r] = std::fma(level, x[slot_cols * s + b], p[16 * b + r]);
        }
      }
    }
  }
}

template <scale_kind Kind>
float scale_of(const std::byte* w_scales, std::size_t r) noexcept {
  return detail::matrix::read_scale(w_scales + r * scale_size(Kind), Kind);
}

template <scale_kind Kind>
void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                std::size_t groups, float* y) noexcept {
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      const float scale = scale_of<Kind>(w_scales, tile_rows * g + r) * x_scales[g];
      y[r] = std::fma(static_cast<float>(isum[tile_rows * g + r]), scale, y[r]);
    }
  }
}

template <scale_kind Kind>
void read_scales(const std::byte* w_scales, float* scales) noexcept {
  for (std::size_t r = 0; r < tile_rows; ++r) scales[r] = scale_of<Kind>(w_scales, r);
}

template <scale_kind Kind>
void scale_floats(const float* p, const std::byte* w_scales, float* y) noexcept {
  for (std::size_t r = 0; r < tile_rows; ++r) {
    y[r] =
        std::fma((p[r] + p[16 + r]) + (p[32 + r] + p[48 + r]), scale_of<Kind>(w_scales, r), y[r]);
  }
}

template <class T>
void dense_dot(const T* w, std::size_t w_stride, std::size_t rows, std::size_t cols, const float* x,
               std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = 0; i < rows; ++i) {
      float s[16] = {};
      for (std::size_t c = 0; c < cols; ++c) {
        s[c % 16] =
            std::fma(static_cast<float>(w[i * w_stride + c]), x[t * x_stride + c], s[c % 16]);
      }
      for (std::size_t half = 8; half > 0; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) s[j] += s[j + half];
      }
      y[t * y_stride + i] = s[0];
    }
  }
}

inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  float largest = 0;
  for (std::size_t c = 0; c < cols; ++c)
    largest = std::fabs(x[c]) > largest ? std::fabs(x[c]) : largest;
  return largest;
}

inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                             std::int8_t* codes) noexcept {
  std::int32_t sum = 0;
  for (std::size_t c = 0; c < cols; ++c) {
    codes[c] = static_cast<std::int8_t>(round_to_level<-127, 127>(x[c] / scale));
    sum += codes[c];
  }
  return sum;
}

inline void mix(const std::int8_t* levels, std::size_t stride, const float* weights,
                std::size_t weight_stride, std::size_t positions, std::size_t cols,
                std::size_t mixes, float* out, std::size_t out_stride) noexcept {
  for (std::size_t q = 0; q < mixes; ++q, weights += weight_stride, out += out_stride) {
    for (std::size_t t = 0; t < positions; ++t) {
      for (std::size_t c = 0; c < cols; ++c) {
        out[c] = std::fma(weights[t], static_cast<float>(levels[t * stride + c]), out[c]);
      }
    }
  }
}

inline float exponentials(float* x, std::size_t count, float scale, float shift) noexcept {
  float s[16] = {};
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = exponential::of(scale * (x[i] - shift));
    s[i % 16] += x[i];
  }
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) s[j] += s[j + half];
  }
  return s[0];
}

inline constexpr functions table{
    .name = "scalar",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>,
            &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_product = {&panel_product, &panel_product, &panel_product, &panel_product},
    .panel_float = &panel_float,
    .scale_sums = {&scale_sums<scale_kind::float16>, &scale_sums<scale_kind::bfloat16>,
                   &scale_sums<scale_kind::float32>},
    .read_scales = {&read_scales<scale_kind::float16>, &read_scales<scale_kind::bfloat16>,
                    &read_scales<scale_kind::float32>},
    .scale_floats = {&scale_floats<scale_kind::float16>, &scale_floats<scale_kind::bfloat16>,
                     &scale_floats<scale_kind::float32>},
    .dense_float = &dense_dot<float>,
    .dense_float16 = &dense_dot<float16>,
    .dense_bfloat16 = &dense_dot<bfloat16>,
    .max_magnitude = &max_magnitude,
    .quantize = &quantize,
    .mix = &mix,
    .exponentials = &exponentials,
};

}  // namespace detail::kernel::scalar
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
