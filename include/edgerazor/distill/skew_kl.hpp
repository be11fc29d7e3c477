// SPDX-License-Identifier: Apache-2.0
/// Skew divergences: KL against a mixture that holds some of the first argument, so that no ratio
/// is large.
#pragma once

#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
template <bool Reverse>
struct one_way_skew_kl {
  static constexpr const char* name = Reverse ? "skew_reverse_kl" : "skew_kl";

  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float alpha = 0.1f;  ///< in [0, 1)

  [[nodiscard]] row::divergence_term term() const {
    check_option(alpha >= 0 && alpha < 1, name, "alpha", alpha, "0 to below 1");
    return {Reverse ? row::term_kind::skew_reverse : row::term_kind::skew_forward,
            static_cast<double>(alpha)};
  }

  loss_result operator()(const token_rows& student, const token_rows& teacher,
                         const token_batch& tokens, const gradient_rows& gradient = {}) const {
    check_option(alpha >= 0 && alpha < 1, name, "alpha", alpha, "0 to below 1");
    return sum_divergence(name, *this, student, teacher, tokens, gradient);
  }
  loss_result operator()(const token_rows& student, const token_rows& teacher,
                         const label_span& labels, reduction how,
                         const gradient_rows& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};
}  // namespace detail::distill

/// KL(p || m), m = alpha p + (1 - alpha) q, p the teacher (arXiv 2402.03898):
///
///     d / ds = (1 - alpha) q (sum p q / m - p / m) / T
///
/// alpha 0 is the forward divergence. Arguments and guarantees as in kl.hpp.
using skew_kl = detail::distill::one_way_skew_kl<false>;

/// KL(q || m), m = (1 - alpha) p + alpha q: the reverse divergence, skewed. alpha 0 is the reverse
/// divergence.
using skew_reverse_kl = detail::distill::one_way_skew_kl<true>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
