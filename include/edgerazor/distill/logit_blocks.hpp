// SPDX-License-Identifier: Apache-2.0
/// Rows of logits in blocks that fit the first cache, whatever their element type and length.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <edgerazor/core/float16.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// Columns a block: a multiple of every vector's length.
inline constexpr std::size_t logit_block = 512;

/// A row of `size` logits, seen as if minus infinity, the logit of an impossible token, followed
/// without end.
template <real_element T>
struct logit_row {
  const T* data = nullptr;
  std::size_t size = 0;

  /// Columns [first, first + count) as Real: where they lie if they are of that type and make whole
  /// vectors, else copied into `buffer` (logit_block elements) and continued to a whole vector.
  template <class Real, std::size_t Lanes>
  [[nodiscard]] const Real* block(std::size_t first, std::size_t count,
                                  Real* buffer) const noexcept {
    const std::size_t present = present_in(first, count);
    if constexpr (std::is_same_v<T, Real>) {
      if (present == count && count % Lanes == 0) return data + first;
    }
    for (std::size_t i = 0; i < present; ++i)
      buffer[i] = static_cast<Real>(static_cast<float>(data[first + i]));
    for (std::size_t i = present; i < count || i % Lanes != 0; ++i)
      buffer[i] = -std::numeric_limits<Real>::infinity();
    return buffer;
  }

  /// The largest of columns [first, first + count).
  [[nodiscard]] float largest(std::size_t first, std::size_t count) const noexcept {
    float result = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < present_in(first, count); ++i) {
      result = std::max(result, static_cast<float>(data[first + i]));
    }
    return result;
  }

  /// A NaN, or a token that is infinitely likely.
  [[nodiscard]] bool holds_nan(std::size_t first, std::size_t count) const noexcept {
    for (std::size_t i = 0; i < present_in(first, count); ++i) {
      const float x = static_cast<float>(data[first + i]);
      if (!(x < std::numeric_limits<float>::infinity())) return true;
    }
    return false;
  }

  /// How many of those columns the row has.
  [[nodiscard]] std::size_t present_in(std::size_t first, std::size_t count) const noexcept {
    return first >= size ? 0 : std::min(count, size - first);
  }
};

/// Columns [0, cols) in blocks: visit(first, count).
template <class Visit>
void for_each_block(std::size_t cols, Visit&& visit) {
  for (std::size_t first = 0; first < cols; first += logit_block)
    visit(first, std::min(logit_block, cols - first));
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
