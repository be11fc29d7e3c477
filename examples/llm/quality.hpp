// SPDX-License-Identifier: Apache-2.0
/// What quantization costs: perplexity, and the distance from the 16-bit model's predictions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "model.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"
#include <edgerazor/product/kernels.hpp>

namespace llm {

/// Means over the tokens of the text that have one before them.
struct quality {
  double perplexity = 0;     ///< e^(mean of -ln q(token))
  double divergence = 0;     ///< mean of KL(p || q) in nats, p the reference
  double top_agreement = 0;  ///< fraction of positions where both find the same token likeliest
};

/// Runs the models side by side over the text, in windows of `window` tokens that know nothing of
/// each other, so no logits are ever stored. `models[0]` is the reference. `beginning` stands
/// before every window, if the models want it. Throws std::invalid_argument on a text of fewer than
/// two tokens.
std::vector<quality> measure_quality(std::span<const model> models, std::span<const token_id> text,
                                     std::size_t window, std::optional<token_id> beginning,
                                     thread_pool& threads, const edgerazor::kernel& k);

}  // namespace llm
