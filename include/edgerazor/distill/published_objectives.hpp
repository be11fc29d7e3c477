// SPDX-License-Identifier: Apache-2.0
/// The objectives that the published models were trained with.
#pragma once

#include <cstddef>

#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/layer_selection.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Weights and parameters of the paper's objective:
///
///     task * cross-entropy + logits * EAKLD + features * mean over selected layers of hidden MSE
///
/// with `batch_mean` reductions and labels of -100 as padding.
struct distillation_recipe {
  double task = 1;
  double logits = 1;
  double features = 1;
  std::size_t confidence_k = 16;
  layer_metric metric = layer_metric::cosine_similarity;
  std::size_t layers = 3;  ///< whose features are compared

  [[nodiscard]] constexpr entropy_aware_kl logit_loss() const noexcept {
    return {.confidence_k = confidence_k};
  }
  [[nodiscard]] constexpr adaptive_layers layer_selection() const noexcept {
    return {.metric = metric, .count = layers};
  }
};

/// From the repository of EdgeRazor (Python),
/// example/edgerazor-llm/script/<model>/<bits>/train.yaml (loss_task_alpha, and the alpha of loss_1
/// and loss_2), where the temperature is 1 and confidence_k 16; metric and number of layers are
/// those of its LossConfig, which the files leave as they are. Qwen3-0.6B and Qwen3-1.7B share
/// theirs; MobileLLM is the model of 350M parameters. Named by the bits of the weights, as the
/// recipes of quantization are.
namespace published {
inline constexpr distillation_recipe qwen3_w4{.task = 0.05, .logits = 2, .features = 0.5};
inline constexpr distillation_recipe qwen3_w2_79{.task = 0.1, .logits = 2, .features = 0.1};
inline constexpr distillation_recipe qwen3_w1_88 = qwen3_w2_79;
inline constexpr distillation_recipe qwen3_w1_58 = qwen3_w2_79;
inline constexpr distillation_recipe mobilellm_w4{.task = 0.5, .logits = 2, .features = 0.1};
inline constexpr distillation_recipe mobilellm_w2_79 = mobilellm_w4;
inline constexpr distillation_recipe mobilellm_w1_88{.task = 0.2, .logits = 4, .features = 1};
inline constexpr distillation_recipe mobilellm_w1_58 = mobilellm_w1_88;
}  // namespace published

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
