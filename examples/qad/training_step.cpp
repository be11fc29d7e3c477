// SPDX-License-Identifier: Apache-2.0
#include "training_step.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "adamw.hpp"
#include "head_confidence.hpp"
#include "stored_losses.hpp"
#include "sums.hpp"
#include "support/threads.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/distill/fused_head.hpp>
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

/// A part of every batch, with the memory that its passes take.
struct shard {
  shard(const shape& s, const training_options& options)
      : model(s, options.sequences / trainer::shards, window_of(s, options),
              options.recompute ? pass::recomputed : pass::training),
        gradient(s),
        ids(model.tokens()),
        labels(model.tokens()),
        learned(model.tokens()),
        positions(model.tokens()),
        input_gradient(room(s.hidden)) {
    workspace.resize(
        er::fused_head<er::symmetric_kl>{.columns = logit_columns}.workspace_size(model.tokens()));
    if (options.how != method::qad || options.stored_teacher) return;
    teacher.emplace(s, options.sequences / trainer::shards, window_of(s, options), pass::inference);
    if (!options.features) return;
    hidden_gradients.resize(s.layers + 1);
    selected.resize(std::min(options.feature_layers, s.layers));
    scores.resize(s.layers + 1);
    for (std::size_t i = 0; i < selected.size(); ++i) feature_gradients.push_back(room(s.hidden));
  }

  [[nodiscard]] matrix room(std::size_t cols) const {
    return matrix(static_cast<Eigen::Index>(model.tokens()), static_cast<Eigen::Index>(cols));
  }

  decoder model;
  std::optional<decoder> teacher;
  parameters gradient;
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> labels;
  std::vector<std::uint8_t> learned;  ///< whether a token has a label
  std::vector<std::uint32_t> positions;
  std::vector<std::size_t> sample_ends;
  std::vector<double> sample_confidence;  ///< eakld, where it is measured
  er::top_k_teacher stored;
  matrix input_gradient;  ///< of the head's input
  std::vector<float> workspace;
  std::vector<er::matrix_view<const float>> hidden_states,
      hidden_gradients;                   ///< the teacher's; the loss's
  std::vector<matrix> feature_gradients;  ///< of the selected layers
  std::vector<std::size_t> selected;
  std::vector<double> scores;
  er::confidence_sums confidence;
  std::vector<er::objective_part> parts;
  double gamma = 0;
};

