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
enum class kl_direction { forward, reverse, entropy_aware };

namespace detail::distill {

/// One head of a token, with all the loss needs to know of it.
struct head_token : counted_token {
  std::size_t head = 0;
};

/// Sums over heads, and over tokens within each. `Rows` says what a row is:
///
///     rows.begin_sample(token), rows.end_sample(token)   around a sample's tokens, for each head
///     rows.begin_teacher(token), rows.entropy(token)     H(p), before any of the others
///     rows.divergences(token, kl_blend)                  both divergences, and the blend's gradient
///     rows.skip(token)                                   a token that doesn't count
///
/// `scale` multiplies the value and the gradients; `add_values`: token values are added to what is
/// there. `Loss` is attention_kl or relation_kl.
template <class Loss, class Rows>
blended_result sum_head_divergences(const Loss& loss, std::size_t heads, const token_plan& plan,
                                    Rows& rows, double scale, bool add_values) {
  // visit(token, whether it is its sample's first, its last) of every token of every head.
  const auto for_each_row = [&](auto&& visit) {
    for (std::size_t head = 0; head < heads; ++head) {
      plan.for_each_token([&](const counted_token& token) {
        visit(head_token{token, head}, token.index == token.begin, token.index + 1 == token.end);
      });
    }
  };
  blended_result result;
  if (loss.direction == kl_direction::reverse) result.gamma = 1;
  if (loss.direction == kl_direction::entropy_aware) {
    double mean = 0, sum = 0;
    std::size_t counted = 0;
    for_each_row([&](const head_token& token, bool first, bool last) {
      if (first) {
        rows.begin_teacher(token);
        sum = 0, counted = 0;
      }
      if (token.counts) {
        sum += rows.entropy(token);
        ++counted;
      }
      if (last && counted != 0) mean += sum / static_cast<double>(counted);
    });
    const auto count = static_cast<double>(plan.samples() * heads);
    const double unit = std::log(static_cast<double>(loss.confidence_k));
    result.gamma = clamp_gamma(1 - (count == 0 ? 0 : mean / (count * unit)));
  }
  const double gamma = result.gamma;
  const double per_head = scale * (loss.sum_heads ? 1.0 : 1.0 / static_cast<double>(heads));
  const std::span<float> values = plan.batch().token_values;
  for_each_row([&](const head_token& token, bool first, bool last) {
    if (first) rows.begin_sample(token);
    if (token.head == 0 && !add_values && !values.empty()) values[token.index] = 0;
    if (token.counts) {
      if (token.head == 0) ++result.tokens;
      const double upstream = token.upstream * per_head;
      const row::kl_divergences both =
          rows.divergences(token, {.forward = (1 - gamma) * upstream, .reverse = gamma * upstream});
      // A token of weight 0 adds nothing.
      if (token.weight != 0) {
        const double value = per_head * row::blended(gamma, both.forward, both.reverse);
        if (!values.empty()) values[token.index] += static_cast<float>(token.weight * value);
        if (token.share != 0) {
          result.value += token.share * value;
          result.forward += token.share * per_head * both.forward;
          result.reverse += token.share * per_head * both.reverse;
        }
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
