// SPDX-License-Identifier: Apache-2.0
/// Divergences that are a sum over the vocabulary of a function of p and q, with their gradients in
/// the student's logits. Worked in double.
#pragma once

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Which function of p and q. To add one: a row here, a struct and a case in terms_impl.hpp.
enum class term_kind {
  kl_blend,         ///< a * p (ln p - ln q) + b * q (ln q - ln p)
  jensen_shannon,   ///< a * p (ln p - ln m) + (1 - a) * q (ln q - ln m), m = a p + (1 - a) q
  skew_forward,     ///< p (ln p - ln m), m = a p + (1 - a) q
  skew_reverse,     ///< q (ln q - ln m), m = (1 - a) p + a q
  total_variation,  ///< |p - q| / 2
};
struct divergence_term {
  term_kind kind = term_kind::kl_blend;
  double a = 0;
  double b = 0;
};

/// Sums over columns of the term and of its slope, q d(term)/dq. A constant times q may be added to
/// the slope in all columns, as the q sum up to 1.
struct term_sums {
  double value = 0;
  double slope = 0;
};

/// Over some columns of both rows, or all; `seen` are the statistics of the whole row.
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