struct trainer::parts {
  parts(const shape& s, const training_options& o, const weight_pages<float>* teacher_weights)
      : size(s),
        options(o),
        length(window_of(s, o)),
        master(teacher_weights == nullptr || o.how == method::teacher
                   ? parameters(s)
                   : parameters(*teacher_weights)),
        optimizer(s),
        quantizer(s, o.how == method::teacher ? "none" : o.recipe, o.group),
        teacher(teacher_weights),
        scope(scope_named(o.gamma_scope)) {
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
      if (o.recipe != "none") quantized.emplace(s);
    }
    const auto known = {"eakld", "forward", "reverse", "none"};
    if (std::ranges::find(known, o.logits_loss) == known.end()) {
      throw std::invalid_argument("no logits loss is called " + er::quoted(o.logits_loss) +
                                  "; expected eakld, forward, reverse or none");
    }
    if (o.features && o.feature_layers == 0)
      throw std::invalid_argument("a feature loss over no layers");
    if (o.stored_teacher && (o.how != method::qad || o.features)) {
      throw std::invalid_argument(
          "a stored teacher says what qad takes of its predictions, and has no hidden states");
    }
    for (std::size_t i = 0; i < shards; ++i) pieces.push_back(std::make_unique<shard>(s, o));
  }

  [[nodiscard]] const parameters& in_use() const noexcept {
    return quantized ? *quantized : master;
  }
  [[nodiscard]] bool distills() const noexcept { return options.how == method::qad; }
  [[nodiscard]] bool distills_logits() const noexcept {
    return distills() && options.logits_loss != "none";
  }
  [[nodiscard]] bool blends() const noexcept {
    return distills() && options.logits_loss == "eakld";
  }
  /// One gamma for the batch has to be known before the losses.
  [[nodiscard]] bool measures_gamma() const noexcept {
    return blends() && scope == er::gamma_scope::batch;
  }

  /// work(i) for i below `count`, by all threads, its time noted.
  template <class Work>
  void share(step_part part, std::size_t count, const Work& work) {
    std::vector<double> used(count);
    support::run_parts(count, options.threads, [&](std::size_t i) {
      const double start = thread_seconds();
      work(i);
      used[i] = thread_seconds() - start;
    });
    shared_seconds[static_cast<std::size_t>(part)] +=
        std::accumulate(used.begin(), used.end(), 0.0);
  }
  void read(shard& piece, std::span<const std::int32_t> windows,
            std::span<const std::int64_t> labels) const;
  void place(shard& piece, std::size_t begin, const packing& packed) const;
  void forward(shard& piece) const;
  void measure_confidence(shard& piece) const;
  er::fused_result stored_head_losses(shard& piece, double gamma,
                                      const er::token_batch& tokens) const;
  void backward(shard& piece, double gamma) const;
  template <class Loss>
  er::fused_result head_losses(shard& piece, const Loss& loss, const er::token_batch& tokens) const;
  double feature_loss(shard& piece, std::size_t layer, const er::token_batch& tokens) const;

  shape size;
  training_options options;
  std::size_t length;
  parameters master;
  adamw optimizer;
  weight_quantizer quantizer;
  std::optional<parameters> quantized;
  const weight_pages<float>* teacher;
  er::gamma_scope scope;
  std::vector<std::unique_ptr<shard>> pieces;
  std::function<void(er::confidence_sums&)> merge_confidence;
  double samples = 0;                               ///< of the batch, divided by the shards
  std::array<double, step_parts> shared_seconds{};  ///< of work that all threads share
  std::uint64_t steps_done = 0;
};

/// Tokens and labels of a shard's windows.
void trainer::parts::read(shard& piece, std::span<const std::int32_t> windows,
                          std::span<const std::int64_t> labels) const {
  for (std::size_t t = 0; t < piece.ids.size(); ++t) {
    const std::size_t at = t / length * (length + 1) + t % length;
    piece.ids[t] = windows[at];
    piece.labels[t] = labels.empty() ? windows[at + 1] : labels[t];
    piece.learned[t] = labels.empty() || labels[t] >= 0 ? 1 : 0;
    if (piece.learned[t] == 0) {
      piece.labels[t] = -100;
    } else if (piece.labels[t] < 0 ||
               static_cast<std::size_t>(piece.labels[t]) >= size.vocabulary) {
      throw std::invalid_argument("token " + std::to_string(piece.labels[t]) +
                                  " is outside of the vocabulary");
    }
  }
}

/// Positions, samples and stored teacher of a shard, which begins with the batch's token `begin`.
void trainer::parts::place(shard& piece, std::size_t begin, const packing& packed) const {
  const std::size_t tokens = piece.ids.size();
  piece.sample_ends.clear();
  for (std::size_t t = 0; t < tokens; ++t) {
    piece.positions[t] = packed.positions.empty() ? static_cast<std::uint32_t>(t % length)
                                                  : packed.positions[begin + t];
    if (t != 0 && piece.positions[t] == 0) piece.sample_ends.push_back(t);
  }
  piece.sample_ends.push_back(tokens);
  if (!options.stored_teacher) return;
  piece.stored = stored_rows(packed.ids.rows_between(begin, begin + tokens),
                             packed.log_probabilities.rows_between(begin, begin + tokens));
}

void trainer::parts::forward(shard& piece) const {
  piece.model.forward(in_use(), piece.ids, quantizer.states(), piece.positions);
  if (piece.teacher) piece.teacher->forward(*teacher, piece.ids, {}, piece.positions);
  if (measures_gamma() || (options.stored_teacher && blends())) measure_confidence(piece);
}

