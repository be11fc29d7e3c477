// SPDX-License-Identifier: Apache-2.0
/// Softmax of one row and what is made of it: cross-entropy with a label, and the z-loss.
#pragma once

#include <cstddef>

#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// The sum of e^(x - reference) of a row, with the reference, which is about its largest.
struct softmax_sum {
  double reference = 0;
  double sum = 0;
};

/// out = e^(x - reference) / sum * factor - offset, in double. The reference never meets the sum's
/// logarithm, which would be lost beside a large one.
EDGERAZOR_FUNCTION void softmax_gradient(const input_row& row, const softmax_sum& whole,
                                         double factor, double offset,
                                         const output_row& out) noexcept;

/// -(1 - e) ln q_label - e mean ln q with e = `smoothing`, and upstream times its gradient where
/// `out` has data; it may overwrite the row. `label` is one of the row's columns.
EDGERAZOR_FUNCTION double cross_entropy_row(const input_row& logits, std::size_t label,
                                            double smoothing, double upstream,
                                            const output_row& out,
                                            const loops* chosen = nullptr) noexcept;

/// (ln sum of e^z)^2, and upstream times its gradient where `out` has data; it may overwrite the
/// row. Infinite where the sum is 0 or infinite, with a gradient that is infinite for the logits
/// that make it so and 0 for the others. NaN, all of the gradient too, of a row that holds NaN.
EDGERAZOR_FUNCTION double router_z_row(const input_row& logits, double upstream,
                                       const output_row& out) noexcept;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/softmax_impl.hpp>
#endif
