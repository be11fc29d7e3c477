// SPDX-License-Identifier: Apache-2.0
/// How sure a model is of its predictions.
#pragma once

#include <cstddef>
#include <span>

#include "decoder.hpp"
#include "parameters.hpp"

namespace qad {

/// confidence[t] = 1 - H(p) / ln k of what `model`, whose weights are `weights`, predicts after
/// token t of its last pass. The workspace holds the logits of 128 tokens and `columns` columns.
void head_confidence(decoder& model, const weight_pages<float>& weights, std::size_t k,
                     std::size_t columns, std::span<float> workspace, std::span<double> confidence);

}  // namespace qad
