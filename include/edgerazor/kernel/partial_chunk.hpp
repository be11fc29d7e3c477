/// Activations for a chunk of which only some slots belong to a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/pack/tile_layout.hpp>

namespace edgerazor::inline v0::detail {

/// Where the slots [begin, end) of a group lie in the chunks of a tile: a first chunk that is shared with the group
/// before (or none), whole chunks, a last one that is shared with the next group or ends the row (or none).
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

/// The activations of a chunk with zeros in place of the slots outside [begin, end): a code times zero adds nothing.
template <unsigned Fields>
struct partial_chunk {
  alignas(16) std::int8_t x[(slot_cols * Fields + 15) / 16 * 16] = {};

  partial_chunk(const std::int8_t* token, std::size_t chunk, std::size_t begin, std::size_t end) noexcept {
    const std::size_t first = chunk * Fields, last = first + Fields;
    const std::size_t from = begin > first ? begin : first, to = end < last ? end : last;
    std::memcpy(x + slot_cols * (from - first), token + slot_cols * from, slot_cols * (to - from));
  }
};

}  // namespace edgerazor::inline v0::detail
