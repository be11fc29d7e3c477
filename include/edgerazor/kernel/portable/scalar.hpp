// SPDX-License-Identifier: Apache-2.0
/// The reference implementation: plain loops that define what every kernel computes. Nothing is
/// optimized here, ever.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <edgerazor/core/exact.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/exponential.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::scalar {

inline constexpr std::string_view name = "scalar";
inline bool supported() noexcept { return true; }

/// What the digit of row r, byte b of a slot stands for: chunk = slot / fields, field = slot %
/// fields (tile_layout.hpp).
template <plane_type Plane>
int digit_at(const plane_codes& w, std::size_t slot, std::size_t r, std::size_t b) noexcept {
  constexpr plane_info plane = plane_of(Plane);
  const std::uint8_t byte = w.chunks[chunk_bytes * (slot / plane.fields()) + 4 * r + b];
  const unsigned digit = plane.digit(byte, static_cast<unsigned>(slot % plane.fields()));
  if constexpr (plane.of_table) {
    const std::uint8_t* const table = w.tables + chunk_bytes * (slot / w.group_slots);
    return static_cast<int>(table[table_size * r + digit] % table_codes);
  }
  return static_cast<int>(digit);
}

template <plane_type Plane>
void dot(const plane_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin,
         std::size_t end, std::int32_t* isum) noexcept {
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      if (w.first) isum[r] = -w.zero_code * x_sums[g];
      for (std::size_t s = w.slot_begin(g); s < w.slot_end(g); ++s) {
        for (std::size_t b = 0; b < slot_cols; ++b)
          isum[r] += (digit_at<Plane>(w, s, r, b) << w.shift) * x[slot_cols * s + b];
      }
    }
  }
}

template <plane_type Plane>
void unpack(const plane_codes& w, std::size_t begin, std::size_t end,
            std::uint8_t* panel) noexcept {
  for (std::size_t s = begin; s < end; ++s) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      for (std::size_t b = 0; b < slot_cols; ++b, ++panel) {
        const int before = w.first ? 0 : *panel;
        *panel = static_cast<std::uint8_t>(before + (digit_at<Plane>(w, s, r, b) << w.shift));
      }
    }
  }
}

/// Entry i of a unit's table is of the weights that index i stands for.
inline void triple_tables(const std::int8_t* x, std::size_t cols, std::uint8_t* tables) noexcept {
  namespace triples = matrix::triples;
  for (std::size_t p = 0; p < triples::pairs_of(cols); ++p, tables += triple_table_bytes) {
    for (std::size_t unit = 0; unit < 2; ++unit) {
      for (unsigned index = 0; index < 16; ++index) {
        const std::uint32_t codes = triples::codes_of[triples::value_of(index, false)];
        int sum = 0;
        for (std::size_t b = 0; b < triples::unit_cols; ++b) {
          const std::size_t c = triples::pair_cols * p + triples::unit_cols * unit + b;
          const int level = static_cast<int>(codes >> 8 * b & 3) - 1;
          sum += c < cols ? level * x[c] : 0;
        }
        const int high = triple_high(sum);
        tables[16 * unit + index] = static_cast<std::uint8_t>(sum - triple_factor * high);
        tables[32 + 16 * unit + index] = static_cast<std::uint8_t>(high);
      }
    }
  }
}

inline void triple_dot(const triple_codes& w, const std::uint8_t* tables, std::size_t begin,
                       std::size_t end, std::int32_t* isum) noexcept {
  namespace triples = matrix::triples;
  for (std::size_t i = 0; i < w.tiles; ++i) {
    for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
      for (std::size_t r = 0; r < tile_rows; ++r) {
        isum[r] = 0;
        for (std::size_t p = w.pair_begin(g); p < w.pair_end(g); ++p) {
          const std::uint8_t* const chunk =
              w.chunks + i * w.tile_bytes + p / triples::chunk_pairs * triples::chunk_bytes + r;
          const std::size_t first =
              w.pair_begin(begin) / triples::chunk_pairs * triples::chunk_pairs;
          const std::uint8_t* const table = tables + triple_table_bytes * (p - first);
          const triples::place at = triples::place_of(p);
          for (std::size_t unit = 0; unit < 2; ++unit) {
            const unsigned index = chunk[at.index_block + 16 * unit] >> at.index_shift & 15,
                           sign = chunk[at.sign_block + 16 * unit] >> at.sign_bit & 1;
            const int low = static_cast<std::int8_t>(table[16 * unit + index]),
                      high = static_cast<std::int8_t>(table[32 + 16 * unit + index]),
                      sum = low + triple_factor * high;
            isum[r] += sign != 0 ? -sum : sum;
          }
        }
      }
    }
  }
}

