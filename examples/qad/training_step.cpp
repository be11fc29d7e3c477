// SPDX-License-Identifier: Apache-2.0
#include "training_step.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <utility>

#include "adamw.hpp"
#include "support/threads.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/layer_selection.hpp>

namespace qad {

namespace {

/// Values of the losses of one shard, before their weights.
struct loss_values {
  double task = 0, logits = 0, features = 0;
};

}  // namespace

/// A part of every batch, with the memory that its passes take.
struct shard {
  shard(const shape& s, const training_options& options)
      : model(s, options.sequences / trainer::shards, s.context),
        gradient(s),
        ids(model.tokens()),
        labels(model.tokens()),
        logits_gradient(room(s.vocabulary)) {
    if (options.how != method::qad) return;
    teacher.emplace(s, options.sequences / trainer::shards, s.context, pass::inference);
    statistics.resize(model.tokens());
    if (!options.features) return;
    hidden_gradients.resize(s.layers + 1);
    selected.resize(std::min(options.feature_layers, s.layers));
    scores.resize(s.layers + 1);
    for (std::size_t i = 0; i < selected.size(); ++i) feature_gradients.push_back(room(s.hidden));
  }

  [[nodiscard]] matrix room(std::size_t cols) const {
    return matrix(static_cast<Eigen::Index>(model.tokens()), static_cast<Eigen::Index>(cols));
  }

  [[nodiscard]] er::matrix_view<float> gradient_view() noexcept {
    return {logits_gradient.data(), model.tokens(),
            static_cast<std::size_t>(logits_gradient.cols())};
  }

  decoder model;
  std::optional<decoder> teacher;
  parameters gradient;
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> labels;
  matrix logits_gradient;
  std::vector<er::logit_statistics> statistics;
  std::vector<er::matrix_view<const float>> hidden_states,
      hidden_gradients;                   ///< the teacher's; the loss's
  std::vector<matrix> feature_gradients;  ///< of the selected layers
  std::vector<std::size_t> selected;
  std::vector<double> scores;
  loss_values values;
};

struct trainer::parts {
  parts(const shape& s, const training_options& o, const parameters* teacher_weights)
      : size(s),
        options(o),
        master(s),
        optimizer(s),
        quantizer(s, o.how == method::teacher ? "none" : o.recipe) {
    if (o.how == method::rounding) throw std::invalid_argument("rounding trains nothing");
    if (o.sequences == 0 || o.sequences % shards != 0) {
      throw std::invalid_argument("a batch of " + std::to_string(o.sequences) +
                                  " sequences, expected a multiple of " + std::to_string(shards));
    }
    if (o.how == method::teacher) {
      master.initialise(o.seed);
    } else {
      if (teacher_weights == nullptr)
        throw std::invalid_argument("a student needs a teacher to start from");
      if (!(teacher_weights->shape() == s))
        throw std::invalid_argument("the student's shape differs from its teacher's");
      master = *teacher_weights;
      quantized.emplace(s);
    }
    if (o.how == method::qad) teacher = *teacher_weights;
    const auto known = {"eakld", "forward", "reverse", "none"};
    if (std::ranges::find(known, o.logits_loss) == known.end()) {
      throw std::invalid_argument("no logits loss is called " + er::quoted(o.logits_loss) +
                                  "; expected eakld, forward, reverse or none");
    }
    if (o.features && o.feature_layers == 0)
      throw std::invalid_argument("a feature loss over no layers");
    for (std::size_t i = 0; i < shards; ++i) pieces.push_back(std::make_unique<shard>(s, o));
  }

  [[nodiscard]] const parameters& in_use() const noexcept {
    return quantized ? *quantized : master;
  }

  void run(shard& piece, std::span<const std::int32_t> windows);
  void add_feature_loss(shard& piece, double upstream);

