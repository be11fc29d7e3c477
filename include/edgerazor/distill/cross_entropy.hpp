// SPDX-License-Identifier: Apache-2.0
/// The task loss: cross-entropy with labels, and its gradient.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/kl_rows.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/logit_pair.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {

/// gradient = e^(x - log_sum) * factor - offset: a softmax times `factor`, and what every column is
/// spared.
template <class Real, class Arch, real_element S, real_element G>
void softmax_gradient(logit_row<S> row, double log_sum, double factor, double offset,
                      bool accumulate, G* out) noexcept {
  using reals = xsimd::batch<Real, Arch>;
  const exponents<Real, Arch> of_row{log_sum, 1};
  // What rounding took from the reference goes into the factor.
  const reals scale{static_cast<Real>(
      factor * std::exp(static_cast<double>(static_cast<Real>(log_sum)) - log_sum))};
  const reals spared{static_cast<Real>(offset)};
  for_each_block(row.size, [&](std::size_t first, std::size_t count) {
    Real buffers[2][logit_block];
    const Real* values = row.template block<Real, reals::size>(first, count, buffers[0]);
    for (std::size_t i = 0; i < count; i += reals::size) {
      const reals q = power_of_exponent(of_row(values + i));
      xsimd::fms(q, scale, spared).store_unaligned(buffers[1] + i);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const float g = static_cast<float>(buffers[1][i]);
      out[first + i] = G{accumulate ? static_cast<float>(out[first + i]) + g : g};
    }
  });
}

}  // namespace detail::distill

/// With q = softmax(s) of a token and its label y, in nats:
///
///     l = -(1 - e) ln q_y - e mean ln q        d l / ds = q - (1 - e) [i = y] - e / V        e = label_smoothing
///
/// Logits are `tokens x vocabulary`, as in kl.hpp, and so are the gradient and the guarantees.
/// Labels are required; fails where a counted token's label is no column, naming it. A label whose
/// logit is minus infinity has an infinite loss.
struct cross_entropy {
  float label_smoothing = 0;  ///< in [0, 1)

  template <class Arch = xsimd::default_arch, real_element S,
            detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> logits, const token_batch& tokens,
                         matrix_view<G> gradient = {}) const {
    detail::distill::check_logits("cross_entropy", logits, logits, gradient,
                                  vocabulary_mismatch::fail);
    const detail::distill::token_plan plan{"cross_entropy", tokens, logits.rows};
    check(logits.rows, logits.cols, tokens, plan);
    loss_result result;
    plan.for_each_token([&](const detail::distill::counted_token& token) {
      if (!token.counts) {
        if (gradient.data != nullptr)
          detail::distill::clear_gradient_row(tokens.accumulate, gradient.row(token.index));
        detail::distill::add_token(result, tokens, token, 0);
        return;
      }
      const detail::distill::logit_row<std::remove_const_t<S>> row{
          logits.data + token.index * logits.stride, logits.cols};
      G* out = gradient.data == nullptr ? nullptr : gradient.data + token.index * gradient.stride;
      const auto label = static_cast<std::size_t>(tokens.labels[token.index]);
      detail::distill::add_token(
          result, tokens, token,
          one_token<Arch>(row, label, token.upstream, tokens.accumulate, out));
    });
    return result;
  }
  template <real_element S, detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> logits, std::span<const std::int64_t> labels, reduction how,
                         matrix_view<G> gradient = {}) const {
    return (*this)(logits, token_batch{.labels = labels, .how = how}, gradient);
  }

 private:
  template <class Arch, real_element S, real_element G>
  double one_token(detail::distill::logit_row<S> row, std::size_t label, double upstream,
                   bool accumulate, G* out) const noexcept {
    const double at_label = static_cast<double>(static_cast<float>(row.data[label]));
    const double smoothing = static_cast<double>(label_smoothing);
    if (row.size >= detail::distill::float_cols) {
      logit_statistics seen;
      detail::distill::logit_pair<float, Arch, S, S>{row, row, 1}.observe_teacher(seen);
      // Rounding of the sum is 1e-8 of what is near the loss itself.
      if (const double loss = seen.teacher_log_sum() - at_label; loss > 2e-2 || !(loss == loss)) {
        const double value = smoothed(row, loss, seen.teacher_log_sum(),
                                      smoothing);  // before `out` overwrites the row
        if (out != nullptr)
          write_gradient<float, Arch>(row, label, seen.teacher_log_sum(), upstream, accumulate,
                                      out);
        return value;
      }
    }
    logit_statistics seen;
    detail::distill::logit_pair<double, Arch, S, S>{row, row, 1}.observe_teacher(seen);
    const double above = at_label - seen.teacher_reference;
    const double value =
        smoothed(row, std::log(seen.teacher_sum) - above, seen.teacher_log_sum(), smoothing);
    if (out != nullptr)
      write_gradient<double, Arch>(row, label, seen.teacher_log_sum(), upstream, accumulate, out);
    return value;
  }

  template <class Real, class Arch, real_element S, real_element G>
  void write_gradient(detail::distill::logit_row<S> row, std::size_t label, double log_sum,
                      double upstream, bool accumulate, G* out) const noexcept {
    const double smoothing = static_cast<double>(label_smoothing);
    const float before = accumulate ? static_cast<float>(out[label]) : 0;
    const double logit =
        static_cast<double>(static_cast<float>(row.data[label]));  // `out` may be the row
    const double each = upstream * smoothing / static_cast<double>(row.size);
    detail::distill::softmax_gradient<Real, Arch>(row, log_sum, upstream, each, accumulate, out);
    // q - 1 without cancellation in float.
    const double at_label = upstream * (std::expm1(logit - log_sum) + smoothing) - each;
    out[label] = G{before + static_cast<float>(at_label)};
  }

  template <real_element S>
  [[nodiscard]] static double smoothed(detail::distill::logit_row<S> row, double loss,
                                       double log_sum, double smoothing) noexcept {
    if (smoothing == 0) return loss;
    double sum = 0;
    for (std::size_t i = 0; i < row.size; ++i)
      sum += static_cast<double>(static_cast<float>(row.data[i]));
    return (1 - smoothing) * loss + smoothing * (log_sum - sum / static_cast<double>(row.size));
  }

  void check(std::size_t rows, std::size_t cols, const token_batch& tokens,
             const detail::distill::token_plan& plan) const {
    if (!(label_smoothing >= 0 && label_smoothing < 1)) {
      detail::core::fail("cross_entropy: the label smoothing is " +
                         std::to_string(label_smoothing) + ", expected 0 to below 1");
    }
    detail::distill::check_tokens("cross_entropy", "labels", tokens.labels.size(), rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::int64_t label = tokens.labels[i];
      if (!plan.counts(i) || (label >= 0 && static_cast<std::uint64_t>(label) < cols)) continue;
      detail::core::fail("cross_entropy: the label of token " + std::to_string(i) + " is " +
                         std::to_string(label) + ", the vocabulary has " + std::to_string(cols));
    }
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
