// SPDX-License-Identifier: Apache-2.0
/// One token's two rows of logits: their statistics, their divergences, and the gradient of any
/// blend of the two.
#pragma once

#include <cstddef>

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// S_t and B of a teacher's row whose pair has `cols` columns, in the precision in which kl_row
/// looks at it first.
[[nodiscard]] EDGERAZOR_FUNCTION logit_statistics
teacher_statistics(const input_row& teacher, std::size_t cols, double inverse_temperature,
                   const loops* by = nullptr) noexcept;

/// S_s, U, S_t and B of both rows, in double; with `forward` W too.
[[nodiscard]] EDGERAZOR_FUNCTION logit_statistics row_statistics(const logit_pair& rows,
                                                                 bool forward) noexcept;

/// The divergences, and the gradient of the blend where `out` has data; it may overwrite either
/// row. `known` is what teacher_statistics gave, or untouched. Long rows are worked in float, and
/// again in double where that is not enough.
EDGERAZOR_FUNCTION kl_divergences kl_row(const logit_pair& rows, const logit_statistics& known,
                                         const kl_blend& blend, const output_row& out) noexcept;

/// The gradient of the blend for some columns of the row whose statistics are `whole`, in double.
EDGERAZOR_FUNCTION void kl_gradient(const logit_pair& rows, const logit_statistics& whole,
                                    const kl_blend& blend, const output_row& out) noexcept;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/kl_row_impl.hpp>
#endif
