// SPDX-License-Identifier: Apache-2.0
/// Rows of a packed part times several tokens, by look-up where the codes are ternary and it is
/// faster (kernel/loops/look_up.inl says what it is), else by panels. Results have the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <edgerazor/core/views.hpp>
#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>
#include <edgerazor/product/tile_product.hpp>
#include <edgerazor/product/triple_product.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

/// Tiles whose rows share a table: it costs 27 sums and stores, a row of them one.
inline constexpr std::size_t look_up_tiles = 16;
/// From so many rows and tokens on, tables cost less than they save. A vector of 16 tokens takes
/// its time whether all are there or not.
inline constexpr std::size_t look_up_rows_at_least = 128, look_up_tokens_at_least = 12;
/// Tokens that pass over the indices of some tiles before the next ones are unpacked.
inline constexpr std::size_t look_up_token_block = 8 * kernel::look_up_tokens;
/// Groups whose sums are kept until the results are read and written once.
inline constexpr std::size_t look_up_groups = 2;

/// Whether the codes are -1, 0, 1 above a zero of 1, in groups whose sums fit 16 bits.
[[nodiscard]] inline bool has_look_up(const kernel::functions& k,
                                      const tile_layout& layout) noexcept {
  const codec_info& codec = layout.codec();
  return k.look_up && codec.zero_code == 1 && codec.max_code == 2 && !layout.has_zeros() &&
         layout.group_cols() <= kernel::look_up_cols;
}

/// Whether every group's sum fits 16 bits: 256 products of -1 and -128 are the one sum that does
/// not.
[[nodiscard]] inline bool sums_fit(const activation_view& x, std::size_t group_cols) noexcept {
  if (group_cols < kernel::look_up_cols) return true;
  constexpr std::int32_t lowest = -128 * static_cast<std::int32_t>(kernel::look_up_cols);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    const std::int32_t* const sums = x.sums + t * x.group_stride;
    if (std::find(sums, sums + x.groups(), lowest) != sums + x.groups()) return false;
  }
  return true;
}

/// Some tiles and groups as the kernels look them up.
struct look_up_block {
  static constexpr std::size_t most_units = (kernel::units_of(kernel::panel_slots) + 3) / 4 * 4;
  static_assert(kernel::look_up_cols == slot_cols * kernel::panel_slots);

  alignas(64) std::array<std::uint8_t, look_up_tiles * tile_rows * most_units> indices;
  alignas(64) std::array<float, look_up_tiles * look_up_groups * tile_rows> scales;
  std::size_t group_begin = 0, tile_begin = 0, group_bytes = 0;

  [[nodiscard]] static std::size_t index_bytes(const tile_layout& layout) noexcept {
    return (kernel::units_of(layout.group_slots()) + 3) / 4 * 4 * tile_rows;
  }
  /// Groups that fit at once.
  [[nodiscard]] static std::size_t groups_at_once(const tile_layout& layout) noexcept {
    return std::min(look_up_groups, most_units * tile_rows / index_bytes(layout));
  }
  /// The number of a tile of a group among those here: groups in order, of each its tiles.
  [[nodiscard]] std::size_t number_of(std::size_t tile, std::size_t group) const noexcept {
    return (group - group_begin) * look_up_tiles + (tile - tile_begin);
  }
  [[nodiscard]] const std::uint8_t* indices_of(std::size_t tile, std::size_t group) const noexcept {
    return indices.data() + number_of(tile, group) * group_bytes;
  }
  [[nodiscard]] const float* scales_of(std::size_t tile, std::size_t group) const noexcept {
    return scales.data() + number_of(tile, group) * tile_rows;
  }

  /// Returns whether all codes are 0, 1 or 2: bytes that nobody validated can hold a 3.
  [[nodiscard]] bool unpack(const kernel::functions& k, const packed_view& w, row_range some_tiles,
                            group_range some_groups) noexcept {
    const tile_layout& layout = w.layout();
    const std::size_t kind = kernel::statistics_index(layout.fmt());
    alignas(64) std::uint8_t panel[chunk_bytes * kernel::panel_slots];
    float zeros[tile_rows];
    group_bytes = index_bytes(layout);
    tile_begin = some_tiles.begin, group_begin = some_groups.begin;
    for (std::size_t tile = some_tiles.begin; tile < some_tiles.end; ++tile) {
      const tile_planes planes(w, tile);
      for (std::size_t g = group_begin; g < some_groups.end; ++g) {
        const std::size_t begin = planes.slot_begin(g), end = planes.slot_end(g);
        planes.unpack(k, begin, end, panel);
        const std::size_t number = number_of(tile, g);
        if (!k.look_up.indices(panel, end - begin, indices.data() + number * group_bytes))
          return false;
        k.read_scales[kind](w.tile(tile) + g * layout.group_bytes(),
                            scales.data() + number * tile_rows, zeros);
      }
    }
    return true;
  }
};

