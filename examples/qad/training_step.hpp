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
#include <vector>

#include "parameters.hpp"
#include "quantization.hpp"
#include "shard.hpp"
#include "step_clock.hpp"
#include "training_options.hpp"
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/objective.hpp>

namespace qad {

struct step_result {
  double loss = 0;                        ///< the weighted sum
  std::vector<er::objective_part> parts;  ///< those the method has: "task", "logits", "features"
  std::optional<double> gamma;            ///< eakld: of the batch, or the mean of its scopes'
  double gradient_norm = 0;               ///< before clipping
  double learning_rate = 0;
};

/// One training run. A step splits its batch into options.shards shards whose gradients are added
/// in an order of their own, halves of halves,
///
///     (g_0 + g_1) + (g_2 + g_3)
///
/// so that results depend on the seed and the shards, not on the threads and processes that compute
/// them. Each process of options.ranks computes some shards, and adds up with the others: all are
/// given the same batches, call the same functions, and have the same weights after each step.
///
/// A step is three calls, so that a host may stand between: gradients of the batch, their sum, and
/// the update.
class trainer {
 public:
  /// A student starts from the weights of `start`, null: the teacher's; a teacher is initialised by
  /// the seed. Refers to `teacher`. Fails where the options contradict each other, or qat or qad
  /// has no teacher.
  trainer(const shape& s, const training_options& options,
          const weight_pages<float>* teacher = nullptr, const weight_pages<float>* start = nullptr);
  ~trainer();
  trainer(trainer&&) noexcept;

  /// `windows`: options.sequences windows of window_of + 1 tokens, one after the other. `labels`:
  /// what each token of a window but its last predicts, negative where nothing is to be learned;
  /// empty: the next token. `packed`: see there. Fails where their number differs or one is outside
  /// of the vocabulary, rows of a stored teacher are missing or not wanted, or when the training
  /// diverges. The three calls below, one after the other.
  step_result step(std::span<const std::int32_t> windows, std::span<const std::int64_t> labels = {},
                   const packing& packed = {});

  /// The gradients of the batch, by shard: of those shards that this process has.
  void compute_gradients(std::span<const std::int32_t> windows,
                         std::span<const std::int64_t> labels = {}, const packing& packed = {});
  /// Their sum over all shards, one number a trained weight, which a host may change before
  /// `update`. Of a form without a backward pass there is none: empty.
  std::span<float> reduce_gradients();
  /// Clips the gradient, moves the weights and counts the step.
  step_result update();
  /// eakld: called once in compute_gradients with the teacher's confidence in the batch, to which a
  /// host may merge what it has from elsewhere.
  void on_confidence(std::function<void(er::confidence_sums&)> merge);

  /// The trained float weights.
  [[nodiscard]] const parameters& master() const noexcept;
  /// The weights and states that the trained model runs with: the master's, or what they become
  /// under the recipe or the method's form at the end of the run.
  [[nodiscard]] const parameters& weights_in_use();
  [[nodiscard]] state_quantization states() const;
  /// Learning rate of a step, counted from 0.
  [[nodiscard]] double learning_rate(std::size_t step) const noexcept;

  /// All of the state that a checkpoint saves: the weights, two buffers of the optimizer, of one
  /// number of `moments` a weight each (empty without a backward pass), and the steps done. After
  /// writing to the buffers call restore.
  struct state {
    std::span<float> weights;
    moment_type moments;
    std::span<std::byte> first_moments, second_moments;
    std::uint64_t steps_done;
  };
  [[nodiscard]] state checkpoint() noexcept;
  void restore(std::uint64_t steps_done);
  /// Of all buffers that have a number for each weight: weights, what they become, gradients, the
  /// optimizer's.
  [[nodiscard]] std::size_t buffer_bytes() const noexcept;
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
