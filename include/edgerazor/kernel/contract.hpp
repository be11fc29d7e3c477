// SPDX-License-Identifier: Apache-2.0
/// What an instruction set supplies: a table of plain functions over one tile. Everything above
/// them (tiles, groups, tails, row ranges, tokens, threads) is written once, in product/.
///
/// Contract of every function: it computes what portable/scalar.hpp, the reference implementation,
/// computes, bit for bit (a NaN for a NaN: its sign and payload are the compiler's choice of
/// operand order); it allocates nothing, throws nothing and keeps no state; it reads only what its
/// arguments describe. Integer sums are exact: where an instruction saturates, a static_assert
/// proves that it can't.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>
#include <edgerazor/matrix/tile_layout.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel {

/// One plane of the codes of one tile (16 rows): chunks in order, see tile_layout.hpp. A digit
/// counts 2^shift in the code; the planes of a tile are given one after the other.
struct plane_codes {
  const std::uint8_t* chunks = nullptr;
  std::size_t slots = 0;        ///< of the whole row
  std::size_t group_slots = 0;  ///< of a group, the last of the row excepted
  unsigned shift = 0;
  bool first =
      true;  ///< whether results are set by this plane, or those of the ones before are added to
  int zero_code = 0;  ///< code - level
  /// Of a plane with a table: the code of digit d of row r in group g is byte 64 * g + 4 * r + d,
  /// modulo table_codes.
  const std::uint8_t* tables = nullptr;

  [[nodiscard]] constexpr std::size_t slot_begin(std::size_t group) const noexcept {
    return group * group_slots;
  }
  [[nodiscard]] constexpr std::size_t slot_end(std::size_t group) const noexcept {
    const std::size_t end = (group + 1) * group_slots;
    return end < slots ? end : slots;
  }
};

/// For groups [begin, end) and the 16 rows r of a tile:
///
///     isum[16 * (g - begin) + r] = (the plane is first ? -zero_code * x_sums[g] : what it was)
///                                  + 2^shift * sum over columns c of group g of digit(r, c) * x[c]
///
/// where `digit` is what the digit stands for, here and below: of a plane with a table, a code.
/// `x` are the codes of a whole token, zeros up to a multiple of 4 columns included; `x_sums[g]`
/// their sum in group g.
using dot_function = void (*)(const plane_codes& w, const std::int8_t* x,
                              const std::int32_t* x_sums, std::size_t begin, std::size_t end,
                              std::int32_t* isum) noexcept;

/// Slots [begin, end) of the tile, one byte a code: panel[64 * (s - begin) + 4 * r + b] is (the
/// plane is first ? 0 : what it was) + digit << shift of row r, byte b of slot s. A panel is at
/// most `panel_slots` slots, so that it stays in the nearest cache while tokens pass over it.
using unpack_function = void (*)(const plane_codes& w, std::size_t begin, std::size_t end,
                                 std::uint8_t* panel) noexcept;
inline constexpr std::size_t panel_slots = 64;

/// Codes in threes of one tile or two (triples.hpp): chunks in order.
struct triple_codes {
  const std::uint8_t* chunks = nullptr;
  std::size_t slots = 0;        ///< of the whole row
  std::size_t group_slots = 0;  ///< of a group, the last of the row excepted
  std::size_t tiles = 1;        ///< 1 or 2
  std::size_t tile_bytes = 0;   ///< from the first tile's chunks to the second's

  /// Pairs of units of a group, the last of the row excepted.
  [[nodiscard]] constexpr std::size_t group_pairs() const noexcept {
    return matrix::triples::pairs_of(slot_cols * group_slots);
  }
  /// The pairs of a group are [pair_begin(group), pair_end(group)).
  [[nodiscard]] constexpr std::size_t pair_begin(std::size_t group) const noexcept {
    return group * group_pairs();
  }
  [[nodiscard]] constexpr std::size_t pair_end(std::size_t group) const noexcept {
    const std::size_t left = slots - group * group_slots;
    return pair_begin(group) +
           matrix::triples::pairs_of(slot_cols * (left < group_slots ? left : group_slots));
  }
};

