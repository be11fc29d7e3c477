// SPDX-License-Identifier: Apache-2.0
/// Asking memory for the weights of a product with a few tokens, ahead of their use.
///
/// The loops of a kernel ask for what lies prefetch_distance behind each chunk (contract.hpp). This
/// asks for the rest, so that every line of a range of tiles is asked for once:
///
///     * where the range begins, the first prefetch_distance bytes;
///     * of each tile, the lines that lie prefetch_distance behind its scales and tables;
///     * of a second plane that takes turns with the first, and of the second one of two tiles that
///       are multiplied side by side, the first prefetch_distance bytes, which lie behind no chunk
///       that is read shortly before.
///
/// A single line of a tile that the product has to wait for costs as much time as 2 KiB that it
/// reads.
#pragma once

#include <algorithm>
#include <cstddef>

#include <edgerazor/kernel/contract.hpp>
#include <edgerazor/matrix/packed_matrix.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

/// Groups whose integer sums are kept between `dot` and the epilogue: 1 KiB. Two planes take turns
/// at so many.
inline constexpr std::size_t group_block = 16;

/// Of tiles [begin, end), `at_once` of them side by side.
class weights_ahead {
 public:
  weights_ahead(const kernel::functions& k, const packed_view& w, std::size_t begin,
                std::size_t end, std::size_t at_once = 1) noexcept
      : k_(k), w_(w), end_(end), at_once_(at_once), scales_(w.layout().plane_offset(0)) {
    ask(begin, 0, kernel::prefetch_distance);
    ask_for_heads(begin);
  }
  /// Before the product of a tile and those beside it.
  void begin_tile(std::size_t tile) const noexcept {
    ask(tile, kernel::prefetch_distance, scales_);
    ask_for_heads(tile + at_once_);
  }

 private:
  /// What is read beside a tile's first plane.
  void ask_for_heads(std::size_t tile) const noexcept {
    const tile_layout& layout = w_.layout();
    for (std::size_t i = 1; i < at_once_; ++i)
      ask(tile + i, 0, scales_ + kernel::prefetch_distance);
    if (layout.codec().plane_count == 2 && layout.groups() > group_block)
      ask(tile, layout.plane_offset(1), kernel::prefetch_distance);
  }
  /// Bytes [from, from + count) behind a tile's first, as far as they lie in the range.
  void ask(std::size_t tile, std::size_t from, std::size_t count) const noexcept {
    if (tile >= end_) return;
    const std::size_t bytes = (end_ - tile) * w_.layout().tile_bytes();
    if (from < bytes) k_.prefetch(w_.tile(tile) + from, std::min(count, bytes - from));
  }

  const kernel::functions& k_;
  const packed_view& w_;
  std::size_t end_, at_once_, scales_;
};

}  // namespace detail::product
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
