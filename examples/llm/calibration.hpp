// SPDX-License-Identifier: Apache-2.0
/// From a model, a text and a budget in bits to a packed model.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layer_walk.hpp"
#include "model.hpp"
#include "options.hpp"
#include "sensitivity.hpp"
#include "thread_pool.hpp"

namespace llm {

/// What became of one matrix.
struct calibrated_matrix {
  std::string name;
  std::size_t layer = matrix_place::no_layer;
  std::string format, method;
  std::size_t weights = 0, bytes = 0;
  double sensitivity = 0;  ///< nats a token of a probe; 0 where none was made
  double error = 0, energy = 0;

  [[nodiscard]] double bits() const {
    return 8 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
  /// Of the outputs' mean square, the part that rounding changes.
  [[nodiscard]] double relative_error() const { return energy > 0 ? error / energy : 0; }
};

struct calibration {
  std::vector<calibrated_matrix> matrices;  ///< as places_of() has them
  std::size_t file_bytes = 0, weights = 0, text_tokens = 0;
  double seconds = 0;

  [[nodiscard]] double bits_per_weight() const {
    return 8 * static_cast<double>(file_bytes) / static_cast<double>(weights);
  }
};

/// Sensitivities of a model, measured once for calibrations with several budgets.
using known_sensitivity = std::optional<std::vector<matrix_sensitivity>>;

/// Throws, as calibrate_model would before it measures anything, where one of these can't be:
/// std::invalid_argument for its method, its options or a budget below what the smallest formats
/// take, edgerazor::io_error for gradients that are not the model's.
void require_possible(const model_file& input, std::span<const calibrate_options> wanted,
                      thread_pool& threads);

/// Writes a packed model of at most `options.bits` for each weight of its matrices, counting the
/// whole file. Method `auto` measures what rounding each matrix costs, gives each the format that
/// the budget allows it, or with `options.gradients` its rows two, and rounds with error feedback;
/// another method gives all matrices the finest format that fits, and what is left over to
/// embedding and head.
///
/// Layer by layer: the inputs of a layer's matrices are those that the rounded layers before it
/// give. Takes, beside the model: x of all tokens, the second moments of one layer, the packed
/// result. Throws std::invalid_argument where the
/// budget is below what the smallest formats take.
calibration calibrate_model(const model_file& input, const calibrate_options& options,
                            const std::filesystem::path& output, thread_pool& threads,
                            known_sensitivity& sensitivity);

}  // namespace llm