/// The products of a pair of units with their activations. Unit u of the pair has two numbers for
/// each index i (triples.hpp), whose weights' number is t = clamp(i - 1, 0, 13): with the sum
/// S = w0 x0 + w1 x1 + w2 x2,
///
///     high = byte 32 + 16 * u + i of the table = floor((1057 S + 16384) / 2^15)
///     low  = byte      16 * u + i of the table = S - 31 * high
///
/// 1057 / 2^15 is 1 / 31, nearly: of |S| <= 384, |low| <= 15 and |high| <= 12, so that the sums of
/// eight fit a byte.
inline constexpr std::size_t triple_table_bytes = matrix::triples::pair_table_bytes;
inline constexpr int triple_factor = 31;
[[nodiscard]] constexpr int triple_high(int sum) noexcept { return (1057 * sum + 16384) >> 15; }
inline constexpr bool triple_sums_fit = [] {
  for (int sum = -3 * 128; sum <= 3 * 128; ++sum) {
    const int high = triple_high(sum), low = sum - triple_factor * high;
    if (8 * high > 127 || 8 * high < -128 || 8 * low > 127 || 8 * low < -128) return false;
  }
  return true;
}();
static_assert(triple_sums_fit);

/// The tables of a group: those of pairs_of(cols) pairs, 64 bytes each. `x`: the group's codes,
/// `cols` of them, zeros up to a multiple of 4 columns included; past them activations are zero.
using triple_tables_function = void (*)(const std::int8_t* x, std::size_t cols,
                                        std::uint8_t* tables) noexcept;

/// For groups [begin, end) and the 16 rows r of each tile i:
///
///     isum[16 * (i * (end - begin) + g - begin) + r] = sum over columns c of level(r, c) * x[c]
///
/// by the tables of the activations x, which begin with those of the chunk in which group `begin`
/// does; only those of these groups' pairs are read.
using triple_dot_function = void (*)(const triple_codes& w, const std::uint8_t* tables,
                                     std::size_t begin, std::size_t end,
                                     std::int32_t* isum) noexcept;

/// Slots [begin, end) of the first tile as `unpack_function` gives them: codes, level + 1.
using triple_unpack_function = void (*)(const triple_codes& w, std::size_t begin, std::size_t end,
                                        std::uint8_t* panel) noexcept;

/// Asks for bytes that a product will read soon; or does nothing. Of a tile, `dot` and `triple_dot`
/// themselves ask for what lies prefetch_distance bytes behind each of its chunks, if they ask at
/// all; its scales are left to the caller.
using prefetch_function = void (*)(const std::byte* at, std::size_t count) noexcept;

/// In bytes: what a core reads from DRAM, at 30 GB/s, in 200 ns.
inline constexpr std::size_t prefetch_distance = 6 * 1024;

/// A panel of one group, to be multiplied by several tokens.
struct group_panel {
  const std::uint8_t* codes = nullptr;  ///< as `unpack` writes them
  std::size_t slots = 0;
  bool first = true, last = true;  ///< whether the group begins, ends with this panel
  int zero_code = 0;
  unsigned largest_code = 255;    ///< no code is larger
  const float* scales = nullptr;  ///< of the 16 rows in this group
  zero_kind zero = zero_kind::none;
  const float* zeros = nullptr;  ///< of the 16 rows in this group, where there are any
};

/// Those tokens: for token t, the activations of the panel's columns, the sum and scale of its
/// activations in the group, the integer sums that wait for the group's next panel, and the result.
struct panel_tokens {
  std::size_t tokens = 0;
  const std::int8_t* x = nullptr;  ///< x[t * x_stride + 4 * s + b]
  std::size_t x_stride = 0;
  const std::int32_t* sums = nullptr;  ///< sums[t * group_stride], scales[t * group_stride]
  const float* scales = nullptr;
  std::size_t group_stride = 0;
  std::int32_t* isum = nullptr;  ///< isum[16 * t + r]
  float* y = nullptr;            ///< y[16 * t + r]
};

/// isum[16 * t + r] = (the panel is first ? -zero_code * sums[t] : isum[16 * t + r]) + sum over the
/// panel's columns of code(r, c) * x[t][c]; where the panel is last, this goes to the one epilogue
/// (below) instead, with w.scales[r], scales[t], and of a group with zeros w.zeros[r] and sums[t].
using panel_product_function = void (*)(const group_panel& w, const panel_tokens& x) noexcept;

