// SPDX-License-Identifier: Apache-2.0
/// One tile times activations: groups, panels and token blocks around an instruction set's
/// functions. Written once for all of them; adds to y, so that a matrix in pieces is the sum of its
/// pieces.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/product/triple_product.hpp>
#include <edgerazor/product/weights_ahead.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

/// Tokens over which one unpacked panel is used before the next: sums of 4 KiB.
inline constexpr std::size_t token_block = 64;
/// From so many tokens on, unpacking a panel once costs less than decoding fields for every token.
inline constexpr std::size_t panel_tokens_at_least = 4;
static_assert(most_table_tokens + 1 == panel_tokens_at_least);

/// The planes of one tile, or its triples, as the kernels take them.
struct tile_planes {
  std::array<kernel::plane_codes, 2> codes;
  kernel::triple_codes triples;     ///< where there are no planes
  std::array<std::size_t, 2> type;  ///< index into the tables of a kernel
  std::size_t count;

  tile_planes(const packed_view& w, std::size_t tile) noexcept
      : count(w.layout().codec().plane_count) {
    const tile_layout& layout = w.layout();
    const codec_info& codec = layout.codec();
    if (codec.of_triples()) {
      triples = tile_triples(w, tile);
      codes[0].slots = layout.slots(), codes[0].group_slots = layout.group_slots();
    }
    for (std::size_t p = 0; p < codes.size() && p < count; ++p) {
      type[p] = static_cast<std::size_t>(codec.digits[p].plane);
      codes[p] = {
          .chunks = reinterpret_cast<const std::uint8_t*>(w.tile(tile) + layout.plane_offset(p)),
          .slots = layout.slots(),
          .group_slots = layout.group_slots(),
          .shift = codec.digits[p].shift,
          .first = p == 0,
          .zero_code = layout.zero_code(),
          .tables = reinterpret_cast<const std::uint8_t*>(w.tile(tile) + layout.scale_bytes())};
    }
  }
  [[nodiscard]] std::size_t slot_begin(std::size_t group) const noexcept {
    return codes[0].slot_begin(group);
  }
  [[nodiscard]] std::size_t slot_end(std::size_t group) const noexcept {
    return codes[0].slot_end(group);
  }
  void dot(const kernel::functions& k, const std::int8_t* x, const std::int32_t* x_sums,
           std::size_t begin, std::size_t end, std::int32_t* isum) const noexcept {
    for (std::size_t p = 0; p < count; ++p) k.dot[type[p]](codes[p], x, x_sums, begin, end, isum);
  }
  void unpack(const kernel::functions& k, std::size_t begin, std::size_t end,
              std::uint8_t* panel) const noexcept {
    if (count == 0) return k.triple_unpack(triples, begin, end, panel);
    for (std::size_t p = 0; p < count; ++p) k.unpack[type[p]](codes[p], begin, end, panel);
  }
};

