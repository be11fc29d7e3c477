// SPDX-License-Identifier: Apache-2.0
/// Every other machine: vectors of xsimd, of an architecture named by a template parameter. A
/// vector of 32-bit lanes is 4, 8 or 16 rows of a tile, 4 codes each. See kernel.hpp for the
/// contract of each function, scalar.hpp for the truth.
///
/// `table` is for the instruction set of the build itself (xsimd::default_arch), so it needs no
/// question to the processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/kernel/portable/generic_float.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel::generic {

inline bool supported() noexcept {
  return true;
}

/// Of each row's 4 bytes, as 16-bit integers: `even` bytes 0 and 2, `odd` bytes 1 and 3.
template <class Arch>
struct byte_pairs {
  xsimd::batch<std::uint16_t, Arch> even, odd;

  EDGERAZOR_INLINE explicit byte_pairs(const xsimd::batch<std::uint8_t, Arch>& bytes) noexcept {
    const auto words = xsimd::bitwise_cast<std::uint16_t>(bytes);
    even = words & xsimd::batch<std::uint16_t, Arch>(std::uint16_t{0xff});
    odd = words >> 8;
  }
};

/// Whether `take_code` divides every byte of base 3 by 3 rightly, in 16 bits.
constexpr bool divides_by_3() noexcept {
  for (unsigned b = 0; b <= 242; ++b) {
    if (b * 171 > 65535 || b * 171 >> 9 != b / 3) return false;
  }
  return true;
}
static_assert(divides_by_3());

/// Splits the lowest field's code off; `rest` keeps the higher fields.
template <code_type Type, class Words>
EDGERAZOR_INLINE Words take_code(Words& rest) noexcept {
  if constexpr (Type == code_type::ternary5) {
    const Words higher = (rest * Words(std::uint16_t{171})) >> 9,
                code = rest - higher * Words(std::uint16_t{3});
    rest = higher;
    return code;
  } else {
    const Words code = rest & Words(static_cast<std::uint16_t>(codec_of(Type).radix - 1));
    rest = rest >> (8 / static_cast<int>(codec_of(Type).fields));
    return code;
  }
}

/// The bytes of one vector of rows.
template <code_type Type, class Arch>
EDGERAZOR_INLINE byte_pairs<Arch> load_rows(const std::uint8_t* chunk) noexcept {
  using bytes = xsimd::batch<std::uint8_t, Arch>;
  const bytes rows = bytes::load_unaligned(chunk);
  if constexpr (Type == code_type::ternary5)
    return byte_pairs<Arch>(xsimd::min(rows, bytes(std::uint8_t{242})));
  return byte_pairs<Arch>(rows);
}

/// Activations of up to 64 slots in 16 bits: in each slot, columns 0 and 2, and columns 1 and 3.
template <class Arch>
struct slot_columns {
  static constexpr std::size_t capacity = 64;
  alignas(64) std::int16_t even[2 * capacity], odd[2 * capacity];

  /// `slots` slots: those in [begin, end) of a token, from `origin` on, with zeros for the others.
  EDGERAZOR_INLINE slot_columns(const std::int8_t* token, std::size_t origin, std::size_t begin,
                                std::size_t end, std::size_t slots) noexcept {
    using shorts = xsimd::batch<std::int16_t, Arch>;
    alignas(64) std::int8_t x[slot_cols * capacity] = {};
    std::memcpy(x + slot_cols * (begin - origin), token + slot_cols * begin,
                slot_cols * (end - begin));
    for (std::size_t i = 0; i < 2 * slots; i += shorts::size) {
      const shorts both = xsimd::bitwise_cast<std::int16_t>(
          xsimd::batch<std::int8_t, Arch>::load_unaligned(x + 2 * i));
      ((both << 8) >> 8).store_unaligned(even + i);
      (both >> 8).store_unaligned(odd + i);
    }
  }

