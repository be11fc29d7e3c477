// SPDX-License-Identifier: Apache-2.0
/// Activations for a chunk of which only some slots belong to a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/config.hpp>
#include <edgerazor/matrix/tile_layout.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel {

/// Where the slots [begin, end) of a group lie in the chunks of a tile: a first chunk that is
/// shared with the group before (or none), whole chunks, a last one that is shared with the next
/// group or ends the row (or none).
template <unsigned Fields>
struct chunk_span {
  std::size_t whole_begin, whole_end;  ///< chunks that hold slots of this group only
  bool head, tail;                     ///< whether chunk whole_begin - 1, chunk whole_end hold some

  constexpr chunk_span(std::size_t begin, std::size_t end) noexcept
      : whole_begin((begin + Fields - 1) / Fields),
        whole_end(end / Fields),
        head(begin % Fields != 0),
        tail(end % Fields != 0) {
    if (whole_end >= whole_begin) return;
    whole_end = whole_begin;  // all within one shared chunk: that is the head
    tail = false;
  }
};

/// The activations of a chunk with zeros in place of the slots outside [begin, end): a code times
/// zero adds nothing.
template <unsigned Fields>
struct partial_chunk {
  alignas(16) std::int8_t x[(slot_cols * Fields + 15) / 16 * 16] = {};

  EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE partial_chunk(const std::int8_t* token, std::size_t chunk,
                                                       std::size_t begin,
                                                       std::size_t end) noexcept {
    for (std::size_t f = 0; f < Fields;
         ++f) {  // a slot at a time: a copy of unknown length is a call
      const std::size_t slot = chunk * Fields + f;
      if (slot >= begin && slot < end)
        std::memcpy(x + slot_cols * f, token + slot_cols * slot, slot_cols);
    }
  }
};

}  // namespace detail::kernel
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