inline void triple_unpack(const triple_codes& w, std::size_t begin, std::size_t end,
                          std::uint8_t* panel) noexcept {
  namespace triples = matrix::triples;
  for (std::size_t s = begin; s < end; ++s) {
    const std::size_t g = s / w.group_slots, first = slot_cols * (s - g * w.group_slots);
    for (std::size_t r = 0; r < tile_rows; ++r) {
      for (std::size_t c = first; c < first + slot_cols; ++c, ++panel) {
        const std::size_t p = w.pair_begin(g) + c / triples::pair_cols;
        const std::byte* const chunk = reinterpret_cast<const std::byte*>(w.chunks) +
                                       p / triples::chunk_pairs * triples::chunk_bytes + r;
        const unsigned value = triples::value_at(chunk, p, c / triples::unit_cols % 2);
        *panel =
            static_cast<std::uint8_t>(triples::codes_of[value] >> 8 * (c % triples::unit_cols) & 3);
      }
    }
  }
}

/// The one epilogue of one row: y with a group's sum of products added.
template <zero_kind Zero>
float scaled(float sum, float w_scale, float zero, float x_scale, float x_sum, float y) noexcept {
  if constexpr (Zero == zero_kind::point) sum = core::fused(-zero, x_sum, sum);
  y = core::fused(sum, core::exact(w_scale * x_scale), y);
  if constexpr (Zero == zero_kind::minimum) y = core::fused(x_sum, core::exact(zero * x_scale), y);
  return y;
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
      if (!w.last) continue;
      float& y = x.y[tile_rows * t + r];
      const float x_scale = x.scales[t * x.group_stride],
                  x_sum = static_cast<float>(x.sums[t * x.group_stride]);
      switch (w.zero) {
        case zero_kind::none:
          y = scaled<zero_kind::none>(static_cast<float>(isum), w.scales[r], 0, x_scale, 0, y);
          break;
        case zero_kind::point:
          y = scaled<zero_kind::point>(static_cast<float>(isum), w.scales[r], w.zeros[r], x_scale,
                                       x_sum, y);
          break;
        case zero_kind::minimum:
          y = scaled<zero_kind::minimum>(static_cast<float>(isum), w.scales[r], w.zeros[r], x_scale,
                                         x_sum, y);
      }
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
          p[16 * b + r] = core::fused(level, x[slot_cols * s + b], p[16 * b + r]);
        }
      }
    }
  }
}

/// A stored scale, at any address.
template <class Scale>
float scale_at(const std::byte* w_scales, std::size_t r) noexcept {
  Scale scale;
  std::memcpy(&scale, w_scales + r * sizeof scale, sizeof scale);
  return static_cast<float>(scale);
}

template <class Stored, zero_kind Zero>
void read_scales(const std::byte* w_scales, float* scales, float* zeros) noexcept {
  for (std::size_t r = 0; r < tile_rows; ++r) {
    if constexpr (std::is_same_v<Stored, two_levels>) {
      const group_fit fit = matrix::read_two_level(w_scales, r);
      scales[r] = fit.scale, zeros[r] = fit.zero;
    } else {
      scales[r] = scale_at<Stored>(w_scales, r);
      if (Zero != zero_kind::none) zeros[r] = scale_at<Stored>(w_scales, tile_rows + r);
    }
  }
}