/// Products of ternary codes with several tokens by look-up: what an instruction set may have
/// beside its panels, for groups of at most look_up_cols columns. Tokens are taken 16 at a time.
inline constexpr std::size_t look_up_tokens = 16, look_up_unit = 3, look_up_cols = 256;
/// Units of a group of so many slots; columns past its last count as 0.
[[nodiscard]] constexpr std::size_t units_of(std::size_t slots) noexcept {
  return (slot_cols * slots + look_up_unit - 1) / look_up_unit;
}

/// The unpacked codes of a tile in a group to indices of its units:
///
///     indices[16 * u + r] = 4 * (c0 + 3 * c1 + 9 * c2)      of columns 3u, 3u + 1, 3u + 2 of row r
///
/// where codes past the group are 0. Units up to a multiple of 4 are written. Returns whether all
/// codes are 0, 1 or 2; where one is not, the indices are of no use.
using look_up_indices_function = bool (*)(const std::uint8_t* panel, std::size_t slots,
                                          std::uint8_t* indices) noexcept;
inline constexpr std::size_t look_up_step = 4;

/// Several tiles of one group.
struct look_up_rows {
  const std::uint8_t* indices = nullptr;  ///< of a tile as above, then of the next
  std::size_t tile_stride = 0;            ///< bytes from one tile's to the next's
  std::size_t tiles = 0;
  std::size_t slots = 0;  ///< of the group, at most look_up_cols / 4
};

/// sums[256 * i + 16 * t + r] = sum over the group's columns of (code(r, c) - 1) * x[t * x_stride +
/// c], modulo 2^16, of row r of tile i and `tokens` <= 16 tokens. It fits int16 always where a
/// group has less than look_up_cols columns; where it has as many, unless all x are -128. Of the
/// other tokens the sums are 0.
using look_up_sums_function = void (*)(const look_up_rows& w, const std::int8_t* x,
                                       std::size_t x_stride, std::size_t tokens,
                                       std::int16_t* sums) noexcept;

/// Such sums of several groups and tiles, for the one epilogue (below), without zeros: those of
/// group g begin at sums + g * sums_step, the scales of tile i in it at scales + g * scales_step +
/// 16 * i.
struct look_up_results {
  const std::int16_t* sums = nullptr;
  std::size_t sums_step = 0;
  const float* scales = nullptr;
  std::size_t scales_step = 0;
  std::size_t groups = 0, tiles = 0;
};

/// For row r of tile i, groups in order: y[t * y_stride + 16 * i + r] = fma(float(its sum in group
/// g), its scale in g * x_scales[t * group_stride + g], y[t * y_stride + 16 * i + r]).
using look_up_scale_function = void (*)(const look_up_results& w, const float* x_scales,
                                        std::size_t group_stride, std::size_t tokens, float* y,
                                        std::size_t y_stride) noexcept;

/// Of an instruction set that has none, all three are null.
struct look_up_functions {
  look_up_indices_function indices = nullptr;
  look_up_sums_function sums = nullptr;
  look_up_scale_function scale = nullptr;

  [[nodiscard]] constexpr explicit operator bool() const noexcept { return indices != nullptr; }
  [[nodiscard]] bool operator==(const look_up_functions&) const = default;
};
/// None, unless an instruction set's namespace has a table of this name; likewise loops/dot.inl's
/// `widest` and `chunks_a_round`.
inline constexpr look_up_functions look_up_table;
template <plane_type>
inline constexpr std::size_t widest = 0;
inline constexpr std::size_t chunks_a_round = 1;

/// For float activations of several tokens: p[64 * t + 16 * b + r] = fma(code(r, c) - zero_code,
/// x[t * x_stride + c], p[64 * t + 16 * b + r]) over the columns c = 4 * s + b of the panel, in
/// order. A token has 4 * slots elements.
using panel_float_function = void (*)(const std::uint8_t* panel, std::size_t slots, int zero_code,
                                      const float* x, std::size_t x_stride, std::size_t tokens,
                                      float* p) noexcept;

