// SPDX-License-Identifier: Apache-2.0
/// The z-loss that keeps a mixture of experts' router logits small.
#pragma once

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/row/softmax.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// l = (ln sum of exp z)^2 over a token's router logits z, tokens x experts (arXiv 2202.08906;
/// EdgeRazor (Python), router_z_loss_func, which counts every token: leave labels and mask empty).
/// Layers are the host's to average.
///
/// A logit of minus infinity is an expert that can't be chosen. Where all are, or one is plus
/// infinity, l is infinite, and so is the gradient of those logits, but nothing is NaN. A NaN stays
/// one.
struct router_z {
  /// Value, and gradient with respect to the logits where `gradient` has data: 2 ln(sum)
  /// softmax(z). It may be the logits' own memory. Fails where shapes differ or there is no expert.
  loss_result operator()(const token_rows& logits, const token_batch& tokens,
                         const gradient_rows& gradient = {}) const {
    detail::distill::check_gradient("router_z", "the logits", logits.rows(), logits.cols(),
                                    gradient);
    if (logits.rows() != 0 && logits.cols() == 0)
      detail::core::fail("router_z: logits of 0 experts");
    const detail::distill::token_plan plan("router_z", tokens, logits.rows());
    loss_result result;
    plan.for_each_counted_row(
        result, gradient, [&](const detail::distill::counted_token& token, const output_row& out) {
          return detail::row::router_z_row(logits.row(token.index), token.upstream, out);
        });
    return result;
  }
  /// The same with every token counting, and the mean over them: what EdgeRazor (Python) computes.
  loss_result operator()(const token_rows& logits, const gradient_rows& gradient = {}) const {
    return (*this)(logits, token_batch{.how = reduction::mean}, gradient);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