  shape size;
  training_options options;
  parameters master;
  adamw optimizer;
  weight_quantizer quantizer;
  std::optional<parameters> quantized, teacher;
  std::vector<std::unique_ptr<shard>> pieces;
  std::uint64_t steps_done = 0;
};

/// Forward and backward pass of a shard's windows.
void trainer::parts::run(shard& piece, std::span<const std::int32_t> windows) {
  const std::size_t length = size.context;
  for (std::size_t t = 0; t < piece.ids.size(); ++t) {
    const std::size_t at = t / length * (length + 1) + t % length;
    piece.ids[t] = windows[at];
    piece.labels[t] = windows[at + 1];
    if (windows[at + 1] < 0 || static_cast<std::size_t>(windows[at + 1]) >= size.vocabulary) {
      throw std::invalid_argument("token " + std::to_string(windows[at + 1]) +
                                  " is outside of the vocabulary");
    }
  }
  const double share = 1.0 / static_cast<double>(shards);
  const bool distills = options.how == method::qad;
  piece.model.forward(in_use(), piece.ids, quantizer.states());
  const er::matrix_view<const float> logits = piece.model.logits();
  er::token_batch tokens{.labels = piece.labels, .sample_tokens = length};
  tokens.upstream = share * (distills ? options.task_weight : 1);
  piece.values.task = er::cross_entropy{}(logits, tokens, piece.gradient_view()).value;
  if (distills) {
    piece.teacher->forward(*teacher, piece.ids);
    const er::matrix_view<const float> target = piece.teacher->logits();
    tokens.upstream = share * options.logits_weight;
    tokens.accumulate = true;
    if (options.logits_loss == "eakld") {
      const er::entropy_aware_kl loss{.confidence_k = options.confidence_k};
      piece.values.logits =
          loss(logits, target, tokens, piece.gradient_view(), {.workspace = piece.statistics})
              .value;
    } else if (options.logits_loss == "forward") {
      piece.values.logits = er::forward_kl{}(logits, target, tokens, piece.gradient_view()).value;
    } else if (options.logits_loss == "reverse") {
      piece.values.logits = er::reverse_kl{}(logits, target, tokens, piece.gradient_view()).value;
    }
  }
  if (distills && options.features) add_feature_loss(piece, share * options.feature_weight);
  std::ranges::fill(piece.gradient.values(), 0.0f);
  piece.model.backward(in_use(), piece.gradient_view(), piece.hidden_gradients, piece.gradient);
}

/// The mean over the selected layers of the mean squared error of their hidden states.
void trainer::parts::add_feature_loss(shard& piece, double upstream) {
  piece.hidden_states.clear();
  for (std::size_t i = 0; i <= size.layers; ++i)
    piece.hidden_states.push_back(piece.teacher->hidden(i));
  std::ranges::fill(piece.hidden_gradients, er::matrix_view<const float>{});
  const er::adaptive_layers select{.count = piece.selected.size()};
  const double each = 1.0 / static_cast<double>(piece.selected.size());
  piece.values.features = 0;
  std::size_t next = 0;
  for (const std::size_t layer :
       select(std::span<const er::matrix_view<const float>>{piece.hidden_states}, piece.scores,
              piece.selected)) {
    const er::matrix_view<float> gradient{piece.feature_gradients[next++].data(),
                                          piece.model.tokens(), size.hidden};
    const er::token_batch tokens{.sample_tokens = size.context, .upstream = upstream * each};
    piece.values.features += each * er::hidden_mse{}(piece.model.hidden(layer),
                                                     piece.hidden_states[layer], tokens, gradient)
                                        .value;
    piece.hidden_gradients[layer] = gradient;
  }
}

trainer::trainer(const shape& s, const training_options& options, const parameters* teacher)
    : parts_(std::make_unique<parts>(s, options, teacher)) {}
trainer::~trainer() = default;
trainer::trainer(trainer&&) noexcept = default;

step_result trainer::step(std::span<const std::int32_t> windows) {
  parts& p = *parts_;
  const std::size_t share = p.options.sequences / shards * (p.size.context + 1);
  if (windows.size() != shards * share) {
    throw std::invalid_argument("a step of " + std::to_string(windows.size()) +
                                " tokens, expected " + std::to_string(shards * share));
  }
  static_cast<void>(weights_in_use());
  const auto run = [&](std::size_t i) { p.run(*p.pieces[i], windows.subspan(i * share, share)); };
  support::run_parts(shards, p.options.threads, run);

  using array = Eigen::Map<Eigen::ArrayXf>;
  parameters& sum = p.pieces[0]->gradient;
  double squares = 0;
  for (const weight_entry& e : sum.entries()) {
    const auto size = static_cast<Eigen::Index>(e.size());
    array total(sum.values().data() + e.offset, size);
    for (std::size_t i = 1; i < shards; ++i)
      total += array(p.pieces[i]->gradient.values().data() + e.offset, size);
    squares += static_cast<double>(total.square().sum());
  }

  step_result result;
  result.gradient_norm = std::sqrt(squares);
  result.learning_rate = learning_rate(p.steps_done);
  const auto mean = [&](double loss_values::* value) {
    double all = 0;
    for (const auto& piece : p.pieces) all += piece->values.*value;
    return all / static_cast<double>(shards);
  };
  const auto add = [&](std::string_view name, double weight, double value) {
    result.parts.push_back({name, value});
    result.loss += weight * value;
  };
  const bool distills = p.options.how == method::qad;
  add("task", distills ? p.options.task_weight : 1, mean(&loss_values::task));
  if (distills && p.options.logits_loss != "none")
    add("logits", p.options.logits_weight, mean(&loss_values::logits));
  if (distills && p.options.features)
    add("features", p.options.feature_weight, mean(&loss_values::features));
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    throw std::invalid_argument(
        "the training diverged: in step " + std::to_string(p.steps_done) +
        " the loss or its gradient is not finite; a lower learning rate may help");
  }

  const double clip = std::min(1.0, p.options.clip / std::max(result.gradient_norm, 1e-30));
  ++p.steps_done;
  p.optimizer.step(p.master, sum, static_cast<float>(clip), result.learning_rate,
                   p.options.weight_decay, p.steps_done);
  return result;
}

const parameters& trainer::master() const noexcept { return parts_->master; }

const parameters& trainer::weights_in_use() {
  if (parts_->quantized) parts_->quantizer.apply(parts_->master, *parts_->quantized);
  return parts_->in_use();
}

const state_quantization& trainer::states() const noexcept { return parts_->quantizer.states(); }

double trainer::learning_rate(std::size_t step) const noexcept {
  const training_options& o = parts_->options;
  const double steps = static_cast<double>(o.steps), at = static_cast<double>(step);
  const double warmup = std::max(1.0, std::ceil(o.warmup_fraction * steps));
  if (at < warmup) return o.learning_rate * (at + 1) / warmup;
  const double progress = std::min(1.0, (at - warmup) / std::max(1.0, steps - warmup));
  return o.learning_rate * (0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

trainer::state trainer::checkpoint() noexcept {
  return {parts_->master.values(), parts_->optimizer.first_moments().values(),
          parts_->optimizer.second_moments().values(), parts_->steps_done};
}

void trainer::restore(std::uint64_t steps_done) { parts_->steps_done = steps_done; }

std::uint64_t trainer::steps_done() const noexcept { return parts_->steps_done; }

}  // namespace qad
