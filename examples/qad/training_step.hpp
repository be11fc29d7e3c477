// SPDX-License-Identifier: Apache-2.0
/// Training of a teacher, or of a student under quantization, one step at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decoder.hpp"
#include "parameters.hpp"
#include "quantization.hpp"
#include "step_clock.hpp"
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/objective.hpp>

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
};

/// Tokens of a window.
[[nodiscard]] inline std::size_t window_of(const shape& s, const training_options& o) noexcept {
  return o.window == 0 ? s.context : o.window;
}

struct step_result {
  double loss = 0;                        ///< the weighted sum
  std::vector<er::objective_part> parts;  ///< those the method has: "task", "logits", "features"
  double gamma = 0;                       ///< eakld: of the batch, or the mean of its scopes'
  double gradient_norm = 0;               ///< before clipping
  double learning_rate = 0;
};

/// What packed windows bring beside their tokens; a row for each token of a window but its last.
struct packing {
  /// Of the token in its text: each text of a window, where 0 begins one, is a sample, and its
  /// tokens see no others. Empty: a window is one text.
  std::span<const std::uint32_t> positions = {};
  /// What a stored teacher says follows the token; no rows where there is none.
  er::matrix_view<const std::int32_t> ids = {};
  er::matrix_view<const float> log_probabilities = {};
};

/// One training run. A step splits its batch into a fixed number of shards whose gradients are
/// added in order, so that results depend on the seed, not on the threads.
///
/// A step is three calls, so that a host may stand between: gradients of the batch, their sum, to
/// which it may bring those of other processes, and the update.
class trainer {
 public:
  /// Shards of a batch.
  static constexpr std::size_t shards = 2;

  /// A student starts from the teacher's weights; a teacher is initialised by the seed. Refers to
  /// `teacher`. Fails where the options contradict each other, or qat or qad has no teacher.
  trainer(const shape& s, const training_options& options,
          const weight_pages<float>* teacher = nullptr);
  ~trainer();
  trainer(trainer&&) noexcept;

  /// `windows`: options.sequences windows of window_of + 1 tokens, one after the other. `labels`:
  /// what each token of a window but its last predicts, negative where nothing is to be learned;
  /// empty: the next token. `packed`: see there. Fails where their number differs or one is outside
  /// of the vocabulary, rows of a stored teacher are missing or not wanted, or when the training
  /// diverges. The three calls below, one after the other.
  step_result step(std::span<const std::int32_t> windows, std::span<const std::int64_t> labels = {},
                   const packing& packed = {});

  /// The gradients of the batch, by shard.
  void compute_gradients(std::span<const std::int32_t> windows,
                         std::span<const std::int64_t> labels = {}, const packing& packed = {});
  /// Their sum, one number a weight, which a host may change before `update`: that of a batch that
  /// several processes share is the mean of theirs.
  std::span<float> reduce_gradients();
  /// Clips the gradient, moves the weights and counts the step.
  step_result update();
  /// eakld: called once in compute_gradients with the teacher's confidence in this process's part
  /// of the batch, to which a host merges the others'.
  void on_confidence(std::function<void(er::confidence_sums&)> merge);

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
  /// Where the time went so far: seconds of the step's parts, of all threads together; and of the
  /// matrix products in them, with their multiplications and additions.
  struct time_spent {
    std::array<double, step_parts> student{}, teacher{};
    double product_seconds = 0, product_operations = 0;
  };
  [[nodiscard]] time_spent times() const;
  [[nodiscard]] std::uint64_t steps_done() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace qad