  /// One slot's pair, for every row.
  EDGERAZOR_INLINE static xsimd::batch<std::int16_t, Arch> of_slot(const std::int16_t* pairs,
                                                                   std::size_t slot) noexcept {
    std::int32_t two;
    std::memcpy(&two, pairs + 2 * slot, sizeof two);
    return xsimd::bitwise_cast<std::int16_t>(xsimd::batch<std::int32_t, Arch>(two));
  }
};

/// The two 16-bit sums of each row, added in 32 bits.
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> widen(
    const xsimd::batch<std::int16_t, Arch>& sums) noexcept {
  const auto both = xsimd::bitwise_cast<std::int32_t>(sums);
  return ((both << 16) >> 16) + (both >> 16);
}

/// Sum of code * x over `chunks` chunks of `Fields` slots, for one vector of rows. `Fields` is the
/// codec's, or 1 for the codes of a panel.
///
/// Products are added in 16 bits as long as |sum| <= slots * 2 * (radix - 1) * 128 < 2^15 proves
/// that they fit, then in 32. A product of an 8-bit code fits alone.
template <code_type Type, unsigned Fields, class Arch>
EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> sum_chunks(const std::uint8_t* rows,
                                                             std::size_t chunks,
                                                             const slot_columns<Arch>& x) noexcept {
  using shorts = xsimd::batch<std::int16_t, Arch>;
  constexpr std::size_t slots_to_widen = 32767 / (2 * (codec_of(Type).radix - 1) * 128),
                        block = slots_to_widen / Fields;
  static_assert(block > 0 || (Type == code_type::int8 && 255 * 128 <= 32767));
  xsimd::batch<std::int32_t, Arch> total(0);
  for (std::size_t c = 0; c < chunks;) {
    shorts sums(std::int16_t{0});
    const std::size_t end = block == 0 || chunks - c < block ? chunks : c + block;
    for (; c < end; ++c) {
      byte_pairs<Arch> rest = load_rows<Type, Arch>(rows + chunk_bytes * c);
      EDGERAZOR_UNROLL
      for (unsigned f = 0; f < Fields; ++f) {
        const auto even = xsimd::bitwise_cast<std::int16_t>(
            f + 1 < Fields ? take_code<Type>(rest.even) : rest.even);
        const auto odd = xsimd::bitwise_cast<std::int16_t>(
            f + 1 < Fields ? take_code<Type>(rest.odd) : rest.odd);
        const shorts of_even = even * slot_columns<Arch>::of_slot(x.even, Fields * c + f);
        const shorts of_odd = odd * slot_columns<Arch>::of_slot(x.odd, Fields * c + f);
        if constexpr (block > 0) {
          sums += of_even + of_odd;
        } else {
          total += widen<Arch>(of_even) + widen<Arch>(of_odd);
        }
      }
    }
    if constexpr (block > 0) total += widen<Arch>(sums);
  }
  return total;
}

/// isum[r] += sum of code * x, all 16 rows.
template <code_type Type, unsigned Fields, class Arch>
EDGERAZOR_INLINE void add_chunks(const std::uint8_t* chunk, std::size_t chunks,
                                 const slot_columns<Arch>& x, std::int32_t* isum) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  for (std::size_t r = 0; r < tile_rows; r += ints::size) {
    const ints sum = sum_chunks<Type, Fields, Arch>(chunk + 4 * r, chunks, x);
    (ints::load_unaligned(isum + r) + sum).store_unaligned(isum + r);
  }
}

template <code_type Type, class Arch>
void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin,
         std::size_t end, std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t block = slot_columns<Arch>::capacity / fields * fields;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    for (std::size_t r = 0; r < tile_rows; ++r) isum[r] = -codec_of(Type).zero_code * x_sums[g];
    for (std::size_t s = first / fields * fields; s < last; s += block) {
      // A chunk that holds slots of another group, too, meets zeros there: a code times zero adds
      // nothing.
      const std::size_t from = s < first ? first : s, to = last - s < block ? last : s + block;
      const std::size_t chunks = (to - s + fields - 1) / fields;
      const slot_columns<Arch> columns(x, s, from, to, chunks * fields);
      add_chunks<Type, fields, Arch>(w.chunks + chunk_bytes * (s / fields), chunks, columns, isum);
    }
  }
}

