// SPDX-License-Identifier: Apache-2.0
/// The largest magnitude and the largest value of a group. Exact: any order of comparisons gives
/// the same bits. Where a group holds a NaN the result is NaN.
#pragma once

#include <span>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// max|w|; 0 for no weights.
[[nodiscard]] EDGERAZOR_FUNCTION float max_magnitude(std::span<const float> group) noexcept;

/// max(w); of 0 and -0 either is the largest. Precondition: !group.empty().
[[nodiscard]] EDGERAZOR_FUNCTION float max_value(std::span<const float> group) noexcept;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/policy/magnitude_impl.hpp>
#endif
