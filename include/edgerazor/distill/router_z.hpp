// SPDX-License-Identifier: Apache-2.0
/// The z-loss that keeps a mixture of experts' router logits small.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/exponential.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/wide_lanes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// l = (ln sum of exp z)^2 over a token's router logits z, tokens x experts (arXiv 2202.08906;
/// reference router_z_loss_func, which counts every token: leave labels and mask empty). Layers are
/// the host's to average.
///
/// A logit of minus infinity is an expert that can't be chosen. Where all are, or one is plus
/// infinity, l is infinite, and so is the gradient of those logits, but nothing is NaN.
struct router_z {
  /// Value, and gradient with respect to the logits where `gradient` has data: 2 ln(sum)
  /// softmax(z). It may be the logits' own memory. Fails where shapes differ or there is no expert.
  template <class Arch = xsimd::default_arch, real_element S>
  loss_result operator()(matrix_view<S> logits, const token_batch& tokens,
                         matrix_view<float> gradient = {}) const {
    if (gradient.data != nullptr &&
        (gradient.rows != logits.rows || gradient.cols != logits.cols)) {
      detail::core::fail("router_z: the logits are " +
                         detail::core::shape_text(logits.rows, logits.cols) + ", the gradient " +
                         detail::core::shape_text(gradient.rows, gradient.cols));
    }
    if (logits.rows != 0 && logits.cols == 0) detail::core::fail("router_z: logits of 0 experts");
    const detail::distill::token_plan plan("router_z", tokens, logits.rows);
    loss_result result;
    plan.for_each_token([&](const detail::distill::counted_token& token) {
      float* out = gradient.data == nullptr ? nullptr : gradient.row(token.index).data();
      double value = 0;
      if (token.counts) {
        const S* row = logits.row(token.index).data();
        const double log_sum = log_sum_exp<Arch>(row, logits.cols);
        value = log_sum * log_sum;
        if (out != nullptr)
          differentiate<Arch>(row, logits.cols, log_sum, token.upstream, tokens.accumulate, out);
      } else if (out != nullptr && !tokens.accumulate) {
        std::fill_n(out, logits.cols, 0.0f);
      }
      detail::distill::add_token(result, tokens, token, value);
    });
    return result;
  }
  /// The same with every token counting, and the mean over them: what the reference computes.
  template <class Arch = xsimd::default_arch, real_element S>
  loss_result operator()(matrix_view<S> logits, matrix_view<float> gradient = {}) const {
    return operator()<Arch>(logits, token_batch{.how = reduction::mean}, gradient);
  }

 private:
  template <class Arch, class S>
  static double log_sum_exp(const S* logits, std::size_t experts) noexcept {
    using vector = detail::distill::wide<Arch>;
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < experts; ++i)
      largest = std::max(largest, static_cast<double>(logits[i]));
    if (std::isinf(largest)) return largest;
    const detail::distill::wide_row<Arch, S> row{logits, experts, impossible};
    const vector shift{largest};
    return largest + std::log(detail::distill::wide_sum<Arch>(experts, [&](std::size_t i) {
             return detail::distill::exponential(row[i] - shift);
           }));
  }

  template <class Arch, class S>
  static void differentiate(const S* logits, std::size_t experts, double log_sum, double upstream,
                            bool add, float* out) noexcept {
    using vector = detail::distill::wide<Arch>;
    if (std::isinf(log_sum)) {
      // Infinite for the logits that make it so, 0 for the others.
      for (std::size_t i = 0; i < experts; ++i) {
        const bool guilty = upstream != 0 && static_cast<double>(logits[i]) == log_sum;
        const float slope = guilty ? static_cast<float>(upstream * log_sum) : 0.0f;
        out[i] = add ? out[i] + slope : slope;
      }
      return;
    }
    const detail::distill::wide_row<Arch, S> row{logits, experts, impossible};
    const vector slope{2 * upstream * log_sum}, shift{log_sum};
    for (std::size_t i = 0; i < experts; i += detail::distill::wide_lanes<Arch>) {
      detail::distill::store_wide<Arch>(out, experts, i,
                                        slope * detail::distill::exponential(row[i] - shift), add);
    }
  }

  /// Stands behind the last expert: its exponential is 0, whatever is subtracted.
  static constexpr double impossible = -std::numeric_limits<double>::max() / 2;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
