// SPDX-License-Identifier: Apache-2.0
/// By which rules a model is trained.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calibrated_grid.hpp"
#include "moment_type.hpp"
#include "parameters.hpp"
#include "process_group.hpp"
#include "quantization.hpp"

namespace qad {

/// teacher: float weights, cross-entropy. rounding: no training, the teacher's weights quantized.
/// qat: quantized weights and states, cross-entropy. qad: the same with distillation from the
/// teacher. The others have a form of weights and states, and an objective, of their own: see
/// layer_form.
enum class method { teacher, rounding, qat, qad, onebit, bwta, lbllm, zeroqat };

/// How far hidden states are from the teacher's. relative, absolute: the mean squared error of the
/// layers that are selected, divided by the teacher's mean square or as published; cosine: 1 - cos
/// of all layers' inputs.
enum class features_by { relative, absolute, cosine };

/// From a step on, counted from 0, another rate holds.
struct rate_change {
  std::size_t from_step = 0;
  double learning_rate = 0;
  friend bool operator==(const rate_change&, const rate_change&) = default;
};

inline constexpr std::size_t default_shards = 2;

struct training_options {
  method how = method::teacher;
  std::string recipe = "none";        ///< qat, qad: see weight_quantizer, calibrated_grid.hpp
  std::string logits_loss = "eakld";  ///< qad: "eakld", "forward", "reverse" or "none"
  std::string gamma_scope =
      "batch";  ///< eakld: what shares a gamma: the whole "batch", each "sample" or each "token"
  bool features = true;  ///< qad: the adaptive feature loss
  features_by feature_form = features_by::relative;
  double task_weight = 0.1, logits_weight = 2,
         feature_weight = 0.1;  ///< qad; qat and teacher: the task alone, times 1
  std::size_t confidence_k =
      16;  ///< eakld: the teacher's most likely tokens that its entropy is taken of
  std::size_t feature_layers = 3;  ///< how many layers the feature loss selects
  bool output_norms = true;        ///< onebit: a layer norm behind each matrix
  /// qad: what the teacher says is in the steps' `packing`, and it does not run; without features.
  bool stored_teacher = false;
  double learning_rate = 3e-3;  ///< at the end of the warmup; then a cosine down to a tenth of it
  /// Of a run that was taken up with another rate, in the order of their steps: the schedule goes
  /// on, at another height.
  std::vector<rate_change> rate_changes;
  double warmup_fraction = 0.05;      ///< of the steps
  double weight_decay = 0.1;          ///< of matrices, not of norms
  double clip = 1;                    ///< largest norm of the gradient
  std::size_t steps = 300;            ///< of the whole run
  std::uint64_t seed = 1;             ///< of the teacher's weights before training
  std::size_t sequences = 8;          ///< of a batch
  std::size_t window = 0;             ///< tokens of a sequence; 0: the model's context
  std::size_t group = group_columns;  ///< columns that share a scale
  /// Of the recipe "calibrated": what the student keeps of the model that it starts from.
  std::shared_ptr<const calibrated_grids> grids = nullptr;
  /// How the optimizer keeps its means: bfloat16 takes half of the memory.
  moment_type moments = moment_type::float32;
  bool recompute = false;  ///< less memory for more time: states of blocks are computed twice
  /// Parts of a batch, whose gradients are added in a fixed order: threads and processes share
  /// them.
  std::size_t shards = default_shards;
  // Results do not depend on what follows.
  std::size_t threads = 1;         ///< of one process
  process_group* ranks = nullptr;  ///< that shares every batch; null: this process alone

  [[nodiscard]] std::size_t processes() const noexcept {
    return ranks == nullptr ? 1 : ranks->size();
  }
  /// Shards that each process has; the first is that of its rank times as many.
  [[nodiscard]] std::size_t own_shards() const noexcept { return shards / processes(); }
  [[nodiscard]] bool distills() const noexcept {
    return how != method::teacher && how != method::rounding && how != method::qat;
  }
  [[nodiscard]] bool distills_logits() const noexcept {
    return distills() && logits_loss != "none";
  }
  /// Both divergences, by gamma.
  [[nodiscard]] bool blends() const noexcept { return distills() && logits_loss == "eakld"; }
  /// One gamma for the batch has to be known before the losses.
  [[nodiscard]] bool measures_gamma() const noexcept { return blends() && gamma_scope == "batch"; }
};

/// Tokens of a window.
[[nodiscard]] inline std::size_t window_of(const shape& s, const training_options& o) noexcept {
  return o.window == 0 ? s.context : o.window;
}

/// Throws std::invalid_argument where the shards do not share the sequences of a batch evenly, or
/// the processes the shards.
void require_shares(const training_options& options);

}  // namespace qad
