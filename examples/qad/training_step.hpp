// SPDX-License-Identifier: Apache-2.0
/// Training of a teacher, or of a student under quantization, one step at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decoder.hpp"
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
  bool features = true;               ///< qad: the adaptive feature loss
  double task_weight = 0.1, logits_weight = 2,
         feature_weight = 0.1;  ///< qad; qat and teacher: the task alone, times 1
  std::size_t confidence_k =
      16;  ///< eakld: the teacher's most likely tokens that its entropy is taken of
  std::size_t feature_layers = 3;  ///< how many layers the feature loss selects
  double learning_rate = 3e-3;    ///< at the end of the warmup; then a cosine down to a tenth of it
  double warmup_fraction = 0.05;  ///< of the steps
  double weight_decay = 0.1;      ///< of matrices, not of norms
  double clip = 1;                ///< largest norm of the gradient
  std::size_t steps = 300;        ///< of the whole run
  std::uint64_t seed = 1;         ///< of the teacher's weights before training
  std::size_t sequences = 8;      ///< of a batch
  std::size_t threads = 1;        ///< 1 or 2; results do not depend on it
};

struct step_result {
  struct part {
    std::string_view name;  ///< "task", "logits", "features"
    double value;           ///< before its weight
  };
  double loss = 0;           ///< the weighted sum
  std::vector<part> parts;   ///< those the method has
  double gradient_norm = 0;  ///< before clipping
  double learning_rate = 0;
};

/// One training run. A step splits its batch into a fixed number of shards whose gradients are
/// added in order, so that results depend on the seed, not on the threads.
class trainer {
 public:
  /// Shards of a batch.
  static constexpr std::size_t shards = 2;

  /// A student starts from the teacher's weights, which are copied; a teacher is initialised by the
  /// seed. Fails where the options contradict each other, or qat or qad has no teacher.
  trainer(const shape& s, const training_options& options, const parameters* teacher = nullptr);
  ~trainer();
  trainer(trainer&&) noexcept;

  /// `windows`: options.sequences windows of s.context + 1 tokens, one after the other: each
  /// token's label is the next. Fails where their number differs or a token is outside of the
  /// vocabulary, or when the training diverges.
  step_result step(std::span<const std::int32_t> windows);

  /// The trained float weights.
  [[nodiscard]] const parameters& master() const noexcept;
  /// The weights and states the model runs with: the master's, or what they become under the
  /// recipe.
  [[nodiscard]] const parameters& weights_in_use();
  [[nodiscard]] const state_quantization& states() const noexcept;
  /// Learning rate of a step, counted from 0.
  [[nodiscard]] double learning_rate(std::size_t step) const noexcept;

  /// All of the state that a checkpoint saves: three buffers of one float a weight, and the steps
  /// done. After writing to the buffers call restore.
  struct state {
    std::span<float> weights, first_moments, second_moments;
    std::uint64_t steps_done;
  };
  [[nodiscard]] state checkpoint() noexcept;
  void restore(std::uint64_t steps_done);
  [[nodiscard]] std::uint64_t steps_done() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace qad
