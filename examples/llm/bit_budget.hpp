// SPDX-License-Identifier: Apache-2.0
/// Which format each matrix gets when all together may take so many bytes.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace llm {

/// A format that one matrix may be given: what it takes and what it costs.
struct format_option {
  std::size_t bytes = 0;
  double cost = 0;  ///< in the same unit for all matrices, added up over them
};

/// For every matrix the index of one of its options, so that the bytes together are at most
/// `budget` and the costs together about as small as they can be:
///
///     repeat: of all single changes to a larger option take the one of the largest saving of cost
///             for each byte that still fits
///
/// from the smallest options on, over each matrix's lower convex hull of (bytes, cost), where that
/// is the optimum of every budget it passes through (the Lagrangian relaxation). Empty where even
/// the smallest options take more than `budget`. Every matrix has at least one option; costs that
/// are NaN or infinite count as the largest there is.
std::vector<std::size_t> spend_bits(std::span<const std::vector<format_option>> matrices,
                                    std::size_t budget);

}  // namespace llm
