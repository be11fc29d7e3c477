/// The truth: plain loops that define what every kernel computes. Nothing is optimized here, ever.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <edgerazor/kernel/kernel.hpp>
#include <edgerazor/pack/packed_matrix.hpp>
#include <edgerazor/quant/quantizer.hpp>

namespace edgerazor::inline v0::scalar {

inline bool supported() noexcept { return true; }

/// The code of row r, byte b of a slot: chunk = slot / fields, field = slot % fields (tile_layout.hpp).
template <code_type Type>
int code_at(const tile_codes& w, std::size_t slot, std::size_t r, std::size_t b) noexcept {
  constexpr codec_info codec = codec_of(Type);
  const std::uint8_t byte = w.chunks[chunk_bytes * (slot / codec.fields) + 4 * r + b];
  return static_cast<int>(codec.code(byte, static_cast<unsigned>(slot % codec.fields)));
}

template <code_type Type>
void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin, std::size_t end,
         std::int32_t* isum) noexcept {
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      isum[r] = -codec_of(Type).zero_code * x_sums[g];
      for (std::size_t s = w.slot_begin(g); s < w.slot_end(g); ++s) {
        for (std::size_t b = 0; b < slot_cols; ++b) isum[r] += code_at<Type>(w, s, r, b) * x[slot_cols * s + b];
      }
    }
  }
}

template <code_type Type>
void unpack(const tile_codes& w, std::size_t group, std::uint8_t* panel) noexcept {
  for (std::size_t s = w.slot_begin(group); s < w.slot_end(group); ++s) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      for (std::size_t b = 0; b < slot_cols; ++b) *panel++ = static_cast<std::uint8_t>(code_at<Type>(w, s, r, b));
    }
  }
}

inline void panel_dot(const std::uint8_t* panel, std::size_t slots, int zero_code, const std::int8_t* x,
                      std::size_t x_stride, const std::int32_t* x_sums, std::size_t sum_stride, std::size_t tokens,
                      std::int32_t* isum) noexcept {
  for (std::size_t t = 0; t < tokens; ++t, x += x_stride, x_sums += sum_stride, isum += tile_rows) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      isum[r] = -zero_code * *x_sums;
      for (std::size_t c = 0; c < slot_cols * slots; ++c) isum[r] += panel[16 * (c / 4 * 4) + 4 * r + c % 4] * x[c];
    }
  }
}

inline void panel_float(const std::uint8_t* panel, std::size_t cols, int zero_code, const float* x,
                        float* sum) noexcept {
  const std::size_t slots = (cols + slot_cols - 1) / slot_cols;
  for (std::size_t r = 0; r < tile_rows; ++r) {
    float p[slot_cols] = {};
    for (std::size_t c = 0; c < slot_cols * slots; ++c) {
      const int level = c < cols ? panel[16 * (c / 4 * 4) + 4 * r + c % 4] - zero_code : 0;
      p[c % 4] = std::fma(static_cast<float>(level), c < cols ? x[c] : 0.0f, p[c % 4]);
    }
    sum[r] = (p[0] + p[1]) + (p[2] + p[3]);
  }
}

template <scale_kind Kind>
void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales, std::size_t groups,
                float* y) noexcept {
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t r = 0; r < tile_rows; ++r, w_scales += scale_size(Kind)) {
      const float scale = detail::read_scale(w_scales, Kind) * x_scales[g];
      y[r] = std::fma(static_cast<float>(isum[tile_rows * g + r]), scale, y[r]);
    }
  }
}

template <scale_kind Kind>
void scale_floats(const float* sum, const std::byte* w_scales, float* y) noexcept {
  for (std::size_t r = 0; r < tile_rows; ++r, w_scales += scale_size(Kind)) {
    y[r] = std::fma(sum[r], detail::read_scale(w_scales, Kind), y[r]);
  }
}

template <class T>
void dense_dot(const T* w, std::size_t stride, std::size_t rows, std::size_t cols, const float* x, float* y) noexcept {
  for (std::size_t i = 0; i < rows; ++i, w += stride) {
    float s[16] = {};
    for (std::size_t c = 0; c < cols; ++c) s[c % 16] = std::fma(static_cast<float>(w[c]), x[c], s[c % 16]);
    for (std::size_t half = 8; half > 0; half /= 2) {
      for (std::size_t j = 0; j < half; ++j) s[j] += s[j + half];
    }
    y[i] = s[0];
  }
}

inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  float largest = 0;
  for (std::size_t c = 0; c < cols; ++c) largest = std::fabs(x[c]) > largest ? std::fabs(x[c]) : largest;
  return largest;
}

inline std::int32_t quantize(const float* x, std::size_t cols, float scale, std::int8_t* codes) noexcept {
  std::int32_t sum = 0;
  for (std::size_t c = 0; c < cols; ++c) {
    codes[c] = static_cast<std::int8_t>(round_to_level<-127, 127>(x[c] / scale));
    sum += codes[c];
  }
  return sum;
}

inline void mix(const std::int8_t* levels, std::size_t stride, const float* weights, std::size_t positions,
                std::size_t cols, float* out) noexcept {
  for (std::size_t t = 0; t < positions; ++t, levels += stride) {
    for (std::size_t c = 0; c < cols; ++c) out[c] = std::fma(weights[t], static_cast<float>(levels[c]), out[c]);
  }
}

inline constexpr kernel table{
    .name = "scalar",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>, &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_dot = &panel_dot,
    .panel_float = &panel_float,
    .scale_sums = {&scale_sums<scale_kind::float16>, &scale_sums<scale_kind::bfloat16>,
                   &scale_sums<scale_kind::float32>},
    .scale_floats = {&scale_floats<scale_kind::float16>, &scale_floats<scale_kind::bfloat16>,
                     &scale_floats<scale_kind::float32>},
    .dense_float = &dense_dot<float>,
    .dense_float16 = &dense_dot<float16>,
    .dense_bfloat16 = &dense_dot<bfloat16>,
    .max_magnitude = &max_magnitude,
    .quantize = &quantize,
    .mix = &mix,
};

}  // namespace edgerazor::inline v0::scalar
