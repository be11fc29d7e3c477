// SPDX-License-Identifier: Apache-2.0
/// Losses between predictions of which the teacher's likeliest tokens alone are known, from a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "head.hpp"
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/fused_head.hpp>
#include <edgerazor/distill/tokens.hpp>
#include <edgerazor/distill/top_k.hpp>

namespace qad {

/// The rows of a file as `top_k_loss` takes them. What a file's 16 bits round to a sum of 1 keeps a
/// tail of 1e-6, without which the reverse divergence of a sure teacher would be infinite.
[[nodiscard]] inline er::top_k_teacher stored_rows(
    er::matrix_view<const std::int32_t> ids,
    er::matrix_view<const float> log_probabilities) noexcept {
  return {ids, log_probabilities, er::top_k_tail::bucket, 1e-6f};
}

/// 1 - H / ln k of what is known after a token: H is the entropy of its outcomes, the tail one of
/// them.
[[nodiscard]] double stored_confidence(const er::top_k_teacher& teacher, std::size_t token,
                                       std::size_t vocabulary, std::size_t k);

/// value = task_weight * cross-entropy + loss_weight * ((1 - gamma) KL(p||q) + gamma KL(q||p)), as
/// `fused_head` with `batch_mean`, the teacher's p being a `top_k_loss`'s. The logits of
/// `block_tokens` tokens exist at a time.
struct stored_losses {
  double task_weight = 0, loss_weight = 1;
  std::span<const double> gammas;           ///< of each sample
  std::optional<std::size_t> confidence_k;  ///< in place of gammas: each token has its own

  static constexpr std::size_t block_tokens = 64;

  /// `tokens`: labels, sample_ends, a denominator and the upstream mean something; its labels are
  /// `labels`, -100 where there is none. The gradient with respect to `inputs` is added to
  /// `gradient`, the head's to what it keeps. Fails as `top_k_loss` does.
  er::fused_result operator()(er::matrix_view<const float> inputs, const basic_head<float>& head,
                              const er::top_k_teacher& teacher,
                              std::span<const std::int64_t> labels, const er::token_batch& tokens,
                              er::matrix_view<float> gradient, std::vector<float>& workspace) const;
};

}  // namespace qad