/// The one epilogue, groups in order. With the 16 scales s_w of a group and, where it has zeros,
/// the 16 zeros z or m behind them, all as stored at `w_scales`; s_x = x_scales[g], X = x_sums[g]:
///
///     none       y[r] = fma(float(isum[16 * g + r]), s_w[r] * s_x, y[r])
///     point      t    = fma(-z[r], float(X), float(isum[16 * g + r]))
///                y[r] = fma(t, s_w[r] * s_x, y[r])
///     minimum    y[r] = fma(float(isum[16 * g + r]), s_w[r] * s_x, y[r])
///                y[r] = fma(float(X), m[r] * s_x, y[r])
///
/// float(X) is exact: |X| <= 128 * largest_group = 2^23. `x_sums` is not read without zeros.
using scale_sums_function = void (*)(const std::int32_t* isum, const std::byte* w_scales,
                                     const float* x_scales, const std::int32_t* x_sums,
                                     std::size_t groups, float* y) noexcept;
static_assert(std::uint64_t{128} * format::largest_group <= std::uint64_t{1} << 24);

/// The 16 stored scales of a group as floats, and its 16 zeros where it has them.
using read_scales_function = void (*)(const std::byte* w_scales, float* scales,
                                      float* zeros) noexcept;

/// The epilogue of float activations, one group: with P[r] = (p[r] + p[16 + r]) + (p[32 + r] + p[48
/// + r]) in the place of float(isum), 1 in that of s_x and `x_sum`, the sum of the group's
/// activations, in that of float(X). `x_sum` is of no concern without zeros.
///
///     none       y[r] = fma(P[r], s_w[r], y[r])
///     point      y[r] = fma(fma(-z[r], x_sum, P[r]), s_w[r], y[r])
///     minimum    y[r] = fma(P[r], s_w[r], y[r]);  y[r] = fma(x_sum, m[r], y[r])
using scale_floats_function = void (*)(const float* p, const std::byte* w_scales, float x_sum,
                                       float* y) noexcept;

/// Which function of a table takes a format's scales and zeros: numbers of each scale_kind with
/// each zero_kind, then those of two levels with the two kinds of zero.
inline constexpr std::size_t statistics_kinds = 11;
[[nodiscard]] constexpr std::size_t statistics_index(const format& fmt) noexcept {
  if (fmt.two_level) return 8 + static_cast<std::size_t>(fmt.zero);
  return 3 * static_cast<std::size_t>(fmt.zero) + static_cast<std::size_t>(fmt.scale);
}

/// In the place of a scale's type where scales and zeros are codes.
struct two_levels {};
/// Bytes of the scales and zeros of a group.
template <class Stored, zero_kind Zero>
inline constexpr std::size_t statistics_bytes =
    tile_rows * sizeof(Stored) * (Zero == zero_kind::none ? 1 : 2);
template <zero_kind Zero>
inline constexpr std::size_t statistics_bytes<two_levels, Zero> = matrix::two_level_bytes;

/// y[t * y_stride + i] = dot product of row i of an unpacked 16-bit or float matrix with token t.
/// Order: 16 sums, s_j = fma(w, x, s_j) over the columns c with c % 16 == j, in order, from zero;
/// then halves are added: s_j += s_{j+8}, s_j += s_{j+4}, s_j += s_{j+2}, s_0 + s_1. Strides are
/// elements.
template <class T>
using dense_dot_function = void (*)(const T* w, std::size_t w_stride, std::size_t rows,
                                    std::size_t cols, const float* x, std::size_t x_stride,
                                    std::size_t tokens, float* y, std::size_t y_stride) noexcept;

/// Codes of one group of activations by a given scale, clamp(round_half_even(x / scale), -127,
/// 127); returns their sum.
using quantize_function = std::int32_t (*)(const float* x, std::size_t cols, float scale,
                                           std::int8_t* codes) noexcept;

/// max|x| of `cols` elements, 0 of none; NaN where one of them is. By the magnitudes' bits, whose
/// order as integers is that of the magnitudes, infinity and NaN above all numbers.
using max_magnitude_function = float (*)(const float* x, std::size_t cols) noexcept;

/// Several weighted sums of the same rows, for t = 0, 1, ... in order:
///
///     out[q * out_stride + c] = fma(weights[q * weight_stride + t],
///                                   float(levels[t * stride + c]), out[q * out_stride + c])
using weighted_sum_function = void (*)(const std::int8_t* levels, std::size_t stride,
                                       const float* weights, std::size_t weight_stride,
                                       std::size_t positions, std::size_t cols, std::size_t sums,
                                       float* out, std::size_t out_stride) noexcept;

