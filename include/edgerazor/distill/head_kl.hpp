// SPDX-License-Identifier: Apache-2.0
/// Divergences between distributions over positions, one for every head of every token: what the
/// losses on attention maps and on self-relations have in common.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/heads.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// With p the teacher's distribution and q the student's:
///
///     forward         KL(p||q)
///     reverse         KL(q||p)
///     entropy_aware   gamma KL(q||p) + (1 - gamma) KL(p||q), gamma = clamp(1 - mean H(p) / ln k, 0, 1)
///
/// The mean is over samples and heads of the mean over a sample's counted tokens; a sample without
/// one counts as entropy 0. No gradient flows through gamma.
///
/// Options that the losses share: `mode`, where `parity` is the clamp of EdgeRazor (Python) at 1e-8
/// and its gamma, that of softmax(p) in place of p; `confidence_k`, at least 2; and `sum_heads`: a
/// token's value is the sum over its heads, not their mean. EdgeRazor (Python) adds them up with
/// `sum` and `mean`, and averages them with `batch_mean` and without labels.
enum class kl_direction { forward, reverse, entropy_aware };

namespace detail::distill {

/// Sums over heads, and over tokens within each. `Rows` says what a row is:
///
///     rows.begin_sample(token, student)      before a sample's tokens, for each head; the student's too?
///     rows.entropy(token)                    H(p)
///     rows.divergences(token, kl_blend)      both divergences, and the blend's gradient
///     rows.skip(token)                       a token that doesn't count
///     rows.end_sample(token)                 after the sample's tokens
///
/// `scale` multiplies the value and the gradients; `add_values`: token values are added to what is
/// there. `Loss` is attention_kl or relation_kl.
template <class Loss, class Rows>
blended_result sum_head_divergences(const Loss& loss, std::size_t heads, const token_plan& plan,
                                    Rows& rows, double scale, bool add_values) {
  // visit(token, whether it is its sample's last) of every token of every head.
  const auto for_each_row = [&](bool student, auto&& visit) {
    for (std::size_t head = 0; head < heads; ++head) {
      plan.for_each_token([&](const counted_token& token) {
        const head_token at{token, head};
        if (token.index == token.begin) rows.begin_sample(at, student);
        visit(at, token.index + 1 == token.end);
      });
    }
  };
  blended_result result;
  if (loss.direction == kl_direction::reverse) result.gamma = 1;
  if (loss.direction == kl_direction::entropy_aware) {
    double mean = 0, sum = 0;
    std::size_t counted = 0;
    for_each_row(false, [&](const head_token& token, bool last) {
      if (token.counts) {
        sum += rows.entropy(token);
        ++counted;
      }
      if (!last) return;
      if (counted != 0) mean += sum / static_cast<double>(counted);
      sum = 0, counted = 0;
    });
    const auto count = static_cast<double>(plan.samples() * heads);
    const double unit = std::log(static_cast<double>(loss.confidence_k));
    result.gamma = clamp_gamma(1 - (count == 0 ? 0 : mean / (count * unit)));
  }
  const double gamma = result.gamma;
  const double per_head = scale * (loss.sum_heads ? 1.0 : 1.0 / static_cast<double>(heads));
  const std::span<float> values = plan.batch().token_values;
  for_each_row(true, [&](const head_token& token, bool last) {
    if (token.head == 0 && !add_values && !values.empty()) values[token.index] = 0;
    if (token.counts) {
      if (token.head == 0) ++result.tokens;
      const double upstream = token.upstream * per_head;
      const row::kl_divergences both =
          rows.divergences(token, {.forward = (1 - gamma) * upstream, .reverse = gamma * upstream});
      // A token of weight 0 adds nothing.
      if (token.weight != 0) {
        const double value =
            per_head * add_divergences(result, token.share * per_head, gamma, both);
        if (!values.empty()) values[token.index] += static_cast<float>(token.weight * value);
        if (token.share != 0) result.value += token.share * value;
      }
    } else {
      rows.skip(token);
    }
    if (last) rows.end_sample(token);
  });
  return result;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
