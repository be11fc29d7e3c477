/// Every other machine: vectors of xsimd, of an architecture named by a template parameter. A vector of 32-bit lanes is
/// 4, 8 or 16 rows of a tile, 4 codes each. See kernel.hpp for the contract of each function, scalar.hpp for the truth.
///
/// `table` is for the instruction set of the build itself (xsimd::default_arch), so it needs no question to the
/// processor.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/kernel.hpp>
#include <edgerazor/quant/quantizer.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor::inline v0::generic {

inline bool supported() noexcept {
  return true;
}

/// The vectors of one architecture, all of the same number of bits.
template <class Arch>
struct vectors {
  using bytes = xsimd::batch<std::uint8_t, Arch>;
  using words = xsimd::batch<std::uint16_t, Arch>;
  using shorts = xsimd::batch<std::int16_t, Arch>;
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  static constexpr std::size_t lanes = ints::size;
  static_assert(tile_rows % lanes == 0 && reals::size == lanes, "the 16 rows of a tile are a whole number of vectors");
};

/// Whether xsimd::fma rounds once. Where an architecture has no such instruction, or is not known here to have it,
/// xsimd multiplies and adds, and std::fma, lane by lane, keeps the contract's bits. (MSVC never tells xsimd that Arm
/// has it.)
template <class Arch>
constexpr bool fuses() noexcept {
  for (const std::string_view known : {"fma3", "fma4", "avx512", "arm64", "i8mm", "riscv+rvv", "vmx+vsx", "vxe"}) {
    if (std::string_view(Arch::name()).substr(0, known.size()) == known) return !(EDGERAZOR_MSVC && EDGERAZOR_ARM64);
  }
  return false;
}

/// a * b + c, rounded once.
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> fused(const xsimd::batch<float, Arch>& a, const xsimd::batch<float, Arch>& b,
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
  for (std::size_t i = 0; i < vectors<Arch>::lanes; ++i) wide[i] = std::uint32_t{some[i].bits} << 16;
  return xsimd::bitwise_cast<float>(xsimd::batch<std::uint32_t, Arch>::load_unaligned(wide));
}
/// By integers: normal numbers move to float's exponent, subnormal ones are a multiple of 2^-24, the largest exponent
/// is that of infinity and NaN.
template <class Arch>
EDGERAZOR_INLINE xsimd::batch<float, Arch> load_reals(const float16* at) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  float16 some[vectors<Arch>::lanes];
  std::memcpy(some, at, sizeof some);
  std::int32_t wide[vectors<Arch>::lanes];
  for (std::size_t i = 0; i < vectors<Arch>::lanes; ++i) wide[i] = some[i].bits;
  const ints half = ints::load_unaligned(wide), magnitude = half & ints(0x7fff);
  const ints subnormal = xsimd::bitwise_cast<std::int32_t>(xsimd::to_float(magnitude) * reals(0x1p-24f));
  const ints normal = (magnitude << 13) + ints(112 << 23), special = (magnitude << 13) | ints(0x7f800000);
  const ints finite = xsimd::select(magnitude < ints(0x400), subnormal, normal);
  const ints result = xsimd::select(magnitude < ints(0x7c00), finite, special);
  return xsimd::bitwise_cast<float>(result | ((half & ints(0x8000)) << 16));
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
    const Words higher = (rest * Words(std::uint16_t{171})) >> 9, code = rest - higher * Words(std::uint16_t{3});
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
  if constexpr (Type == code_type::ternary5) return byte_pairs<Arch>(xsimd::min(rows, bytes(std::uint8_t{242})));
  return byte_pairs<Arch>(rows);
}

/// Activations of up to 64 slots in 16 bits: in each slot, columns 0 and 2, and columns 1 and 3.
template <class Arch>
struct slot_columns {
  static constexpr std::size_t capacity = 64;
  alignas(64) std::int16_t even[2 * capacity], odd[2 * capacity];

