// SPDX-License-Identifier: Apache-2.0
/// Rows of codes in threes times a few tokens, by look-up (triples.hpp).
///
/// The tables of a token come with its activations, or are made here: for as many groups as fit the
/// stack at a time, before all tiles pass over them. Tiles are taken by twos, which read each table
/// once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <edgerazor/core/views.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/product/weights_ahead.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

/// Where the rows of a packed part go in y.
struct row_places {
  const std::uint32_t* rows = nullptr;  ///< ascending; null: row i goes to y's row i

  [[nodiscard]] std::size_t operator[](std::size_t i) const noexcept { return rows ? rows[i] : i; }
};

/// One tile's codes, the next one's behind them.
inline kernel::triple_codes tile_triples(const packed_view& w, std::size_t tile,
                                         std::size_t tiles = 1) noexcept {
  const tile_layout& layout = w.layout();
  return {reinterpret_cast<const std::uint8_t*>(w.tile(tile) + layout.scale_bytes()),
          layout.slots(), layout.group_slots(), tiles, layout.tile_bytes()};
}

/// Tables of the pairs of some groups, from the first pair of the chunk in which they begin.
struct some_tables {
  static constexpr std::size_t most_pairs = 384;  // 24 KiB
  alignas(64) std::uint8_t bytes[most_pairs * kernel::triple_table_bytes];

  /// Whole groups that fit at any place in a chunk; 0 where one does not.
  [[nodiscard]] static std::size_t groups(std::size_t group_pairs) noexcept {
    return (most_pairs - matrix::triples::chunk_pairs + 1) / group_pairs;
  }
};

/// Whether multiply_triples has the tables of a matrix's groups, or room for them.
[[nodiscard]] inline bool takes_triples(const packed_view& w, const activation_view& x) noexcept {
  return w.layout().codec().of_triples() &&
         (x.tables || some_tables::groups(w.layout().group_pairs()) > 0);
}

/// Pairs before that of a group, of whole chunks.
[[nodiscard]] inline std::size_t pairs_before(const tile_layout& layout,
                                              std::size_t group) noexcept {
  constexpr std::size_t step = matrix::triples::chunk_pairs;
  return group * layout.group_pairs() / step * step;
}

/// Rows [range) of w times one token, groups [begin, end), added to `y`. `tables` begin with the
/// chunk of the first of those groups.
inline void multiply_triple_groups(const kernel::functions& k, const packed_view& w,
                                   row_range range, row_places places, const activation_view& x,
                                   std::size_t token, const std::uint8_t* tables, std::size_t begin,
                                   std::size_t end, float* y) noexcept {
  constexpr std::size_t most_tiles = 2;
  const tile_layout& layout = w.layout();
  const std::size_t kind = kernel::statistics_index(layout.fmt()),
                    before = pairs_before(layout, begin), last = (range.end - 1) / tile_rows;
  alignas(64) std::int32_t isum[most_tiles * tile_rows * group_block];
  alignas(64) float sums[most_tiles * tile_rows];
  const weights_ahead ahead(k, w, range.begin / tile_rows, last + 1, most_tiles);
  for (std::size_t tile = range.begin / tile_rows; tile <= last; tile += most_tiles) {
    const std::size_t tiles = std::min(most_tiles, last + 1 - tile), first = tile * tile_rows;
    const row_range rows{std::max(first, range.begin),
                         std::min(first + tiles * tile_rows, range.end)};
    ahead.begin_tile(tile);
    std::fill_n(sums, tiles * tile_rows, 0.0f);
    for (std::size_t r = rows.begin; r < rows.end; ++r) sums[r - first] = y[places[r]];
    const kernel::triple_codes codes = tile_triples(w, tile, tiles);
    for (std::size_t g = begin; g < end; g += group_block) {
      const std::size_t past = std::min(g + group_block, end), at = token * x.group_stride + g;
      const std::size_t skipped = pairs_before(layout, g) - before;
      k.triple_dot(codes, tables + kernel::triple_table_bytes * skipped, g, past, isum);
      for (std::size_t i = 0; i < tiles; ++i) {
        k.scale_sums[kind](isum + tile_rows * (past - g) * i,
                           w.tile(tile + i) + g * layout.group_bytes(), x.scales + at, x.sums + at,
                           past - g, sums + tile_rows * i);
      }
    }
    for (std::size_t r = rows.begin; r < rows.end; ++r) y[places[r]] = sums[r - first];
  }
}

/// y[t][place of row] += rows [range) of w times token t. Of what takes_triples() lets pass.
inline void multiply_triples(const kernel::functions& k, const packed_view& w, row_range range,
                             row_places places, const activation_view& x,
                             const matrix_view<float>& y) noexcept {
  if (range.empty()) return;
  const tile_layout& layout = w.layout();
  for (std::size_t t = 0; t < x.tokens; ++t) {
    float* const row = y.row(t).data();
    if (x.tables) {
      multiply_triple_groups(k, w, range, places, x, t, x.tables + t * x.table_stride, 0,
                             layout.groups(), row);
      continue;
    }
    some_tables tables;
    const std::size_t step = some_tables::groups(layout.group_pairs());
    for (std::size_t g = 0; g < layout.groups(); g += step) {
      const std::size_t end = std::min(g + step, layout.groups());
      std::uint8_t* at = tables.bytes + kernel::triple_table_bytes *
                                            (g * layout.group_pairs() - pairs_before(layout, g));
      for (std::size_t i = g; i < end; ++i) {
        const std::size_t slots =
            std::min(layout.group_slots(), layout.slots() - i * layout.group_slots());
        k.triple_tables(x.codes + t * x.code_stride + slot_cols * layout.group_slots() * i,
                        slot_cols * slots, at);
        at += kernel::triple_table_bytes * layout.group_pairs();
      }
      multiply_triple_groups(k, w, range, places, x, t, tables.bytes, g, end, row);
    }
  }
}

}  // namespace detail::product
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
