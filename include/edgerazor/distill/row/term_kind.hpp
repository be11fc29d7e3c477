// SPDX-License-Identifier: Apache-2.0
/// The divergences that terms.hpp sums, by name.
#pragma once

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Which function of p and q. To add one: a row here, a struct and a case in loops/terms.inl.
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

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
