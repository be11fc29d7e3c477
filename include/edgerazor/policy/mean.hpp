// SPDX-License-Identifier: Apache-2.0
/// The mean magnitude of a group, added in one fixed order: the same bits on every machine and for
/// every width of vectors.
///
/// A float sum depends on its order, and a scale's last bit decides codes at a rounding boundary.
/// The order is that of EdgeRazor (Python) on PyTorch 1.13 (float32, CPU with 8-lane vectors), so
/// that its scales are reproduced to the bit:
///
///     lanes L = 8 (L = 1 for groups of fewer than 8); vectors v_0, v_1, ... of L consecutive
///         elements
///     four interleaved rows: row k takes v_k, v_{k+4}, v_{k+8}, ...; the vectors past the last
///         whole four go to row 0
///     a row is a cascade of four levels: 2^p vectors sum into level 0, 2^p such sums into level 1,
///         and so on, with p = max(4, ceil(log2(vectors per row)) / 4); at the end the levels are
///         added, lowest first
///     rows are added in order: ((row 0 + row 1) + row 2) + row 3
///     elements past the last whole vector are summed first, in order; then the L lanes are added
///         to that sum, in order
///
/// For the sizes of groups (up to 512 elements: at most 16 vectors a row) the cascade is a plain
/// sum of each row.
#pragma once

#include <span>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// mean|w| in the order above; NaN where a weight is NaN. Precondition: !group.empty().
[[nodiscard]] EDGERAZOR_FUNCTION float mean_magnitude(std::span<const float> group) noexcept;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/policy/mean_impl.hpp>
#endif
