// SPDX-License-Identifier: Apache-2.0
/// Divergences that are a sum over the vocabulary of a function of p and q, with their gradients in
/// the student's logits.
#pragma once

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/rows.hpp>
#include <edgerazor/distill/row/term_kind.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// The term's divergence of both rows and, where `out` has data, `factor` times its gradient; `out`
/// may overwrite either row. Long rows are worked in float, and in double where that is not enough.
EDGERAZOR_FUNCTION double term_row(const divergence_term& term, const logit_pair& rows,
                                   double factor, const output_row& out) noexcept;

/// Over some columns of both rows, or all, in double; `seen` are the statistics of the whole row.
[[nodiscard]] EDGERAZOR_FUNCTION term_sums sum_terms(const divergence_term& term,
                                                     const logit_pair& rows,
                                                     const logit_statistics& seen) noexcept;

/// d / ds_i = (slope_i - q_i sum of slopes) / T, times `factor`, for some columns. A divergence
/// that is infinite has no direction: 0.
EDGERAZOR_FUNCTION void term_gradient(const divergence_term& term, const logit_pair& rows,
                                      const logit_statistics& seen, const term_sums& sums,
                                      double factor, const output_row& out) noexcept;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/terms_impl.hpp>
#endif