/// 1 - H(p) / ln k of the teacher's predictions: each sample's mean, and their sum.
void trainer::parts::measure_confidence(shard& piece) const {
  std::vector<double> known(piece.ids.size());
  if (options.stored_teacher) {
    for (std::size_t t = 0; t < known.size(); ++t)
      known[t] = stored_confidence(piece.stored, t, size.vocabulary, options.confidence_k);
  } else {
    head_confidence(*piece.teacher, *teacher, options.confidence_k, logit_columns, piece.workspace,
                    known);
  }
  piece.confidence = {.samples = piece.sample_ends.size(), .without = 1};
  piece.sample_confidence.clear();
  std::size_t t = 0;
  for (const std::size_t end : piece.sample_ends) {
    double sum = 0;
    std::size_t counted = 0;
    for (; t < end; ++t) {
      if (piece.learned[t] == 0) continue;
      sum += known[t];
      ++counted;
    }
    piece.sample_confidence.push_back(counted == 0 ? 1 : sum / static_cast<double>(counted));
    piece.confidence.sum += piece.sample_confidence.back();
  }
}

/// The same losses as head_losses, of what a file says of the teacher.
er::fused_result trainer::parts::stored_head_losses(shard& piece, double gamma,
                                                    const er::token_batch& tokens) const {
  std::vector<double> gammas(piece.sample_ends.size(), gamma);
  if (blends() && scope == er::gamma_scope::sample) {
    for (std::size_t i = 0; i < gammas.size(); ++i)
      gammas[i] = er::confidence_sums{piece.sample_confidence[i], 1, 1}.gamma();
  }
  stored_losses losses{options.task_weight, distills_logits() ? options.logits_weight : 0, gammas,
                       std::nullopt};
  if (blends() && scope == er::gamma_scope::token) losses.confidence_k = options.confidence_k;
  const er::matrix_view<const float> inputs = piece.model.head_input();
  return losses(inputs, piece.model.head(in_use(), &piece.gradient), piece.stored, piece.labels,
                tokens, {piece.input_gradient.data(), inputs.rows, inputs.cols}, piece.workspace);
}

/// The task's loss and that between predictions, whose weights are the head's own affair.
template <class Loss>
er::fused_result trainer::parts::head_losses(shard& piece, const Loss& loss,
                                             const er::token_batch& tokens) const {
  const er::fused_head<Loss> losses{.loss = loss,
                                    .task_weight = distills() ? options.task_weight : 1,
                                    .loss_weight = distills_logits() ? options.logits_weight : 0,
                                    .columns = logit_columns};
  const er::matrix_view<const float> inputs = piece.model.head_input();
  const er::matrix_view<float> gradient{piece.input_gradient.data(), inputs.rows, inputs.cols};
  const auto own = piece.model.head(in_use(), &piece.gradient);
  if (!distills()) return losses(inputs, own, inputs, own, tokens, gradient, piece.workspace);
  return losses(inputs, own, piece.teacher->head_input(), piece.teacher->head(*teacher), tokens,
                gradient, piece.workspace);
}

/// The mean squared error of a layer's hidden states; relative: divided by the teacher's mean
/// square.
double trainer::parts::feature_loss(shard& piece, std::size_t layer,
                                    const er::token_batch& tokens) const {
  const auto at =
      static_cast<std::size_t>(std::ranges::find(piece.selected, layer) - piece.selected.begin());
  const er::matrix_view<const float> target = piece.hidden_states[layer];
  const er::matrix_view<float> gradient{piece.feature_gradients[at].data(), target.rows,
                                        target.cols};
  double scale = 1;
  if (!options.features_absolute) {
    // Between tokens with a label is what is given, or padding.
    scale = 1 / std::max(mean_square(target, piece.learned), 1e-30);
  }
  er::token_batch scaled = tokens;
  scaled.upstream *= scale;
  piece.hidden_gradients[layer] = gradient;
  return scale * er::hidden_mse{}(piece.model.hidden(layer), target, scaled, gradient).value;
}

