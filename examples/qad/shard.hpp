// SPDX-License-Identifier: Apache-2.0
/// A part of every batch: its passes, its losses and the gradients of both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "decoder.hpp"
#include "parameters.hpp"
#include "quantization.hpp"
#include "training_options.hpp"
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/fused_head.hpp>
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/objective.hpp>
#include <edgerazor/distill/top_k.hpp>

namespace qad {

/// What packed windows bring beside their tokens; a row for each token of a window but its last.
struct packing {
  /// Of the token in its text: each text of a window, where 0 begins one, is a sample, and its
  /// tokens see no others. Empty: a window is one text.
  std::span<const std::uint32_t> positions = {};
  /// What a stored teacher says follows the token; no rows where there is none.
  er::matrix_view<const std::int32_t> ids = {};
  er::matrix_view<const float> log_probabilities = {};
};

/// What a pass runs with.
struct models_in_use {
  const parameters* student = nullptr;
  state_quantization states;
  const weight_pages<float>* teacher = nullptr;  ///< of a student
};

/// The windows that are computed at once. It takes all of its memory when it is made; one thread at
/// a time. Shards of a batch share weights alone, so threads and processes may take one each.
class shard {
 public:
  /// `shards`: how many make a batch. `use`: inference for one that measures alone. Throws
  /// std::invalid_argument where options.gamma_scope is none.
  shard(const shape& s, const training_options& options, std::size_t shards, pass use);

  /// Tokens and labels of the windows: window_of + 1 tokens each, labels as trainer::step has them.
  /// Throws std::invalid_argument where a label is outside of the vocabulary.
  void read(std::span<const std::int32_t> windows, std::span<const std::int64_t> labels);
  /// Positions, samples and stored teacher, of a shard that begins with the batch's token `begin`.
  void place(std::size_t begin, const packing& packed);
  /// Student and teacher; `confidence` where the losses need it.
  void forward(const models_in_use& models);
  /// Losses and their gradients. `gamma`: of the batch, where it measures one; `samples`: of the
  /// batch.
  void backward(const models_in_use& models, double gamma, std::size_t samples);
  /// The losses alone.
  void measure(const models_in_use& models, double gamma, std::size_t samples) {
    measure(models, gamma, samples, false);
  }

  [[nodiscard]] std::size_t samples() const noexcept { return sample_ends_.size(); }
  /// Of the teacher in this shard's tokens.
  [[nodiscard]] const er::confidence_sums& confidence() const noexcept { return confidence_; }
  /// After backward: losses whose mean over the shards is the batch's, and gradients whose sum is.
  [[nodiscard]] const std::vector<er::objective_part>& parts() const noexcept { return parts_; }
  [[nodiscard]] double gamma() const noexcept { return gamma_; }
  /// One that measures alone has none.
  [[nodiscard]] bool has_gradient() const noexcept { return gradient_.has_value(); }
  /// Precondition: it has one.
  [[nodiscard]] parameters& gradient() noexcept { return *gradient_; }
  /// For the clocks; the teacher may not be there.
  [[nodiscard]] const decoder& model() const noexcept { return model_; }
  [[nodiscard]] const decoder* teacher() const noexcept { return teacher_ ? &*teacher_ : nullptr; }

 private:
  [[nodiscard]] matrix room(std::size_t cols) const {
    return matrix(static_cast<Eigen::Index>(model_.tokens()), static_cast<Eigen::Index>(cols));
  }
  /// Where the head adds its weights' gradient; null where none is wanted.
  [[nodiscard]] parameters* wanted_gradient() noexcept {
    return gradients_ ? &*gradient_ : nullptr;
  }
  void measure(const models_in_use& models, double gamma, std::size_t samples, bool gradients);
  void measure_confidence(const models_in_use& models);
  er::fused_result stored_head_losses(const models_in_use& models, double gamma,
                                      const er::token_batch& tokens);
  template <class Loss>
  er::fused_result head_losses(const models_in_use& models, const Loss& loss,
                               const er::token_batch& tokens);
  double feature_loss(std::size_t layer, const er::token_batch& tokens);

  shape size_;
  training_options options_;
  std::size_t length_, shards_;
  er::gamma_scope scope_;
  decoder model_;
  std::optional<decoder> teacher_;
  std::optional<parameters> gradient_;  ///< not of one that measures alone
  std::vector<std::int32_t> ids_;
  std::vector<std::int64_t> labels_;
  std::vector<std::uint8_t> learned_;  ///< whether a token has a label
  std::vector<std::uint32_t> positions_;
  std::vector<std::size_t> sample_ends_;
  std::vector<double> sample_confidence_;  ///< eakld, where it is measured
  er::top_k_teacher stored_;
  matrix input_gradient_;  ///< of the head's input
  std::vector<float> workspace_;
  std::vector<er::matrix_view<const float>> hidden_states_,
      hidden_gradients_;                   ///< the teacher's; the loss's
  std::vector<matrix> feature_gradients_;  ///< of the selected layers
  std::vector<std::size_t> selected_;
  std::vector<double> scores_;
  er::confidence_sums confidence_;
  std::vector<er::objective_part> parts_;
  double gamma_ = 0;
  bool gradients_ = true;  ///< of the head are wanted
};

}  // namespace qad
