// SPDX-License-Identifier: Apache-2.0
/// The loops of every instruction set.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/kernel/vector/choice.hpp>
#include <edgerazor/kernel/vector/vectors.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define EDGERAZOR_LOOPS <edgerazor/distill/row/loops/all.inl>
#include <edgerazor/kernel/vector/each.inl>
#undef EDGERAZOR_LOOPS

EDGERAZOR_FUNCTION std::span<const loops* const> available_loops() noexcept {
  static const kernel::vector::available_tables<loops> available{tables};
  return available.all();
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