/// Losses of a shard and their gradients.
void trainer::parts::backward(shard& piece, double gamma) const {
  step_clock& time = piece.model.clock();
  time.enter(step_part::head);
  const er::token_batch tokens{.labels = piece.labels,
                               .sample_ends = piece.sample_ends,
                               .denominator = samples,
                               .upstream = 1.0 / static_cast<double>(shards)};
  piece.input_gradient.setZero();
  std::ranges::fill(piece.gradient.values(), 0.0f);
  std::ranges::fill(piece.hidden_gradients, er::matrix_view<const float>{});
  er::objective<3> total{tokens};
  er::fused_result head;
  total.add("task", distills() ? options.task_weight : 1, [&](er::token_batch t) {
    t.upstream = tokens.upstream;
    const double constant = options.logits_loss == "reverse"   ? 1
                            : options.logits_loss == "forward" ? 0
                                                               : gamma;
    if (options.stored_teacher) {
      head = stored_head_losses(piece, constant, t);
    } else if (measures_gamma() || !distills() || options.logits_loss != "eakld") {
      head = head_losses(piece, er::symmetric_kl{.gamma = static_cast<float>(constant)}, t);
    } else {
      head = head_losses(
          piece, er::entropy_aware_kl{.confidence_k = options.confidence_k, .scope = scope}, t);
    }
    return head.task;
  });
  piece.gamma = head.gamma;
  if (distills_logits()) {
    total.add("logits", options.logits_weight,
              [&](const er::token_batch&) { return head.distillation; });
  }
  time.enter(step_part::features);
  if (distills() && options.features) {
    piece.hidden_states.clear();
    for (std::size_t i = 0; i <= size.layers; ++i)
      piece.hidden_states.push_back(piece.teacher->hidden(i));
    for (matrix& gradient : piece.feature_gradients) gradient.setZero();
    const er::adaptive_layers select{.count = piece.selected.size()};
    total.add_layers(
        "features", options.feature_weight,
        select(std::span<const er::matrix_view<const float>>{piece.hidden_states}, piece.scores,
               piece.selected, piece.learned),
        [&](std::size_t layer, const er::token_batch& t) { return feature_loss(piece, layer, t); });
  }
  piece.parts.assign(total.parts().begin(), total.parts().end());
  time.leave();
  piece.model.backward(in_use(), {piece.input_gradient.data(), piece.model.tokens(), size.hidden},
                       piece.hidden_gradients, piece.gradient);
}

trainer::trainer(const shape& s, const training_options& options,
                 const weight_pages<float>* teacher)
    : parts_(std::make_unique<parts>(s, options, teacher)) {}
trainer::~trainer() = default;
trainer::trainer(trainer&&) noexcept = default;

void trainer::on_confidence(std::function<void(er::confidence_sums&)> merge) {
  parts_->merge_confidence = std::move(merge);
}

void trainer::compute_gradients(std::span<const std::int32_t> windows,
                                std::span<const std::int64_t> labels, const packing& packed) {
  parts& p = *parts_;
  const std::size_t sequences = p.options.sequences / shards, share = sequences * (p.length + 1),
                    tokens = sequences * p.length, whole = shards * tokens,
                    stored = p.options.stored_teacher ? whole : 0;
  if (windows.size() != shards * share || (!labels.empty() && labels.size() != whole)) {
    throw std::invalid_argument("a step of " + std::to_string(windows.size()) + " tokens and " +
                                std::to_string(labels.size()) + " labels, expected " +
                                std::to_string(shards * share) + " and none or " +
                                std::to_string(whole));
  }
  if ((!packed.positions.empty() && packed.positions.size() != whole) ||
      packed.ids.rows != stored || packed.log_probabilities.rows != stored) {
    throw std::invalid_argument("a step of " + std::to_string(packed.positions.size()) +
                                " positions and a teacher of " + std::to_string(packed.ids.rows) +
                                " rows, expected none or " + std::to_string(whole) + " and " +
                                std::to_string(stored));
  }
  p.samples = 0;
  for (std::size_t i = 0; i < shards; ++i) {
    p.read(*p.pieces[i], windows.subspan(i * share, share),
           labels.empty() ? labels : labels.subspan(i * tokens, tokens));
    p.place(*p.pieces[i], i * tokens, packed);
    p.samples += static_cast<double>(p.pieces[i]->sample_ends.size()) / shards;
  }
  static_cast<void>(weights_in_use());
  const std::size_t threads = p.options.threads;
  support::run_parts(shards, threads, [&](std::size_t i) { p.forward(*p.pieces[i]); });
  double gamma = 0;
  if (p.measures_gamma()) {
    er::confidence_sums all;
    for (const auto& piece : p.pieces) all.merge(piece->confidence);
    if (p.merge_confidence) p.merge_confidence(all);
    gamma = all.gamma();
  }
  support::run_parts(shards, threads, [&](std::size_t i) { p.backward(*p.pieces[i], gamma); });
}