template <code_type Type, class Arch>
void unpack(const tile_codes& w, std::size_t begin, std::size_t end, std::uint8_t* panel) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  for (std::size_t chunk = begin / fields; chunk * fields < end; ++chunk) {
    for (std::size_t r = 0; r < tile_rows; r += vectors<Arch>::lanes) {
      byte_pairs<Arch> rest = load_rows<Type, Arch>(w.chunks + chunk_bytes * chunk + 4 * r);
      for (std::size_t f = 0; f < fields; ++f) {
        const auto even = f + 1 < fields ? take_code<Type>(rest.even) : rest.even;
        const auto odd = f + 1 < fields ? take_code<Type>(rest.odd) : rest.odd;
        const std::size_t slot = chunk * fields + f;
        if (slot < begin || slot >= end) continue;
        xsimd::bitwise_cast<std::uint8_t>(even | (odd << 8))
            .store_unaligned(panel + chunk_bytes * (slot - begin) + 4 * r);
      }
    }
  }
}

template <code_type Type, class Arch>
void panel_product(const group_panel& w, const panel_tokens& x) noexcept {
  constexpr std::size_t block = slot_columns<Arch>::capacity;
  for (std::size_t t = 0; t < x.tokens; ++t) {
    std::int32_t* const isum = x.isum + tile_rows * t;
    for (std::size_t r = 0; r < tile_rows && w.first; ++r)
      isum[r] = -w.zero_code * x.sums[t * x.group_stride];
    for (std::size_t s = 0; s < w.slots; s += block) {
      const std::size_t count = w.slots - s < block ? w.slots - s : block;
      const slot_columns<Arch> columns(x.x + t * x.x_stride, s, s, s + count, count);
      add_chunks<Type, 1, Arch>(w.codes + chunk_bytes * s, count, columns, isum);
    }
    if (w.last) add_scaled<Arch>(isum, w.scales, x.scales[t * x.group_stride], x.y + tile_rows * t);
  }
}

template <class Arch>
inline constexpr functions table_of{
    .name = "generic",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2, Arch>, &dot<code_type::ternary5, Arch>,
            &dot<code_type::int4, Arch>, &dot<code_type::int8, Arch>},
    .unpack = {&unpack<code_type::ternary2, Arch>, &unpack<code_type::ternary5, Arch>,
               &unpack<code_type::int4, Arch>, &unpack<code_type::int8, Arch>},
    .panel_product = {&panel_product<code_type::ternary2, Arch>,
                      &panel_product<code_type::ternary5, Arch>,
                      &panel_product<code_type::int4, Arch>, &panel_product<code_type::int8, Arch>},
    .panel_float = &panel_float<Arch>,
    .scale_sums = {&scale_sums<float16, Arch>, &scale_sums<bfloat16, Arch>,
                   &scale_sums<float, Arch>},
    .read_scales = {&read_scales<float16, Arch>, &read_scales<bfloat16, Arch>,
                    &read_scales<float, Arch>},
    .scale_floats = {&scale_floats<float16, Arch>, &scale_floats<bfloat16, Arch>,
                     &scale_floats<float, Arch>},
    .dense_float = &dense_dot<float, Arch>,
    .dense_float16 = &dense_dot<float16, Arch>,
    .dense_bfloat16 = &dense_dot<bfloat16, Arch>,
    .max_magnitude = &max_magnitude<Arch>,
    .quantize = &quantize<Arch>,
    .mix = &mix<Arch>,
    .exponentials = &exponentials<Arch>,
};

inline constexpr functions table = table_of<xsimd::default_arch>;

}  // namespace detail::kernel::generic
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