  /// `slots` slots: those in [begin, end) of a token, from `origin` on, with zeros for the others.
  EDGERAZOR_INLINE slot_columns(const std::int8_t* token, std::size_t origin, std::size_t begin, std::size_t end,
                                std::size_t slots) noexcept {
    using shorts = xsimd::batch<std::int16_t, Arch>;
    alignas(64) std::int8_t x[slot_cols * capacity] = {};
    std::memcpy(x + slot_cols * (begin - origin), token + slot_cols * begin, slot_cols * (end - begin));
    for (std::size_t i = 0; i < 2 * slots; i += shorts::size) {
      const shorts both = xsimd::bitwise_cast<std::int16_t>(xsimd::batch<std::int8_t, Arch>::load_unaligned(x + 2 * i));
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
EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> widen(const xsimd::batch<std::int16_t, Arch>& sums) noexcept {
  const auto both = xsimd::bitwise_cast<std::int32_t>(sums);
  return ((both << 16) >> 16) + (both >> 16);
}

/// Sum of code * x over `chunks` chunks of `Fields` slots, for one vector of rows. `Fields` is the codec's, or 1 for
/// the codes of a panel.
///
/// Products are added in 16 bits as long as |sum| <= slots * 2 * (radix - 1) * 128 < 2^15 proves that they fit, then
/// in 32. A product of an 8-bit code fits alone.
template <code_type Type, unsigned Fields, class Arch>
EDGERAZOR_INLINE xsimd::batch<std::int32_t, Arch> sum_chunks(const std::uint8_t* rows, std::size_t chunks,
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
        const auto even = xsimd::bitwise_cast<std::int16_t>(f + 1 < Fields ? take_code<Type>(rest.even) : rest.even);
        const auto odd = xsimd::bitwise_cast<std::int16_t>(f + 1 < Fields ? take_code<Type>(rest.odd) : rest.odd);
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
EDGERAZOR_INLINE void add_chunks(const std::uint8_t* chunk, std::size_t chunks, const slot_columns<Arch>& x,
                                 std::int32_t* isum) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  for (std::size_t r = 0; r < tile_rows; r += ints::size) {
    const ints sum = sum_chunks<Type, Fields, Arch>(chunk + 4 * r, chunks, x);
    (ints::load_unaligned(isum + r) + sum).store_unaligned(isum + r);
  }
}

template <code_type Type, class Arch>
void dot(const tile_codes& w, const std::int8_t* x, const std::int32_t* x_sums, std::size_t begin, std::size_t end,
         std::int32_t* isum) noexcept {
  constexpr unsigned fields = codec_of(Type).fields;
  constexpr std::size_t block = slot_columns<Arch>::capacity / fields * fields;
  for (std::size_t g = begin; g < end; ++g, isum += tile_rows) {
    const std::size_t first = w.slot_begin(g), last = w.slot_end(g);
    for (std::size_t r = 0; r < tile_rows; ++r) isum[r] = -codec_of(Type).zero_code * x_sums[g];
    for (std::size_t s = first / fields * fields; s < last; s += block) {
      // A chunk that holds slots of another group, too, meets zeros there: a code times zero adds nothing.
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
void panel_dot(const std::uint8_t* panel, std::size_t slots, const std::int8_t* x, std::size_t x_stride,
               std::size_t tokens, std::int32_t* isum) noexcept {
  constexpr std::size_t block = slot_columns<Arch>::capacity;
  for (std::size_t t = 0; t < tokens; ++t, x += x_stride, isum += tile_rows) {
    for (std::size_t s = 0; s < slots; s += block) {
      const std::size_t count = slots - s < block ? slots - s : block;
      add_chunks<Type, 1, Arch>(panel + chunk_bytes * s, count, slot_columns<Arch>(x, s, s, s + count, count), isum);
    }
  }
}

template <class Arch>
void panel_float(const std::uint8_t* panel, std::size_t slots, int zero_code, const float* x, float* p) noexcept {
  using ints = xsimd::batch<std::int32_t, Arch>;
  using reals = xsimd::batch<float, Arch>;
  for (std::size_t r = 0; r < tile_rows; r += ints::size) {
    reals sums[slot_cols];
    EDGERAZOR_UNROLL
    for (std::size_t b = 0; b < slot_cols; ++b) sums[b] = reals::load_unaligned(p + 16 * b + r);
    for (std::size_t s = 0; s < slots; ++s) {
      const auto bytes = xsimd::batch<std::uint8_t, Arch>::load_unaligned(panel + chunk_bytes * s + 4 * r);
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

template <class Scale, class Arch>
void scale_sums(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales, std::size_t groups,
                float* y) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  for (std::size_t r = 0; r < tile_rows; r += reals::size) {
    reals total = reals::load_unaligned(y + r);
    for (std::size_t g = 0; g < groups; ++g) {
      const reals sum = xsimd::to_float(xsimd::batch<std::int32_t, Arch>::load_unaligned(isum + tile_rows * g + r));
      total = fused<Arch>(sum, load_reals<Arch>(scales + tile_rows * g + r) * reals(x_scales[g]), total);
    }
    total.store_unaligned(y + r);
  }
}

template <class Scale, class Arch>
void scale_tokens(const std::int32_t* isum, const std::byte* w_scales, const float* x_scales, std::size_t scale_stride,
                  std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  for (std::size_t t = 0; t < tokens; ++t, isum += tile_rows, x_scales += scale_stride, y += y_stride) {
    scale_sums<Scale, Arch>(isum, w_scales, x_scales, 1, y);
  }
}

template <class Scale, class Arch>
void scale_floats(const float* p, const std::byte* w_scales, float* y) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const Scale* scales = reinterpret_cast<const Scale*>(w_scales);
  for (std::size_t r = 0; r < tile_rows; r += reals::size, p += reals::size) {
    const reals low = reals::load_unaligned(p) + reals::load_unaligned(p + 16);
    const reals sum = low + (reals::load_unaligned(p + 32) + reals::load_unaligned(p + 48));
    fused<Arch>(sum, load_reals<Arch>(scales + r), reals::load_unaligned(y + r)).store_unaligned(y + r);
  }
}

template <std::size_t Rows, class T, class Arch>
EDGERAZOR_INLINE void dense_block(const T* w, std::size_t w_stride, std::size_t cols, const float* x,
                                  float* y) noexcept {
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
        sums[i][part] = fused<Arch>(load_reals<Arch>(w + i * w_stride + c + part * reals::size), token, sums[i][part]);
      }
    }
  }
  for (std::size_t i = 0; i < Rows; ++i, w += w_stride) {
    float s[16];
    for (std::size_t part = 0; part < parts; ++part) sums[i][part].store_unaligned(s + part * reals::size);
    for (std::size_t j = c; j < cols; ++j) s[j - c] = std::fma(static_cast<float>(w[j]), x[j], s[j - c]);
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
  for (std::size_t c = whole; c < cols; ++c) largest = std::fabs(x[c]) > largest ? std::fabs(x[c]) : largest;
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
    const ints level = round_to_level<-127, 127>(reals::load_unaligned(x + c) / divisor);
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
void mix(const std::int8_t* levels, std::size_t stride, const float* weights, std::size_t positions, std::size_t cols,
         float* out) noexcept {
  constexpr std::size_t lanes = vectors<Arch>::lanes;
  std::size_t c = 0;
  for (; c + 4 * lanes <= cols; c += 4 * lanes) mix_block<4, Arch>(levels + c, stride, weights, positions, out + c);
  for (; c + lanes <= cols; c += lanes) mix_block<1, Arch>(levels + c, stride, weights, positions, out + c);
  for (; c < cols; ++c) {
    for (std::size_t t = 0; t < positions; ++t) {
      out[c] = std::fma(weights[t], static_cast<float>(levels[t * stride + c]), out[c]);
    }
  }
}

template <class Arch>
inline constexpr kernel table_of{
    .name = "generic",
    .supported = &supported,
    .dot = {&dot<code_type::ternary2, Arch>, &dot<code_type::ternary5, Arch>, &dot<code_type::int4, Arch>,
            &dot<code_type::int8, Arch>},
    .unpack = {&unpack<code_type::ternary2, Arch>, &unpack<code_type::ternary5, Arch>, &unpack<code_type::int4, Arch>,
               &unpack<code_type::int8, Arch>},
    .panel_dot = {&panel_dot<code_type::ternary2, Arch>, &panel_dot<code_type::ternary5, Arch>,
                  &panel_dot<code_type::int4, Arch>, &panel_dot<code_type::int8, Arch>},
    .panel_float = &panel_float<Arch>,
    .scale_sums = {&scale_sums<float16, Arch>, &scale_sums<bfloat16, Arch>, &scale_sums<float, Arch>},
    .scale_tokens = {&scale_tokens<float16, Arch>, &scale_tokens<bfloat16, Arch>, &scale_tokens<float, Arch>},
    .scale_floats = {&scale_floats<float16, Arch>, &scale_floats<bfloat16, Arch>, &scale_floats<float, Arch>},
    .dense_float = &dense_dot<float, Arch>,
    .dense_float16 = &dense_dot<float16, Arch>,
    .dense_bfloat16 = &dense_dot<bfloat16, Arch>,
    .max_magnitude = &max_magnitude<Arch>,
    .quantize = &quantize<Arch>,
    .mix = &mix<Arch>,
};

inline constexpr kernel table = table_of<xsimd::default_arch>;

}  // namespace edgerazor::inline v0::generic

EDGERAZOR_END_INTRINSICS