/// Groups [begin, end) of columns.
struct group_range {
  std::size_t begin, end;
  [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
};

/// y[16 * t + r] += row r of the tile * token t over some groups, for int8 activations of at most
/// token_block tokens.
inline void multiply_tile(const kernel::functions& k, const packed_view& w, std::size_t tile,
                          group_range groups, const activation_view& x, float* y) noexcept {
  const tile_layout& layout = w.layout();
  const tile_planes planes(w, tile);
  const std::byte* scales = w.tile(tile);
  const std::size_t kind = kernel::statistics_index(layout.fmt()),
                    group_bytes = layout.group_bytes();

  if (x.tokens < panel_tokens_at_least && planes.count != 0) {
    std::int32_t isum[tile_rows * group_block];
    for (std::size_t t = 0; t < x.tokens; ++t) {
      for (std::size_t g = groups.begin; g < groups.end; g += group_block) {
        const std::size_t end = std::min(g + group_block, groups.end);
        planes.dot(k, x.codes + t * x.code_stride, x.sums + t * x.group_stride, g, end, isum);
        const std::size_t at = t * x.group_stride + g;
        k.scale_sums[kind](isum, scales + g * group_bytes, x.scales + at, x.sums + at, end - g,
                           y + tile_rows * t);
      }
    }
    return;
  }
  alignas(64) std::uint8_t panel[chunk_bytes * kernel::panel_slots];
  alignas(64) std::int32_t isum[tile_rows * token_block];
  alignas(64) float group_scales[tile_rows];
  alignas(64) float group_zeros[tile_rows];
  const unsigned largest_code = layout.codec().largest_code();
  for (std::size_t g = groups.begin; g < groups.end; ++g) {
    k.read_scales[kind](scales + g * group_bytes, group_scales, group_zeros);
    for (std::size_t begin = planes.slot_begin(g), s = begin; s < planes.slot_end(g);
         s += kernel::panel_slots) {
      const std::size_t end = std::min(s + kernel::panel_slots, planes.slot_end(g));
      planes.unpack(k, s, end, panel);
      k.panel_product({.codes = panel,
                       .slots = end - s,
                       .first = s == begin,
                       .last = end == planes.slot_end(g),
                       .zero_code = layout.zero_code(),
                       .largest_code = largest_code,
                       .scales = group_scales,
                       .zero = layout.fmt().zero,
                       .zeros = group_zeros},
                      {.tokens = x.tokens,
                       .x = x.codes + slot_cols * s,
                       .x_stride = x.code_stride,
                       .sums = x.sums + g,
                       .scales = x.scales + g,
                       .group_stride = x.group_stride,
                       .isum = isum,
                       .y = y});
    }
  }
}

/// The sum of a group's activations, which are four sums, of the columns c with c % 4 == b in
/// order.
inline float sum_of_columns(const float* x, std::size_t cols) noexcept {
  float q[slot_cols] = {};
  const std::size_t whole = cols - cols % slot_cols;
  for (std::size_t c = 0; c < whole; c += slot_cols) {
    for (std::size_t b = 0; b < slot_cols; ++b) q[b] = core::ordered(q[b] + x[c + b]);
  }
  for (std::size_t c = whole; c < cols; ++c) q[c - whole] = core::ordered(q[c - whole] + x[c]);
  return core::ordered(core::ordered(q[0] + q[1]) + core::ordered(q[2] + q[3]));
}

/// The same for float activations.
inline void multiply_tile(const kernel::functions& k, const packed_view& w, std::size_t tile,
                          group_range groups, const matrix_view<const float>& x,
                          float* y) noexcept {
  const tile_layout& layout = w.layout();
  const tile_planes planes(w, tile);
  const std::byte* scales = w.tile(tile);
  const std::size_t kind = kernel::statistics_index(layout.fmt());
  const int zero_code = layout.zero_code();
  constexpr std::size_t block = 16, partials = slot_cols * tile_rows;
  alignas(64) std::uint8_t panel[chunk_bytes * kernel::panel_slots];
  alignas(64) float p[partials * block];

  for (std::size_t t = 0; t < x.rows; t += block) {
    const std::size_t tokens = std::min(block, x.rows - t);
    for (std::size_t g = groups.begin; g < groups.end; ++g) {
      std::fill_n(p, partials * tokens, 0.0f);
      for (std::size_t s = planes.slot_begin(g); s < planes.slot_end(g); s += kernel::panel_slots) {
        const std::size_t end = std::min(s + kernel::panel_slots, planes.slot_end(g));
        planes.unpack(k, s, end, panel);
        // A last slot of fewer than 4 columns is completed by zeros: nothing past the caller's row
        // is read.
        const std::size_t whole = std::min(end, layout.cols() / slot_cols) - s;
        k.panel_float(panel, whole, zero_code, x.row(t).data() + slot_cols * s, x.stride, tokens,
                      p);
        if (s + whole == end) continue;
        for (std::size_t i = 0; i < tokens; ++i) {
          float last[slot_cols] = {};
          std::copy_n(x.row(t + i).data() + slot_cols * (s + whole), layout.cols() % slot_cols,
                      last);
          k.panel_float(panel + chunk_bytes * whole, 1, zero_code, last, 0, 1, p + partials * i);
        }
      }
      const std::size_t begin = g * layout.group_cols(),
                        cols = std::min(layout.group_cols(), layout.cols() - begin);
      for (std::size_t i = 0; i < tokens; ++i) {
        const float x_sum =
            layout.has_zeros() ? sum_of_columns(x.row(t + i).data() + begin, cols) : 0.0f;
        k.scale_floats[kind](p + partials * i, scales + g * layout.group_bytes(), x_sum,
                             y + tile_rows * (t + i));
      }
    }
  }
}

inline activation_view tokens_of(const activation_view& x, std::size_t begin,
                                 std::size_t end) noexcept {
  return x.tokens_between(begin, end);
}
inline matrix_view<const float> tokens_of(const matrix_view<const float>& x, std::size_t begin,
                                          std::size_t end) noexcept {
  return x.rows_between(begin, end);
}

/// The rows of a tile that a product is asked for, in y: gathered in a block [16 * t + r], and put
/// back from it.
struct tile_results {
  std::size_t first;       ///< the tile's first row
  std::size_t begin, end;  ///< its rows that are asked for
  row_places places;
  bool whole;  ///< whether they are all 16, one beside the other

