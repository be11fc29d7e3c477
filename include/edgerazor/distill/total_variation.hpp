// SPDX-License-Identifier: Apache-2.0
/// Total variation: the mass that would have to move.
#pragma once

#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// sum |p - q| / 2, in [0, 1]:
///
///     d / ds = q (sign(q - p) - sum q sign(q - p)) / 2 T        sign(0) = 0
///
/// Arguments and guarantees as in kl.hpp.
struct total_variation {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;

  [[nodiscard]] detail::row::divergence_term term() const noexcept {
    return {detail::row::term_kind::total_variation};
  }

  loss_result operator()(const token_rows& student, const token_rows& teacher,
                         const token_batch& tokens, const gradient_rows& gradient = {}) const {
    return detail::distill::sum_divergence("total_variation", *this, student, teacher, tokens,
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
