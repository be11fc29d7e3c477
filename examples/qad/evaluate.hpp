// SPDX-License-Identifier: Apache-2.0
/// How well a model predicts a text it has not seen, and how far it is from its teacher.
#pragma once

#include <cstddef>
#include <span>

#include "decoder.hpp"
#include "parameters.hpp"
#include "text.hpp"

namespace qad {

/// Means over the tokens of the text that have one before them.
struct quality {
  double perplexity = 0;  ///< e^(mean of -ln q(token))
  double divergence =
      0;  ///< mean of KL(p || q) in nats, p the teacher's prediction; 0 without a teacher
};

/// A model as it runs: weights and states under a recipe.
struct running_model {
  const weight_pages<float>* weights;
  state_quantization states;
};

/// Reads `text` in windows of `window` tokens that know nothing of each other; each position
/// predicts the token after it, the last one the next window's first. That is how `llm compare`
/// measures, so the numbers compare. `teacher` may be null. Results do not depend on `threads`.
/// Fails where the text has fewer than two tokens or the window does not fit the context.
quality evaluate(const running_model& model, const running_model* teacher,
                 std::span<const token_id> text, std::size_t window, std::size_t threads);

}  // namespace qad