std::span<float> trainer::reduce_gradients() {
  parts& p = *parts_;
  parameters& sum = p.pieces[0]->gradient;
  p.share(step_part::update, sum.entries().size(), [&](std::size_t at) {
    const weight_entry& e = sum.entries()[at];
    float* const total = sum.values().data() + e.offset;
    for (std::size_t i = 1; i < shards; ++i) {
      const float* const other = p.pieces[i]->gradient.values().data() + e.offset;
      for (std::size_t k = 0; k < e.size(); ++k) total[k] += other[k];
    }
  });
  return sum.values();
}

step_result trainer::update() {
  parts& p = *parts_;
  const parameters& sum = p.pieces[0]->gradient;
  std::vector<double> squares(sum.entries().size());
  p.share(step_part::update, squares.size(), [&](std::size_t at) {
    const weight_entry& e = sum.entries()[at];
    squares[at] = squared_norm(sum.values().subspan(e.offset, e.size()));
  });
  step_result result;
  result.gradient_norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
  result.learning_rate = learning_rate(p.steps_done);
  result.parts = p.pieces[0]->parts;
  for (std::size_t i = 0; i < result.parts.size(); ++i) {
    double all = 0;
    for (const auto& piece : p.pieces) all += piece->parts[i].value;
    result.parts[i].value = all / static_cast<double>(shards);
    result.loss += result.parts[i].weight * result.parts[i].value;
  }
  for (const auto& piece : p.pieces) result.gamma += piece->gamma / static_cast<double>(shards);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    throw std::invalid_argument(
        "the training diverged: in step " + std::to_string(p.steps_done) +
        " the loss or its gradient is not finite; a lower learning rate may help");
  }

  const double clip = std::min(1.0, p.options.clip / std::max(result.gradient_norm, 1e-30));
  ++p.steps_done;
  p.share(step_part::update, sum.entries().size(), [&](std::size_t i) {
    p.optimizer.step(i, p.master, sum, static_cast<float>(clip), result.learning_rate,
                     p.options.weight_decay, p.steps_done);
  });
  return result;
}

step_result trainer::step(std::span<const std::int32_t> windows,
                          std::span<const std::int64_t> labels, const packing& packed) {
  compute_gradients(windows, labels, packed);
  reduce_gradients();
  return update();
}

trainer::time_spent trainer::times() const {
  time_spent all;
  const auto add = [&](const decoder& model, std::array<double, step_parts>& seconds) {
    for (std::size_t i = 0; i < step_parts; ++i) seconds[i] += model.clock().seconds(i);
    all.product_seconds += model.products().seconds();
    all.product_operations += model.products().operations();
  };
  for (const auto& piece : parts_->pieces) {
    add(piece->model, all.student);
    if (piece->teacher) add(*piece->teacher, all.teacher);
  }
  for (std::size_t i = 0; i < step_parts; ++i) all.student[i] += parts_->shared_seconds[i];
  return all;
}

const parameters& trainer::master() const noexcept { return parts_->master; }

const parameters& trainer::weights_in_use() {
  parts& p = *parts_;
  if (p.quantized) {
    p.share(step_part::weights, p.master.entries().size(),
            [&](std::size_t i) { p.quantizer.apply(i, p.master, *p.quantized); });
  }
  return p.in_use();
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
