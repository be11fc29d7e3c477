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
  double divergence = 0;  ///< KL, nats a token, of the model with this matrix rounded
  std::vector<float>
      mean_squares;  ///< of the activations it meets, column by column; 1 where rows are looked up
  std::vector<float> row_weights;  ///< what each row's error counts; empty: nobody knows
};

/// For every place of `places_of(weights)`: KL of the model to itself with that matrix alone
/// rounded to nearest in the format `probe`, on some windows of a text. The model's matrices are
/// real numbers; they are replaced one at a time, and are what they were at the end. A probe starts
/// at its own layer.
///
/// Takes the memory of x for every layer and of the windows' logits. `advance` is called after each
/// probe, with the part of all work that it was.
std::vector<matrix_sensitivity> measure_sensitivity(model& weights, const token_windows& text,
                                                    const er::format& probe, thread_pool& threads,
                                                    const er::kernel& k,
                                                    const std::function<void(double)>& advance);

}  // namespace llm
