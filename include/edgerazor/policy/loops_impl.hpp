// SPDX-License-Identifier: Apache-2.0
/// What loops.hpp declares. The loops stand once, as text, in policy/loops/.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/kernel/vector/choice.hpp>
#include <edgerazor/kernel/vector/vectors.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/loops.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/mean.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::policy {

/// Elements that a loop takes at once: those whose codes are one store of 128 bits, a multiple of
/// every vector's size.
inline constexpr std::size_t block_size = 16;

// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define EDGERAZOR_LOOPS <edgerazor/policy/loops/all.inl>
#include <edgerazor/kernel/vector/each.inl>
#undef EDGERAZOR_LOOPS

EDGERAZOR_FUNCTION std::span<const loops* const> available_loops() noexcept {
  static const kernel::vector::available_tables<loops> available{tables};
  return available.all();
}

EDGERAZOR_FUNCTION const loops& best_loops() noexcept {
  static const loops& best = *available_loops().front();
  return best;
}

}  // namespace detail::policy
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
