// SPDX-License-Identifier: Apache-2.0
/// AArch64 NEON, which every such processor has: products of bytes in 16 bits (`smlal`), widened
/// before they could overflow. See kernel.hpp for the contract of each function, scalar.hpp for the
/// truth.
#pragma once

#include <edgerazor/core/config.hpp>
#if EDGERAZOR_ARM64

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

#include <edgerazor/kernel/arm/neon_codes.hpp>
#include <edgerazor/kernel/arm/neon_float.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/partial_chunk.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::neon {

inline bool supported() noexcept {
  return true;
}

/// Slots whose products fit 16 bits together: a lane gets one product a slot, of an activation down
/// to -128.
template <code_type Type>
inline constexpr std::size_t slots_to_widen =
    32767 / (128 * (fits_signed<Type> ? codec_of(Type).radix - 1 : 128));
static_assert(128 * 3 * slots_to_widen<code_type::ternary2> <= 32767 &&
              slots_to_widen<code_type::ternary2> >= 4);
static_assert(128 * 2 * slots_to_widen<code_type::ternary5> <= 32767 &&
              slots_to_widen<code_type::ternary5> >= 5);
static_assert(128 * 15 * slots_to_widen<code_type::int4> <= 32767 &&
              slots_to_widen<code_type::int4> >= 2);
static_assert(128 * 128 * slots_to_widen<code_type::int8> <= 32767 &&
              slots_to_widen<code_type::int8> >= 1);

/// 16-bit products of 4 rows x 4 columns: `low` of rows 0 and 1, `high` of rows 2 and 3.
struct products {
  int16x8_t low, high;

  EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void add(int8x16_t codes, int8x16_t x) noexcept {
    low = vmlal_s8(low, vget_low_s8(codes), vget_low_s8(x));
    high = vmlal_high_s8(high, codes, x);
  }
  /// Sums of the rows, in 32 bits.
  [[nodiscard]] EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE int32x4_t row_sums() const noexcept {
    return vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
  }
};

/// Sums of one token with the 16 rows of a tile.
struct tile_sums {
  int32x4_t rows[quarters];
};

/// totals[t] += sums over chunks of `Fields` slots, those of a tile or of a panel, times the
/// columns of token t.
template <code_type Type, unsigned Fields, std::size_t Tokens>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void add_chunks(const std::uint8_t* chunk,
                                                       std::size_t chunks, const std::int8_t* x,
                                                       std::size_t x_stride,
                                                       tile_sums (&totals)[Tokens]) noexcept {
  constexpr std::size_t widest = slots_to_widen<Type> / Fields;
  while (chunks > 0) {
    products sums[Tokens][quarters];
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tokens * quarters; ++i) {
      sums[i / quarters][i % quarters] = {vdupq_n_s16(0), vdupq_n_s16(0)};
    }
    const std::size_t block = chunks < widest ? chunks : widest;
    for (std::size_t c = 0; c < block; ++c, chunk += chunk_bytes, x += slot_cols * Fields) {
      int8x16_t columns[Tokens][Fields];
      EDGERAZOR_UNROLL
      for (std::size_t i = 0; i < Tokens * Fields; ++i) {
        columns[i / Fields][i % Fields] =
            broadcast4(x + i / Fields * x_stride + slot_cols * (i % Fields));
      }
      EDGERAZOR_UNROLL
      for (std::size_t q = 0; q < quarters; ++q) {
        const matrix::row_codes<Fields> codes = split<Type, Fields>(vld1q_u8(chunk + 16 * q));
        EDGERAZOR_UNROLL
        for (std::size_t i = 0; i < Tokens * Fields; ++i) {
          sums[i / Fields][q].add(as_signed<Type>(codes.of_field[i % Fields]),
                                  columns[i / Fields][i % Fields]);
        }
      }
    }
    EDGERAZOR_UNROLL
    for (std::size_t i = 0; i < Tokens * quarters; ++i) {
      int32x4_t& rows = totals[i / quarters].rows[i % quarters];
      rows = vaddq_s32(rows, sums[i / quarters][i % quarters].row_sums());
    }
    chunks -= block;
  }
}

