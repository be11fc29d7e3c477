// SPDX-License-Identifier: Apache-2.0
/// What the tables of triples are made of: the weights that an index stands for, and the
/// activations of a unit.
#pragma once

#include <cstddef>
#include <cstdint>

#include <edgerazor/core/config.hpp>
#include <edgerazor/matrix/triples.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::kernel {

/// level[b][i]: weight b of the number of index i, without its sign.
struct triple_weights {
  alignas(32) std::int16_t level[matrix::triples::unit_cols][16] = {};

  constexpr triple_weights() noexcept {
    for (unsigned i = 0; i < 16; ++i) {
      const std::uint32_t codes = matrix::triples::codes_of[matrix::triples::value_of(i, false)];
      for (unsigned b = 0; b < matrix::triples::unit_cols; ++b)
        level[b][i] = static_cast<std::int16_t>(static_cast<int>(codes >> 8 * b & 3) - 1);
    }
  }
};
inline constexpr triple_weights weights_of_triples;

/// Three activations from column c on, zeros from column `cols` on.
struct triple_activations {
  std::int16_t x[matrix::triples::unit_cols];

  EDGERAZOR_TARGET_NEON EDGERAZOR_INLINE triple_activations(const std::int8_t* columns,
                                                            std::size_t c,
                                                            std::size_t cols) noexcept {
    for (std::size_t b = 0; b < matrix::triples::unit_cols; ++b)
      x[b] = static_cast<std::int16_t>(c + b < cols ? columns[c + b] : 0);
  }
};

}  // namespace detail::kernel
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