/// y[t][place of row] += rows [range) of a packed part times token t, of a matrix and tokens that
/// has_look_up and sums_fit let pass.
inline void look_up_rows(const kernel::functions& k, const packed_view& w, row_range range,
                         row_places places, const activation_view& x,
                         const matrix_view<float>& y) noexcept {
  constexpr std::size_t vector = kernel::look_up_tokens, of_tile = tile_rows * vector;
  const tile_layout& layout = w.layout();
  const std::size_t tiles_begin = range.begin / tile_rows,
                    tiles_end = (range.end + tile_rows - 1) / tile_rows,
                    blocks = (tiles_end - tiles_begin + look_up_tiles - 1) / look_up_tiles,
                    tiles_at_once = (tiles_end - tiles_begin + blocks - 1) / blocks,
                    groups_at_once = look_up_block::groups_at_once(layout);
  look_up_block block;
  alignas(64) std::int16_t sums[look_up_groups * look_up_tiles * of_tile];
  alignas(64) float results[of_tile];
  for (std::size_t tile = tiles_begin; tile < tiles_end; tile += tiles_at_once) {
    const row_range tiles{tile, std::min(tile + tiles_at_once, tiles_end)};
    for (std::size_t g = 0; g < layout.groups(); g += groups_at_once) {
      const group_range groups{g, std::min(g + groups_at_once, layout.groups())};
      if (!block.unpack(k, w, tiles, groups)) {
        const row_range rows{std::max(range.begin, tile_rows * tiles.begin),
                             std::min(range.end, tile_rows * tiles.end)};
        panel_rows(k, w, rows, places, groups, x, x.tokens, y);
        continue;
      }
      for (std::size_t t = 0; t < x.tokens; t += vector) {
        const activation_view some = x.tokens_between(t, std::min(t + vector, x.tokens));
        for (std::size_t i = groups.begin; i < groups.end; ++i) {
          const std::size_t begin = i * layout.group_slots();
          k.look_up.sums({.indices = block.indices_of(tile, i),
                          .tile_stride = block.group_bytes,
                          .tiles = tiles.size(),
                          .slots = std::min(layout.group_slots(), layout.slots() - begin)},
                         some.codes + slot_cols * begin, some.code_stride, some.tokens,
                         sums + (i - g) * look_up_tiles * of_tile);
        }
        // Tiles that stand in y as they are one after the other at once: a token's rows in
        // sequence. By tiles, tokens a power of two apart would want the same few places of the
        // cache.
        for (std::size_t j = tiles.begin; j < tiles.end;) {
          const tile_results rows(j, range, places);
          std::size_t end = j + 1;
          while (rows.whole && end < tiles.end && tile_results(end, range, places).whole) ++end;
          const auto scale = [&](float* to, std::size_t stride) {
            k.look_up.scale({.sums = sums + (j - tile) * of_tile,
                             .sums_step = look_up_tiles * of_tile,
                             .scales = block.scales_of(j, g),
                             .scales_step = look_up_tiles * tile_rows,
                             .groups = groups.size(),
                             .tiles = end - j},
                            some.scales + g, some.group_stride, some.tokens, to, stride);
          };
          if (rows.whole) {
            scale(y.row(t).data() + rows.first, y.stride);
          } else {
            rows.gather(y, t, some.tokens, results);
            scale(results, tile_rows);
            rows.scatter(results, y, t, some.tokens);
          }
          j = end;
        }
      }
    }
  }
}

/// The same, by look-up as far as it is faster.
template <class X>
void multiply_rows(const kernel::functions& k, const packed_view& w, row_range range,
                   row_places places, const X& x, std::size_t tokens,
                   const matrix_view<float>& y) noexcept {
  const group_range all{0, w.layout().groups()};
  if constexpr (std::is_same_v<X, activation_view>) {
    if (tokens < panel_tokens_at_least && takes_triples(w, x))
      return multiply_triples(k, w, range, places, x, y);
    if (tokens >= look_up_tokens_at_least && range.size() >= look_up_rows_at_least &&
        has_look_up(k, w.layout())) {
      for (std::size_t t = 0; t < tokens;) {
        std::size_t count = std::min(look_up_token_block, tokens - t);
        const std::size_t rest = count % kernel::look_up_tokens;
        const bool few = rest < look_up_tokens_at_least;
        if (few && count > rest) count -= rest;
        const activation_view some = x.tokens_between(t, t + count);
        const matrix_view<float> out = y.rows_between(t, t + count);
        if (count >= look_up_tokens_at_least && sums_fit(some, w.layout().group_cols())) {
          look_up_rows(k, w, range, places, some, out);
        } else {
          panel_rows(k, w, range, places, all, some, count, out);
        }
        t += count;
      }
      return;
    }
  }
  panel_rows(k, w, range, places, all, x, tokens, y);
}

}  // namespace detail::product
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
