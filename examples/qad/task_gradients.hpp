// SPDX-License-Identifier: Apache-2.0
/// What a loss on a text says of every weight of a model: what `llm calibrate --gradients` reads.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "llm/layer_walk.hpp"
#include "parameters.hpp"
#include <edgerazor/calibrate/tacq.hpp>

namespace qad {

/// A matrix of a block, by its GGUF name.
struct task_gradient {
  std::string name;
  er::gradient_magnitudes sums;
};

/// sum over windows of |dL/dw| for the seven matrices of every block, in the order of
/// weight_layout; L: the mean over a window of the cross-entropy of each token but its first, given
/// those before it. Weights and states are not quantized.
///
/// Takes a float for each weight of the blocks and, for each thread, one for every weight of the
/// model. `advance` is called after each window. Throws std::invalid_argument where windows have
/// fewer than two tokens or a gradient is NaN or infinite.
std::vector<task_gradient> task_gradients(const weight_pages<float>& weights,
                                          const llm::token_windows& text, std::size_t threads,
                                          const std::function<void()>& advance = {});

/// A safetensors file with a tensor of floats for each, out x in, and in its metadata the number of
/// windows and their length. Returns its bytes; on an error nothing is written.
std::size_t write_task_gradients(const std::filesystem::path& output,
                                 const std::vector<task_gradient>& gradients,
                                 const llm::token_windows& text);

/// What the sub-command `gradients` asks for.
struct task_gradient_options {
  std::string model, text, output;
  std::size_t windows = 128, window = 128, threads = 1;
};

/// The file of any model that examples/llm reads. Returns the tokens of the windows.
std::size_t write_task_gradients(const task_gradient_options& options);

}  // namespace qad