/// In place: x[i] = e^(scale * (x[i] - shift)), as exponential.hpp defines it. Returns their sum:
/// 16 sums, s_j += x[i] over the i with i % 16 == j, in order, from zero, then halves are added as
/// in `dense_dot_function`.
using exponentials_function = float (*)(float* x, std::size_t count, float scale,
                                        float shift) noexcept;

/// The rows of one sparse tile, steps in order: y[r] = fma(value, x[column], y[r]) of the entry of
/// row r, unless its value is 0, which adds nothing. Columns are ones that x has.
using sparse_sums_function = void (*)(const sparse_step* steps, std::size_t count, const float* x,
                                      float* y) noexcept;

/// The same for 16 tokens t at once, whose activations of a column lie together:
///
///     y[16 * r + t] = fma(value, x[16 * column + t], y[16 * r + t])
using sparse_panel_function = void (*)(const sparse_step* steps, std::size_t count, const float* x,
                                       float* y) noexcept;
inline constexpr std::size_t sparse_tokens = 16;

/// One instruction set. The rows of dispatch.hpp's list are of this type.
struct functions {
  std::string_view name;
  bool (*supported)() noexcept;  ///< whether this processor (and operating system) can run it

  std::array<dot_function, plane_list.size()> dot;  ///< by plane_type
  std::array<unpack_function, plane_list.size()> unpack;
  triple_tables_function triple_tables;
  triple_dot_function triple_dot;
  triple_unpack_function triple_unpack;
  prefetch_function prefetch;
  panel_product_function panel_product;
  look_up_functions look_up;  ///< not every table has them
  panel_float_function panel_float;
  std::array<scale_sums_function, statistics_kinds> scale_sums;  ///< by statistics_index
  std::array<read_scales_function, statistics_kinds> read_scales;
  std::array<scale_floats_function, statistics_kinds> scale_floats;
  dense_dot_function<float> dense_float;
  dense_dot_function<float16> dense_float16;
  dense_dot_function<bfloat16> dense_bfloat16;
  max_magnitude_function max_magnitude;
  quantize_function quantize;
  weighted_sum_function weighted_sum;
  exponentials_function exponentials;
  sparse_sums_function sparse_sums;
  sparse_panel_function sparse_panel;
};

/// The entries that a table has for each plane: make(plane_constant<type>{}) of every plane.
template <class Function, class Make>
[[nodiscard]] constexpr std::array<Function, plane_list.size()> of_every_plane(
    const Make& make) noexcept {
  return [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    return std::array<Function, plane_list.size()>{
        make(matrix::plane_constant<plane_list[Index].type>{})...};
  }(std::make_index_sequence<plane_list.size()>{});
}

/// The entries that it has for each kind of scales and zeros, in the order of statistics_index:
/// make(Scale{}, zero_constant<kind>{}).
template <class Function, class Make>
[[nodiscard]] constexpr std::array<Function, statistics_kinds> of_all_statistics(
    const Make& make) noexcept {
  using policy::zero_constant;
  constexpr zero_constant<zero_kind::none> none;
  constexpr zero_constant<zero_kind::point> point;
  constexpr zero_constant<zero_kind::minimum> minimum;
  return {make(float16{}, none),     make(bfloat16{}, none),     make(float{}, none),
          make(float16{}, point),    make(bfloat16{}, point),    make(float{}, point),
          make(float16{}, minimum),  make(bfloat16{}, minimum),  make(float{}, minimum),
          make(two_levels{}, point), make(two_levels{}, minimum)};
}

/// Whether no entry of a table is missing.
[[nodiscard]] constexpr bool is_complete(const functions& k) noexcept {
  bool complete = k.supported && k.prefetch && k.panel_product && k.panel_float && k.dense_float &&
                  k.dense_float16 && k.dense_bfloat16 && k.max_magnitude && k.quantize &&
                  k.weighted_sum && k.exponentials && k.sparse_sums && k.sparse_panel &&
                  k.triple_tables && k.triple_dot && k.triple_unpack;
  const auto check = [&complete](const auto& entries) {
    for (const auto entry : entries) complete = complete && entry;
  };
  check(k.dot), check(k.unpack), check(k.scale_sums), check(k.read_scales), check(k.scale_floats);
  return complete;
}

}  // namespace detail::kernel
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
