// SPDX-License-Identifier: Apache-2.0
/// How much each matrix of a model can bear: what rounding it alone costs, in nats a token.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "layer_walk.hpp"
#include "model.hpp"
#include "thread_pool.hpp"
#include <edgerazor/matrix/format.hpp>

namespace llm {

/// A matrix of a model, by its name in the file.
struct matrix_place {
  static constexpr std::size_t no_layer = static_cast<std::size_t>(-1);

  std::string name;
  std::size_t layer = no_layer;  ///< embedding and head have none
  layer_input input = layer_input::attention;
  er::any_matrix* matrix = nullptr;
};

/// Embedding, head (where it is a matrix of its own), then the seven of each layer.
std::vector<matrix_place> places_of(model& weights);

/// What is known of one matrix.
struct matrix_sensitivity {
  double divergence = 0;            ///< KL, nats a token, of the model with this matrix rounded
  std::vector<float> mean_squares;  ///< of the activations it meets, column by column
};

/// For every place of `places_of(weights)`: KL of the model to itself with that matrix alone
/// rounded to nearest in the format `probe`. Measured in int8 throughout, so that a probe's cost is
/// told apart from that of rounding activations, on some windows of the text. A product over layers
/// is spared: a probe starts at its own layer.
///
/// Takes the memory of the model in 8 bits, of x for every layer and of the windows' logits.
/// `advance` is called after each probe, with the part of all work that it was.
std::vector<matrix_sensitivity> measure_sensitivity(model& weights, const token_windows& text,
                                                    const er::format& probe, thread_pool& threads,
                                                    const er::kernel& k,
                                                    const std::function<void(double)>& advance);

}  // namespace llm