  tile_results(std::size_t tile, row_range range, row_places where) noexcept
      : first(tile * tile_rows),
        begin(std::max(first, range.begin)),
        end(std::min(first + tile_rows, range.end)),
        places(where),
        whole(!places.rows && end - begin == tile_rows) {}

  void gather(const matrix_view<float>& y, std::size_t token, std::size_t count,
              float* block) const noexcept {
    if (!whole) std::fill_n(block, tile_rows * count, 0.0f);
    for (std::size_t i = 0; i < count; ++i, block += tile_rows) {
      const float* row = y.row(token + i).data();
      if (whole) {
        std::memcpy(block, row + first, tile_rows * sizeof(float));
      } else {
        for (std::size_t r = begin; r < end; ++r) block[r - first] = row[places[r]];
      }
    }
  }
  void scatter(const float* block, const matrix_view<float>& y, std::size_t token,
               std::size_t count) const noexcept {
    for (std::size_t i = 0; i < count; ++i, block += tile_rows) {
      float* row = y.row(token + i).data();
      if (whole) {
        std::memcpy(row + first, block, tile_rows * sizeof(float));
      } else {
        for (std::size_t r = begin; r < end; ++r) row[places[r]] = block[r - first];
      }
    }
  }
};

/// y[t][place of row] += rows [range) of a packed part times token t over some groups, by panels.
/// `X` is an activation_view or a float matrix.
///
/// A block of tokens stays in the second-level cache while all tiles pass over it; a panel of a
/// tile stays in the first while those tokens pass over it. A tile's results are gathered in 4 KiB
/// of their own: the rows of y lie a whole matrix row apart, often a power of two, so that the
/// caches could keep only some of them from one group to the next.
template <class X>
void panel_rows(const kernel::functions& k, const packed_view& w, row_range range,
                row_places places, group_range groups, const X& x, std::size_t tokens,
                const matrix_view<float>& y) noexcept {
  alignas(64) float results[tile_rows * token_block];
  const std::size_t first = range.begin / tile_rows, past = (range.end + tile_rows - 1) / tile_rows;
  // More tokens take longer than memory does, and floats too.
  const bool waits = std::is_same_v<X, activation_view> && tokens < panel_tokens_at_least;
  const weights_ahead ahead(k, w, first, waits ? past : first);
  for (std::size_t t = 0; t < tokens; t += token_block) {
    const std::size_t count = std::min(token_block, tokens - t);
    const auto some = tokens_of(x, t, t + count);
    for (std::size_t tile = first; tile < past; ++tile) {
      ahead.begin_tile(tile);
      const tile_results rows(tile, range, places);
      rows.gather(y, t, count, results);
      multiply_tile(k, w, tile, groups, some, results);
      rows.scatter(results, y, t, count);
    }
  }
}

}  // namespace detail::product
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
