// SPDX-License-Identifier: Apache-2.0
#include "shard.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "head_confidence.hpp"
#include "stored_losses.hpp"
#include "sums.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/layer_selection.hpp>

namespace qad {

namespace {

/// Columns of the logits that exist at a time, for a few tokens.
constexpr std::size_t logit_columns = 1024;

er::gamma_scope scope_named(const std::string& name) {
  if (name == "batch") return er::gamma_scope::batch;
  if (name == "sample") return er::gamma_scope::sample;
  if (name == "token") return er::gamma_scope::token;
  throw std::invalid_argument("no scope of gamma is called " + er::quoted(name) +
                              "; expected batch, sample or token");
}

}  // namespace

shard::shard(const shape& s, const training_options& options, std::size_t shards, pass use)
    : size_(s),
      options_(options),
      length_(window_of(s, options)),
      shards_(shards),
      scope_(scope_named(options.gamma_scope)),
      model_(s, options.sequences / shards, length_, use),
      ids_(model_.tokens()),
      labels_(model_.tokens()),
      learned_(model_.tokens()),
      positions_(model_.tokens()),
      input_gradient_(room(s.hidden)) {
  if (use != pass::inference) gradient_.emplace(s);
  workspace_.resize(
      er::fused_head<er::symmetric_kl>{.columns = logit_columns}.workspace_size(model_.tokens()));
  if (!options.distills() || options.stored_teacher) return;
  teacher_.emplace(s.plain(), options.sequences / shards, length_, pass::inference);
  if (!options.features) return;
  hidden_gradients_.resize(s.layers + 1);
  const bool all = options.feature_form == features_by::cosine;
  selected_.resize(all ? s.layers : std::min(options.feature_layers, s.layers));
  if (all) std::iota(selected_.begin(), selected_.end(), std::size_t{0});
  scores_.resize(s.layers + 1);
  for (std::size_t i = 0; i < selected_.size(); ++i) feature_gradients_.push_back(room(s.hidden));
}

void shard::read(std::span<const std::int32_t> windows, std::span<const std::int64_t> labels) {
  for (std::size_t t = 0; t < ids_.size(); ++t) {
    const std::size_t at = t / length_ * (length_ + 1) + t % length_;
    ids_[t] = windows[at];
    labels_[t] = labels.empty() ? windows[at + 1] : labels[t];
    learned_[t] = labels.empty() || labels[t] >= 0 ? 1 : 0;
    if (learned_[t] == 0) {
      labels_[t] = -100;
    } else if (labels_[t] < 0 || static_cast<std::size_t>(labels_[t]) >= size_.vocabulary) {
      throw std::invalid_argument("token " + std::to_string(labels_[t]) +
                                  " is outside of the vocabulary");
    }
  }
}

void shard::place(std::size_t begin, const packing& packed) {
  const std::size_t tokens = ids_.size();
  sample_ends_.clear();
  for (std::size_t t = 0; t < tokens; ++t) {
    positions_[t] = packed.positions.empty() ? static_cast<std::uint32_t>(t % length_)
                                             : packed.positions[begin + t];
    if (t != 0 && positions_[t] == 0) sample_ends_.push_back(t);
  }
  sample_ends_.push_back(tokens);
  if (!options_.stored_teacher) return;
  stored_ = stored_rows(packed.ids.rows_between(begin, begin + tokens),
                        packed.log_probabilities.rows_between(begin, begin + tokens));
}

void shard::forward(const models_in_use& models) {
  model_.forward(*models.student, ids_, models.states, positions_);
  if (teacher_) teacher_->forward(*models.teacher, ids_, {}, positions_);
  if (options_.measures_gamma() || (options_.stored_teacher && options_.blends()))
    measure_confidence(models);
}

/// 1 - H(p) / ln k of the teacher's predictions: each sample's mean, and their sum.
void shard::measure_confidence(const models_in_use& models) {
  std::vector<double> known(ids_.size());
  if (options_.stored_teacher) {
    for (std::size_t t = 0; t < known.size(); ++t)
      known[t] = stored_confidence(stored_, t, size_.vocabulary, options_.confidence_k);
  } else {
    head_confidence(*teacher_, *models.teacher, options_.confidence_k, logit_columns, workspace_,
                    known);
  }
  confidence_ = {.samples = sample_ends_.size(), .without = 1};
  sample_confidence_.clear();
  std::size_t t = 0;
  for (const std::size_t end : sample_ends_) {
    double sum = 0;
    std::size_t counted = 0;
    for (; t < end; ++t) {
      if (learned_[t] == 0) continue;
      sum += known[t];
      ++counted;
    }
    sample_confidence_.push_back(counted == 0 ? 1 : sum / static_cast<double>(counted));
    confidence_.sum += sample_confidence_.back();
  }
}

/// The same losses as head_losses, of what a file says of the teacher.
er::fused_result shard::stored_head_losses(const models_in_use& models, double gamma,
                                           const er::token_batch& tokens) {
  std::vector<double> gammas(sample_ends_.size(), gamma);
  if (options_.blends() && scope_ == er::gamma_scope::sample) {
    for (std::size_t i = 0; i < gammas.size(); ++i)
      gammas[i] = er::confidence_sums{sample_confidence_[i], 1, 1}.gamma();
  }
  stored_losses losses{options_.task_weight,
                       options_.distills_logits() ? options_.logits_weight : 0, gammas,
                       std::nullopt};
  if (options_.blends() && scope_ == er::gamma_scope::token)
    losses.confidence_k = options_.confidence_k;
  const er::matrix_view<const float> inputs = model_.head_input();
  return losses(inputs, model_.head(*models.student, wanted_gradient()), stored_, labels_, tokens,
                {input_gradient_.data(), inputs.rows, inputs.cols}, workspace_);
}

/// The task's loss and that between predictions, whose weights are the head's own affair.
template <class Loss>
er::fused_result shard::head_losses(const models_in_use& models, const Loss& loss,
                                    const er::token_batch& tokens) {
  const er::fused_head<Loss> losses{
      .loss = loss,
      .task_weight = options_.distills() ? options_.task_weight : 1,
      .loss_weight = options_.distills_logits() ? options_.logits_weight : 0,
      .columns = logit_columns};
  const er::matrix_view<const float> inputs = model_.head_input();
  er::matrix_view<float> gradient{};
  if (gradients_) gradient = {input_gradient_.data(), inputs.rows, inputs.cols};
  const auto own = model_.head(*models.student, wanted_gradient());
  if (!options_.distills()) return losses(inputs, own, inputs, own, tokens, gradient, workspace_);
  return losses(inputs, own, teacher_->head_input(), teacher_->head(*models.teacher), tokens,
                gradient, workspace_);
}

/// The distance of a layer's hidden states: see features_by.
double shard::feature_loss(std::size_t layer, const er::token_batch& tokens) {
  const auto at = static_cast<std::size_t>(std::ranges::find(selected_, layer) - selected_.begin());
  const er::matrix_view<const float> target = hidden_states_[layer];
  const er::matrix_view<float> gradient{feature_gradients_[at].data(), target.rows, target.cols};
  hidden_gradients_[layer] = gradient;
  if (options_.feature_form == features_by::cosine)
    return er::hidden_cosine{}(model_.hidden(layer), target, tokens, gradient).value;
  double scale = 1;
  if (options_.feature_form == features_by::relative) {
    // Between tokens with a label is what is given, or padding.
    scale = 1 / std::max(mean_square(target, learned_), 1e-30);
  }
  er::token_batch scaled = tokens;
  scaled.upstream *= scale;
  return scale * er::hidden_mse{}(model_.hidden(layer), target, scaled, gradient).value;
}

void shard::measure(const models_in_use& models, double gamma, std::size_t samples,
                    bool gradients) {
  gradients_ = gradients;
  step_clock& time = model_.clock();
  time.enter(step_part::head);
  const auto shards = static_cast<double>(shards_);
  const er::token_batch tokens{.labels = labels_,
                               .sample_ends = sample_ends_,
                               .denominator = static_cast<double>(samples) / shards,
                               .upstream = 1.0 / shards};
  input_gradient_.setZero();
  if (gradients) std::ranges::fill(gradient_->values(), 0.0f);
  std::ranges::fill(hidden_gradients_, er::matrix_view<const float>{});
  er::objective<3> total{tokens};
  er::fused_result head;
  total.add("task", options_.distills() ? options_.task_weight : 1, [&](er::token_batch t) {
    t.upstream = tokens.upstream;
    const double constant = options_.logits_loss == "reverse"   ? 1
                            : options_.logits_loss == "forward" ? 0
                                                                : gamma;
    if (options_.stored_teacher) {
      head = stored_head_losses(models, constant, t);
    } else if (options_.measures_gamma() || !options_.distills() ||
               options_.logits_loss != "eakld") {
      head = head_losses(models, er::symmetric_kl{.gamma = static_cast<float>(constant)}, t);
    } else {
      head = head_losses(
          models, er::entropy_aware_kl{.confidence_k = options_.confidence_k, .scope = scope_}, t);
    }
    return head.task;
  });
  gamma_ = head.gamma;
  if (options_.distills_logits()) {
    total.add("logits", options_.logits_weight,
              [&](const er::token_batch&) { return head.distillation; });
  }
  time.enter(step_part::features);
  if (options_.distills() && options_.features) {
    hidden_states_.clear();
    for (std::size_t i = 0; i <= size_.layers; ++i) hidden_states_.push_back(teacher_->hidden(i));
    for (matrix& gradient : feature_gradients_) gradient.setZero();
    if (options_.feature_form != features_by::cosine) {
      const er::adaptive_layers select{.count = selected_.size()};
      select(std::span<const er::matrix_view<const float>>{hidden_states_}, scores_, selected_,
             learned_);
    }
    total.add_layers(
        "features", options_.feature_weight, selected_,
        [&](std::size_t layer, const er::token_batch& t) { return feature_loss(layer, t); });
  }
  parts_.assign(total.parts().begin(), total.parts().end());
  time.leave();
}

void shard::backward(const models_in_use& models, double gamma, std::size_t samples) {
  measure(models, gamma, samples, true);
  model_.backward(*models.student, {input_gradient_.data(), model_.tokens(), size_.hidden},
                  hidden_gradients_, *gradient_);
}

}  // namespace qad