template <code_type Type>
void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin,
         std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t chunk_cols = slot_cols * fields;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    const detail::kernel::chunk_span<fields> span(first, last);
    const std::uint8_t* const chunk = w.chunks + chunk_bytes * span.whole_begin;
    const std::size_t chunks = span.whole_end - span.whole_begin;
    const int32x4_t offset = vdupq_n_s32(level_offset<Type>(x_sums[g]));
    tile_sums total[1] = {{{offset, offset, offset, offset}}};
    if (span.head) {
      const detail::kernel::partial_chunk<fields> part(x, span.whole_begin - 1, first, last);
      add_chunks<Type, fields, 1>(chunk - chunk_bytes, 1, part.x, 0, total);
    }
    add_chunks<Type, fields, 1>(chunk, chunks, x + chunk_cols * span.whole_begin, 0, total);
    if (span.tail) {
      const detail::kernel::partial_chunk<fields> part(x, span.whole_end, first, last);
      add_chunks<Type, fields, 1>(chunk + chunk_bytes * chunks, 1, part.x, 0, total);
    }
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < quarters; ++q) vst1q_s32(isum + 4 * q, total[0].rows[q]);
  }
}

/// Where token t's sums with a panel begin.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE tile_sums begin_sums(const group_panel& w,
                                                            const panel_tokens& x,
                                                            std::size_t t) noexcept {
  tile_sums sums;
  const int32x4_t offset =
      w.first ? vdupq_n_s32(-w.zero_code * x.sums[t * x.group_stride]) : vdupq_n_s32(0);
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < quarters; ++q) {
    sums.rows[q] = w.first ? offset : vld1q_s32(x.isum + tile_rows * t + 4 * q);
  }
  return sums;
}

/// Where they go: to the group's next panel or to the epilogue.
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void end_sums(const group_panel& w, const panel_tokens& x,
                                                     std::size_t t,
                                                     const tile_sums& sums) noexcept {
  float* const y = x.y + tile_rows * t;
  EDGERAZOR_UNROLL
  for (std::size_t q = 0; q < quarters; ++q) {
    if (w.last) {
      const float32x4_t scale = vmulq_n_f32(load4(w.scales + 4 * q), x.scales[t * x.group_stride]);
      vst1q_f32(y + 4 * q, multiply_add(vcvtq_f32_s32(sums.rows[q]), scale, load4(y + 4 * q)));
    } else {
      vst1q_s32(x.isum + tile_rows * t + 4 * q, sums.rows[q]);
    }
  }
}

/// Tokens [first, first + Tokens) of a panel's product.
template <code_type Type, std::size_t Tokens>
EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE void panel_product_tokens(const group_panel& w,
                                                                 const panel_tokens& x,
                                                                 std::size_t first) noexcept {
  const std::int8_t* const columns = x.x + first * x.x_stride;
  tile_sums totals[Tokens];
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) {
    totals[t] = begin_sums(w, x, first + t);
    const int32x4_t offset =
        vdupq_n_s32(code_offset<Type>(columns + t * x.x_stride, slot_cols * w.slots));
    EDGERAZOR_UNROLL
    for (std::size_t q = 0; q < quarters; ++q)
      totals[t].rows[q] = vaddq_s32(totals[t].rows[q], offset);
  }
  add_chunks<Type, 1, Tokens>(w.codes, w.slots, columns, x.x_stride, totals);
  EDGERAZOR_UNROLL
  for (std::size_t t = 0; t < Tokens; ++t) end_sums(w, x, first + t, totals[t]);
}

template <code_type Type>
void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  std::size_t t = 0;
  for (; t + 2 <= x.tokens; t += 2) panel_product_tokens<Type, 2>(w, x, t);
  if (t < x.tokens) panel_product_tokens<Type, 1>(w, x, t);
}

inline constexpr functions table{
    .name = "neon",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2>, &dot<code_type::ternary5>, &dot<code_type::int4>,
            &dot<code_type::int8>},
    .unpack = {&unpack<code_type::ternary2>, &unpack<code_type::ternary5>, &unpack<code_type::int4>,
               &unpack<code_type::int8>},
    .panel_product = {&panel_product<code_type::ternary2>, &panel_product<code_type::ternary5>,
                      &panel_product<code_type::int4>, &panel_product<code_type::int8>},
    .panel_float = &panel_float,
    .scale_sums = {&scale_sums<float16>, &scale_sums<bfloat16>, &scale_sums<float>},
    .read_scales = {&read_scales<float16>, &read_scales<bfloat16>, &read_scales<float>},
    .scale_floats = {&scale_floats<float16>, &scale_floats<bfloat16>, &scale_floats<float>},
    .dense_float = &dense_dot<float>,
    .dense_float16 = &dense_dot<float16>,
    .dense_bfloat16 = &dense_dot<bfloat16>,
    .max_magnitude = &max_magnitude,
    .quantize = &quantize,
    .mix = &mix,
    .exponentials = &exponentials,
};

}  // namespace detail::kernel::neon
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS

#endif
