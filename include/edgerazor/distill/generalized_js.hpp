// SPDX-License-Identifier: Apache-2.0
/// The generalized Jensen-Shannon divergence: finite whatever student and teacher say.
#pragma once

#include <optional>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// With the mixture m = beta p + (1 - beta) q of teacher p and student q (arXiv 2306.13649):
///
///     beta KL(p||m) + (1 - beta) KL(q||m)        d / ds = (1 - beta) q (ln(q/m) - sum q ln(q/m)) / T
///
/// beta weighs the teacher, as in TRL and Liger, whose conventions for the ends are kept too: 0 is
/// KL(p||q), 1 is KL(q||p). (DistiLLM's lambda weighs the student.) Arguments and guarantees as in
/// kl.hpp.
struct generalized_js {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float beta = 0.5f;  ///< in [0, 1]

  /// The gamma of the blend that the divergence is at its ends.
  [[nodiscard]] std::optional<detail::distill::gamma_rule> end_rule() const noexcept {
    if (beta != 0 && beta != 1) return std::nullopt;
    return detail::distill::gamma_rule{.value = static_cast<double>(beta)};
  }
  /// Fails at the ends, which are no sums of this kind.
  [[nodiscard]] detail::row::divergence_term term() const {
    detail::distill::check_option(beta > 0 && beta < 1, "generalized_js", "beta", beta,
                                  "one strictly between 0 and 1 here");
    return {detail::row::term_kind::jensen_shannon, static_cast<double>(beta)};
  }

  loss_result operator()(const token_rows& student, const token_rows& teacher,
                         const token_batch& tokens, const gradient_rows& gradient = {}) const {
    detail::distill::check_option(beta >= 0 && beta <= 1, "generalized_js", "beta", beta, "0 to 1");
    if (end_rule()) {
      const loss_result& blend = symmetric_kl{.temperature = temperature,
                                              .temperature_squared = temperature_squared,
                                              .vocabulary = vocabulary,
                                              .gamma = beta}(student, teacher, tokens, gradient);
      return blend;
    }
    return detail::distill::sum_divergence("generalized_js", *this, student, teacher, tokens,
                                           gradient);
  }
  loss_result operator()(const token_rows& student, const token_rows& teacher,
                         const label_span& labels, reduction how,
                         const gradient_rows& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
