// SPDX-License-Identifier: Apache-2.0
/// By which rules a model is trained.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "parameters.hpp"
#include "quantization.hpp"

namespace qad {

/// teacher: float weights, cross-entropy. rounding: no training, the teacher's weights quantized.
/// qat: quantized weights and states, cross-entropy. qad: the same with distillation from the
/// teacher.
enum class method { teacher, rounding, qat, qad };

struct training_options {
  method how = method::teacher;
  std::string recipe = "none";        ///< qat, qad: see weight_quantizer
  std::string logits_loss = "eakld";  ///< qad: "eakld", "forward", "reverse" or "none"
  std::string gamma_scope =
      "batch";  ///< eakld: what shares a gamma: the whole "batch", each "sample" or each "token"
  bool features = true;            ///< qad: the adaptive feature loss
  bool features_absolute = false;  ///< as published; else relative to the teacher's mean square
  double task_weight = 0.1, logits_weight = 2,
         feature_weight = 0.1;  ///< qad; qat and teacher: the task alone, times 1
  std::size_t confidence_k =
      16;  ///< eakld: the teacher's most likely tokens that its entropy is taken of
  std::size_t feature_layers = 3;  ///< how many layers the feature loss selects
  /// qad: what the teacher says is in the steps' `packing`, and it does not run; without features.
  bool stored_teacher = false;
  double learning_rate = 3e-3;    ///< at the end of the warmup; then a cosine down to a tenth of it
  double warmup_fraction = 0.05;  ///< of the steps
  double weight_decay = 0.1;      ///< of matrices, not of norms
  double clip = 1;                ///< largest norm of the gradient
  std::size_t steps = 300;        ///< of the whole run
  std::uint64_t seed = 1;         ///< of the teacher's weights before training
  std::size_t sequences = 8;      ///< of a batch
  std::size_t window = 0;         ///< tokens of a sequence; 0: the model's context
  std::size_t group = group_columns;  ///< columns that share a scale
  bool recompute = false;   ///< less memory for more time: states of blocks are computed twice
  std::size_t threads = 1;  ///< 1 or 2; results do not depend on it

  [[nodiscard]] bool distills() const noexcept { return how == method::qad; }
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

}  // namespace qad
