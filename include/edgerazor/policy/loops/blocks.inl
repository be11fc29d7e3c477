// SPDX-License-Identifier: Apache-2.0
// Text, see all.inl: 16 elements as vectors, and the last elements of a group as such a block.

static_assert(block_size % floats::size == 0 && block_size % doubles::size == 0);
inline constexpr std::size_t parts = block_size / floats::size;

struct block {
  floats part[parts];

  template <class T>
  EDGERAZOR_LANES explicit block(const T* at) noexcept {
    load_block(at, part);
  }
  template <class T>
  EDGERAZOR_LANES void store(T* to) const noexcept {
    store_block(to, part);
  }
};

/// The last elements of a group, fewer than a block: that many and copies of the last of them, so
/// that no lane computes with anything but an element.
template <class T>
struct last_elements {
  T elements[block_size];

  last_elements(const T* from, std::size_t count) noexcept {
    for (std::size_t i = 0; i < block_size; ++i) elements[i] = from[i < count ? i : count - 1];
  }
};
