// SPDX-License-Identifier: Apache-2.0
/// Divergences between distributions over positions, one for every head of every token: what the
/// losses on attention maps and on self-relations have in common.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/head_view.hpp>
#include <edgerazor/distill/kl_rows.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/teacher_confidence.hpp>

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

struct head_kl_options {
  kl_direction direction = kl_direction::forward;
  loss_mode mode = loss_mode::stable;
  std::size_t confidence_k = 16;
  bool sum_heads = false;
};

/// Which row is meant: one head of a token, of the sample whose tokens are [begin, end).
struct head_place {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t head = 0;
  std::size_t token = 0;
};

/// Sums over heads, and over tokens within each. `Rows` says what a row is:
///
///     rows.begin_sample(place), rows.end_sample(place)   around a sample's tokens, for each head
///     rows.begin_teacher(place), rows.entropy(place)     H(p), before any of the others
///     rows.divergences(place, kl_blend)                  both divergences, and the blend's gradient
///     rows.skip(place)                                   a token that doesn't count
///
/// `scale` multiplies the value and the gradients; `add_values`: token values are added to what is
/// there.
template <class Rows>
class head_divergence {
 public:
  head_divergence(const char* name, const head_kl_options& options, std::size_t heads,
                  const token_plan& plan, const token_batch& tokens, Rows& rows)
      : options_(options), heads_(heads), plan_(plan), tokens_(tokens), rows_(rows) {
    if (options.confidence_k < 2) {
      core::fail(std::string{name} + ": confidence_k is " + std::to_string(options.confidence_k) +
                 ", expected at least 2");
    }
  }

  blended_result run(double scale, bool add_values) {
    blended_result result;
    if (options_.direction == kl_direction::reverse) result.gamma = 1;
    if (options_.direction == kl_direction::entropy_aware)
      result.gamma = clamp_gamma(1 - mean_entropy());
    const double gamma = result.gamma;
    const double a_head = scale * (options_.sum_heads ? 1.0 : 1.0 / static_cast<double>(heads_));
    for_each_row([&](const head_place& place, const counted_token& token) {
      const bool first = place.head == 0 && !add_values;
      if (first && !tokens_.token_values.empty()) tokens_.token_values[token.index] = 0;
      if (!token.counts) {
        rows_.skip(place);
        return;
      }
      if (place.head == 0) ++result.tokens;
      const double upstream = token.upstream * a_head;
      const kl_divergences both = rows_.divergences(
          place, {.forward = (1 - gamma) * upstream, .reverse = gamma * upstream});
      // A token of weight 0 adds nothing, nor does a direction without weight, be it infinite.
      if (token.weight == 0) return;
      const double value = a_head * ((gamma < 1 ? (1 - gamma) * both.forward : 0) +
                                     (gamma > 0 ? gamma * both.reverse : 0));
      if (!tokens_.token_values.empty())
        tokens_.token_values[token.index] += static_cast<float>(token.weight * value);
      if (token.share == 0) return;
      result.value += token.share * value;
      result.forward += token.share * a_head * both.forward;
      result.reverse += token.share * a_head * both.reverse;
    });
    return result;
  }

 private:
  template <class Visit>
  void for_each_row(Visit&& visit) {
    for (std::size_t head = 0; head < heads_; ++head) {
      plan_.for_each_token([&](const counted_token& token) {
        const std::size_t begin = token.sample == 0 ? 0 : plan_.sample_end(token.sample - 1);
        const head_place place{begin, plan_.sample_end(token.sample), head, token.index};
        if (token.index == begin) rows_.begin_sample(place);
        visit(place, token);
        if (token.index + 1 == place.end) rows_.end_sample(place);
      });
    }
  }

  /// In units of ln k.
  [[nodiscard]] double mean_entropy() {
    double mean = 0, sum = 0;
    std::size_t counted = 0;
    for (std::size_t head = 0; head < heads_; ++head) {
      plan_.for_each_token([&](const counted_token& token) {
        const std::size_t begin = token.sample == 0 ? 0 : plan_.sample_end(token.sample - 1);
        const head_place place{begin, plan_.sample_end(token.sample), head, token.index};
        if (token.index == begin) {
          rows_.begin_teacher(place);
          sum = 0, counted = 0;
        }
        if (token.counts) {
          sum += rows_.entropy(place);
          ++counted;
        }
        if (token.index + 1 == place.end && counted != 0)
          mean += sum / static_cast<double>(counted);
      });
    }
    const std::size_t rows = plan_.samples() * heads_;
    return rows == 0 ? 0
                     : mean / (static_cast<double>(rows) *
                               std::log(static_cast<double>(options_.confidence_k)));
  }

  head_kl_options options_;
  std::size_t heads_;
  const token_plan& plan_;
  const token_batch& tokens_;
  Rows& rows_;
};

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