template <class Stored, zero_kind Zero>
void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales,
                const std::int32_t* x_sums, std::size_t groups, float* y) noexcept {
  for (std::size_t g = 0; g < groups; ++g) {
    float scales[tile_rows], zeros[tile_rows] = {};
    read_scales<Stored, Zero>(w_scales + statistics_bytes<Stored, Zero> * g, scales, zeros);
    const float x_sum = Zero == zero_kind::none ? 0 : static_cast<float>(x_sums[g]);
    for (std::size_t r = 0; r < tile_rows; ++r) {
      y[r] = scaled<Zero>(static_cast<float>(isum[tile_rows * g + r]), scales[r], zeros[r],
                          x_scales[g], x_sum, y[r]);
    }
  }
}

template <class Stored, zero_kind Zero>
void scale_floats(const float* p, const std::byte* w_scales, float x_sum, float* y) noexcept {
  float scales[tile_rows], zeros[tile_rows] = {};
  read_scales<Stored, Zero>(w_scales, scales, zeros);
  for (std::size_t r = 0; r < tile_rows; ++r) {
    const float p01 = core::exact(p[r] + p[16 + r]), p23 = core::exact(p[32 + r] + p[48 + r]);
    y[r] = scaled<Zero>(core::exact(p01 + p23), scales[r], zeros[r], 1.0f, x_sum, y[r]);
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
            core::fused(static_cast<float>(w[i * w_stride + c]), x[t * x_stride + c], s[c % 16]);
      }
      for (std::size_t half = 8; half > 0; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) s[j] = core::exact(s[j] + s[j + half]);
      }
      y[t * y_stride + i] = s[0];
    }
  }
}

inline float max_magnitude(const float* x, std::size_t cols) noexcept {
  std::int32_t largest = 0;
  for (std::size_t c = 0; c < cols; ++c)
    largest = std::max(largest, std::bit_cast<std::int32_t>(x[c]) & 0x7fffffff);
  return std::bit_cast<float>(largest);
}

inline std::int32_t quantize(const float* x, std::size_t cols, float scale,
                             std::int8_t* codes) noexcept {
  std::int32_t sum = 0;
  for (std::size_t c = 0; c < cols; ++c) {
    codes[c] = static_cast<std::int8_t>(round_to_level<-127, 127>(core::quotient(x[c], scale)));
    sum += codes[c];
  }
  return sum;
}

inline void weighted_sum(const std::int8_t* levels, std::size_t stride, const float* weights,
                         std::size_t weight_stride, std::size_t positions, std::size_t cols,
                         std::size_t sums, float* out, std::size_t out_stride) noexcept {
  for (std::size_t q = 0; q < sums; ++q, weights += weight_stride, out += out_stride) {
    for (std::size_t t = 0; t < positions; ++t) {
      for (std::size_t c = 0; c < cols; ++c) {
        out[c] = core::fused(weights[t], static_cast<float>(levels[t * stride + c]), out[c]);
      }
    }
  }
}

inline float exponentials(float* x, std::size_t count, float scale, float shift) noexcept {
  float s[16] = {};
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = exponential::of(scale * core::exact(x[i] - shift));
    s[i % 16] = core::exact(s[i % 16] + x[i]);
  }
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) s[j] = core::exact(s[j] + s[j + half]);
  }
  return s[0];
}

inline void sparse_sums(const sparse_step* steps, std::size_t count, const float* x,
                        float* y) noexcept {
  for (std::size_t k = 0; k < count; ++k) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      const float value = steps[k].values[r];
      if (value != 0.0f) y[r] = core::fused(value, x[steps[k].columns[r]], y[r]);
    }
  }
}

inline void sparse_panel(const sparse_step* steps, std::size_t count, const float* x,
                         float* y) noexcept {
  for (std::size_t k = 0; k < count; ++k) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      const float value = steps[k].values[r];
      for (std::size_t t = 0; t < sparse_tokens && value != 0.0f; ++t) {
        const float column = x[sparse_tokens * steps[k].columns[r] + t];
        y[sparse_tokens * r + t] = core::fused(value, column, y[sparse_tokens * r + t]);
      }
    }
  }
}

inline void prefetch_bytes(const std::byte*, std::size_t) noexcept {}

#include <edgerazor/kernel/loops/table.inl>

}  // namespace detail::kernel::scalar
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
