// SPDX-License-Identifier: Apache-2.0
/// The task loss: cross-entropy with labels, and its gradient.
#pragma once

#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/row/softmax.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// With q = softmax(s) of a token and its label y, in nats:
///
///     l = -(1 - e) ln q_y - e mean ln q        d l / ds = q - (1 - e) [i = y] - e / V        e = label_smoothing
///
/// Logits are `tokens x vocabulary`, as in kl.hpp, and so are the gradient and the guarantees.
/// Labels are required; fails where a counted token's label is no column, naming it. A label whose
/// logit is minus infinity has an infinite loss.
struct cross_entropy {
  float label_smoothing = 0;  ///< in [0, 1)

  loss_result operator()(const token_rows& logits, const token_batch& tokens,
                         const gradient_rows& gradient = {}) const {
    constexpr const char* name = "cross_entropy";
    const detail::distill::logit_rows rows{name, logits, logits, gradient,
                                           vocabulary_mismatch::fail};
    const detail::distill::token_plan plan{name, tokens, logits.rows()};
    detail::distill::check_option(label_smoothing >= 0 && label_smoothing < 1, name,
                                  "the label smoothing", label_smoothing, "0 to below 1");
    detail::distill::check_tokens(name, "labels", tokens.labels.size(), logits.rows());
    plan.check_labels("the vocabulary", logits.cols());
    loss_result result;
    plan.for_each_counted_row(
        result, gradient, [&](const detail::distill::counted_token& token, const output_row& out) {
          return detail::row::cross_entropy_row(
              logits.row(token.index), static_cast<std::size_t>(token.label),
              static_cast<double>(label_smoothing), token.upstream, out,
              detail::distill::loops_of(tokens.engine));
        });
    return result;
  }
  /// The same with all tokens being one sample.
  loss_result operator()(const token_rows& logits, const label_span& labels, reduction how,
                         const gradient_rows& gradient = {}) const {
    return (*this)(logits, token_batch{.labels = labels, .how = how}, gradient);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
