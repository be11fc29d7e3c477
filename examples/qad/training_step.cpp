// SPDX-License-Identifier: Apache-2.0
#include "training_step.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "adamw.hpp"
#include "layer_form.hpp"
#include "sums.hpp"
#include "support/threads.hpp"
#include <edgerazor/core/printable.hpp>
#include <edgerazor/distill/spsa.hpp>

namespace qad {

struct trainer::parts {
  parts(const shape& s, const training_options& o, const weight_pages<float>* teacher_weights,
        const weight_pages<float>* start)
      : options(o),
        length(window_of(s, o)),
        form(make_form(s, o)),
        master(form->extended(s)),
        teacher(teacher_weights) {
    if (o.how == method::rounding) throw std::invalid_argument("rounding trains nothing");
    require_shares(o);
    if (o.how == method::teacher) {
      master.initialise(o.seed);
    } else {
      if (teacher_weights == nullptr)
        throw std::invalid_argument("a student needs a teacher to start from");
      if (!(teacher_weights->shape() == s))
        throw std::invalid_argument("the student's shape differs from its teacher's");
      if (start != nullptr && !(start->shape() == s))
        throw std::invalid_argument("the student starts from weights of another shape");
      master = parameters(master.shape(), start != nullptr ? *start : *teacher_weights);
      form->start(master, *teacher_weights);
      if (!form->identity()) quantized.emplace(master.shape());
    }
    const auto known = {"eakld", "forward", "reverse", "none"};
    if (std::ranges::find(known, o.logits_loss) == known.end()) {
      throw std::invalid_argument("no logits loss is called " + er::quoted(o.logits_loss) +
                                  "; expected eakld, forward, reverse or none");
    }
    if (o.features && o.feature_layers == 0)
      throw std::invalid_argument("a feature loss over no layers");
    if (o.stored_teacher && (!o.distills() || o.features)) {
      throw std::invalid_argument(
          "a stored teacher says what qad takes of its predictions, and has no hidden states");
    }
    if (form->without_backward()) {
      moved.emplace(master.shape());
    } else {
      optimizer.emplace(master.shape(), o.moments);
    }
    const pass use = form->without_backward() ? pass::inference
                     : o.recompute            ? pass::recomputed
                                              : pass::training;
    for (std::size_t i = 0; i < o.own_shards(); ++i)
      pieces.push_back(std::make_unique<shard>(master.shape(), o, o.shards, use));
  }

  [[nodiscard]] const parameters& in_use() const noexcept {
    return quantized ? *quantized : master;
  }
  /// What a step runs with: `in_use` of its weights.
  [[nodiscard]] models_in_use models(const state_quantization& states) const noexcept {
    return {&in_use(), states, teacher};
  }
  /// What `from` becomes in a step, in `quantized`.
  void apply(const parameters& from, std::size_t step) {
    if (!quantized) return;
    share(step_part::weights, from.entries().size(),
          [&](std::size_t i) { form->apply(i, from, *quantized, step); });
  }
  [[nodiscard]] std::size_t last_step() const noexcept { return options.steps - 1; }

  /// Means over all shards of what their last passes noted.
  [[nodiscard]] std::vector<double> notes() const {
    std::vector<double> own;
    for (const auto& piece : pieces)
      own.insert(own.end(), piece->model().noted_of_inputs().begin(),
                 piece->model().noted_of_inputs().end());
    const std::size_t count = own.size() / pieces.size();
    const std::vector<double> all = of_all(own, count);
    std::vector<double> means(count);
    for (std::size_t i = 0; i < all.size(); ++i)
      means[i % count] += all[i] / static_cast<double>(options.shards);
    return means;
  }
  /// Weights along the random direction of a step, as far as the form moves them, `sign` times
  /// their perturbation.
  void perturb(float sign, parameters& out) const {
    for (std::size_t i = 0; i < amounts.size(); ++i) {
      const weight_entry& e = master.entries()[i];
      directions().perturb(master.values().subspan(e.offset, e.size()), steps_done, e.offset,
                           sign * amounts[i], out.values().subspan(e.offset, e.size()));
    }
  }
  void measure_slope(const models_in_use& models, std::size_t samples);
  [[nodiscard]] float slope_of(std::size_t i) const;
  [[nodiscard]] double squared_gradient(std::size_t i) const;
  void descend(std::size_t i, std::size_t step, double rate);
  [[nodiscard]] er::spsa directions() const noexcept { return {.seed = options.seed}; }
  /// The batch's objective, after its shards have measured it.
  [[nodiscard]] double loss() const {
    std::vector<double> own;
    for (const auto& piece : pieces) {
      own.push_back(0);
      for (const er::objective_part& part : piece->parts())
        own.back() += part.weight == 0 ? 0 : part.weight * part.value;
    }
    double sum = 0;
    for (const double one : of_all(own, 1)) sum += one;
    return sum / static_cast<double>(options.shards);
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

  /// What is known of every shard of the batch, `count` numbers each, in their order.
  std::vector<double> of_all(std::span<const double> own, std::size_t count) const {
    std::vector<double> all(options.shards * count);
    if (options.ranks == nullptr) {
      std::ranges::copy(own, all.begin());
    } else {
      options.ranks->gather(own, all);
    }
    return all;
  }
  /// Adds entry `e` of the shards [begin, end) up, in that of the first.
  void add_shards(const weight_entry& e, std::size_t begin, std::size_t end) {
    if (end - begin < 2) return;
    const std::size_t middle = (begin + end) / 2;
    add_shards(e, begin, middle);
    add_shards(e, middle, end);
    float* const total = pieces[begin]->gradient().values().data() + e.offset;
    const float* const other = pieces[middle]->gradient().values().data() + e.offset;
    for (std::size_t k = 0; k < e.size(); ++k) total[k] += other[k];
  }

  training_options options;
  std::size_t length;
  std::unique_ptr<const layer_form> form;
  parameters master;
  std::optional<adamw> optimizer;  ///< not of a form without a backward pass
  std::optional<parameters> quantized;
  // Of a form without a backward pass.
  std::optional<parameters> moved;
  std::vector<float> amounts;  ///< perturbations of this step, by entry
  float slope = 0;             ///< along its direction, in units of them
  double penalty = 0;          ///< of the form
  const weight_pages<float>* teacher;
  std::vector<std::unique_ptr<shard>> pieces;
  std::function<void(er::confidence_sums&)> merge_confidence;
  std::array<double, step_parts> shared_seconds{};  ///< of work that all threads share
  std::uint64_t steps_done = 0;
};

/// The slope along a random direction. All processes know all losses, and so have the same.
void trainer::parts::measure_slope(const models_in_use& models, std::size_t samples) {
  const std::size_t threads = options.threads;
  amounts.resize(master.entries().size());
  share(step_part::update, amounts.size(),
        [&](std::size_t i) { amounts[i] = form->perturbation(i, master); });
  double losses[2];
  for (const int side : {0, 1}) {
    perturb(side == 0 ? 1.0f : -1.0f, *moved);
    apply(*moved, steps_done);
    support::run_parts(pieces.size(), threads, [&](std::size_t i) {
      pieces[i]->forward(models);
      pieces[i]->measure(models, 0, samples);
    });
    losses[side] = loss();
  }
  // In units of the perturbations the direction is one of length 1 a weight.
  slope = static_cast<float>(er::spsa_slope(losses[0], losses[1], 1));
}

/// Of a form without a backward pass: the gradient of each weight of entry i is this times its
/// element of the direction, -1 or 1.
float trainer::parts::slope_of(std::size_t i) const {
  return amounts[i] == 0 ? 0.0f : slope / amounts[i];
}

double trainer::parts::squared_gradient(std::size_t i) const {
  const weight_entry& e = master.entries()[i];
  if (!form->without_backward())
    return squared_norm(std::as_const(pieces[0]->gradient()).values().subspan(e.offset, e.size()));
  const auto one = static_cast<double>(slope_of(i));
  return one * one * static_cast<double>(e.size());
}

/// w -= rate * perturbation^2 * gradient.
void trainer::parts::descend(std::size_t i, std::size_t step, double rate) {
  if (amounts[i] == 0) return;
  const auto amount = static_cast<double>(amounts[i]);
  const weight_entry& e = master.entries()[i];
  directions().descend(master.values().subspan(e.offset, e.size()), step, e.offset,
                       static_cast<float>(rate * amount * amount) * slope_of(i));
}

trainer::trainer(const shape& s, const training_options& options,
                 const weight_pages<float>* teacher, const weight_pages<float>* start)
    : parts_(std::make_unique<parts>(s, options, teacher, start)) {}
trainer::~trainer() = default;
trainer::trainer(trainer&&) noexcept = default;

void trainer::on_confidence(std::function<void(er::confidence_sums&)> merge) {
  parts_->merge_confidence = std::move(merge);
}

void trainer::compute_gradients(std::span<const std::int32_t> windows,
                                std::span<const std::int64_t> labels, const packing& packed) {
  parts& p = *parts_;
  const std::size_t shards = p.options.shards, sequences = p.options.sequences / shards,
                    share = sequences * (p.length + 1), tokens = sequences * p.length,
                    whole = shards * tokens, stored = p.options.stored_teacher ? whole : 0;
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
  const std::size_t own = p.pieces.size(),
                    first = p.options.ranks == nullptr ? 0 : p.options.ranks->rank() * own;
  for (std::size_t i = 0; i < own; ++i) {
    const std::size_t at = first + i;
    p.pieces[i]->read(windows.subspan(at * share, share),
                      labels.empty() ? labels : labels.subspan(at * tokens, tokens));
    p.pieces[i]->place(at * tokens, packed);
  }
  std::size_t samples = p.options.sequences;
  for (std::size_t t = 0; t < packed.positions.size(); ++t)
    samples += t % p.length != 0 && packed.positions[t] == 0 ? 1 : 0;
  const std::size_t threads = p.options.threads;
  if (const noted notes = p.form->first_notes(); p.steps_done == 0 && notes != noted::nothing) {
    p.apply(p.master, 0);
    const models_in_use models = p.models({.notes = notes});
    support::run_parts(own, threads, [&](std::size_t i) { p.pieces[i]->forward(models); });
    p.form->take_notes(p.master, notes, p.notes());
  }
  const models_in_use models = p.models(p.form->states(p.steps_done));
  if (p.form->without_backward()) return p.measure_slope(models, samples);
  p.apply(p.master, p.steps_done);
  support::run_parts(own, threads, [&](std::size_t i) { p.pieces[i]->forward(models); });
  double gamma = 0;
  if (p.options.measures_gamma()) {
    std::vector<double> known;
    for (const auto& piece : p.pieces) {
      known.push_back(piece->confidence().sum);
      known.push_back(static_cast<double>(piece->samples()));
    }
    er::confidence_sums all{.without = 1};
    const std::vector<double> everywhere = p.of_all(known, 2);
    for (std::size_t i = 0; i < everywhere.size(); i += 2)
      all.merge({everywhere[i], static_cast<std::size_t>(everywhere[i + 1]), all.without});
    if (p.merge_confidence) p.merge_confidence(all);
    gamma = all.gamma();
  }
  support::run_parts(own, threads,
                     [&](std::size_t i) { p.pieces[i]->backward(models, gamma, samples); });
}

std::span<float> trainer::reduce_gradients() {
  parts& p = *parts_;
  if (p.form->without_backward()) return {};
  parameters& sum = p.pieces[0]->gradient();
  p.share(step_part::update, sum.entries().size(),
          [&](std::size_t at) { p.add_shards(sum.entries()[at], 0, p.pieces.size()); });
  if (p.options.ranks != nullptr) p.options.ranks->add_up(sum.values());
  std::vector<double> penalties(sum.entries().size());
  p.share(step_part::update, penalties.size(), [&](std::size_t at) {
    penalties[at] = p.form->backward(at, p.master, sum, p.steps_done);
  });
  p.penalty = std::accumulate(penalties.begin(), penalties.end(), 0.0);
  return sum.values();
}

step_result trainer::update() {
  parts& p = *parts_;
  std::vector<double> squares(p.master.entries().size());
  p.share(step_part::update, squares.size(),
          [&](std::size_t at) { squares[at] = p.squared_gradient(at); });
  step_result result;
  result.loss = p.penalty;
  result.gradient_norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
  result.learning_rate = learning_rate(p.steps_done);
  result.parts = p.pieces[0]->parts();
  std::vector<double> found;
  for (const auto& piece : p.pieces) {
    for (const er::objective_part& part : piece->parts()) found.push_back(part.value);
    found.push_back(piece->gamma());
  }
  const std::size_t numbers = result.parts.size() + 1;
  const std::vector<double> everywhere = p.of_all(found, numbers);
  const auto mean = [&](std::size_t which) {
    double all = 0;
    for (std::size_t i = which; i < everywhere.size(); i += numbers) all += everywhere[i];
    return all / static_cast<double>(p.options.shards);
  };
  for (std::size_t i = 0; i < result.parts.size(); ++i) {
    result.parts[i].value = mean(i);
    result.loss += result.parts[i].weight * result.parts[i].value;
  }
  if (p.options.blends()) result.gamma = mean(result.parts.size());
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    throw std::invalid_argument("the training diverged: in step " + std::to_string(p.steps_done) +
                                " the loss or its gradient is not finite; a lower rate may help "
                                "(--resume-with-learning-rate)");
  }

  const double clip = std::min(1.0, p.options.clip / std::max(result.gradient_norm, 1e-30));
  const std::size_t step = p.steps_done++;
  p.share(step_part::update, squares.size(), [&](std::size_t i) {
    if (!p.form->trains(i, step)) return;
    if (!p.optimizer) return p.descend(i, step, result.learning_rate);
    p.optimizer->step(i, p.master, p.pieces[0]->gradient(), static_cast<float>(clip),
                      result.learning_rate, p.options.weight_decay, p.steps_done);
  });
  if (const noted notes = p.form->states(step).notes; notes != noted::nothing)
    p.form->take_notes(p.master, notes, p.notes());
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
    add(piece->model(), all.student);
    if (piece->teacher() != nullptr) add(*piece->teacher(), all.teacher);
  }
  for (std::size_t i = 0; i < step_parts; ++i) all.student[i] += parts_->shared_seconds[i];
  return all;
}

const parameters& trainer::master() const noexcept { return parts_->master; }

const parameters& trainer::weights_in_use() {
  parts_->apply(parts_->master, parts_->last_step());
  return parts_->in_use();
}

state_quantization trainer::states() const { return parts_->form->states(parts_->last_step()); }

double trainer::learning_rate(std::size_t step) const noexcept {
  const training_options& o = parts_->options;
  double highest = o.learning_rate;
  for (const rate_change& change : o.rate_changes) {
    if (change.from_step <= step) highest = change.learning_rate;
  }
  const double steps = static_cast<double>(o.steps), at = static_cast<double>(step);
  const double warmup = std::max(1.0, std::ceil(o.warmup_fraction * steps));
  if (at < warmup) return highest * (at + 1) / warmup;
  const double progress = std::min(1.0, (at - warmup) / std::max(1.0, steps - warmup));
  return highest * (0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

trainer::state trainer::checkpoint() noexcept {
  parts& p = *parts_;
  state result{p.master.values(), p.options.moments, {}, {}, p.steps_done};
  if (p.optimizer) {
    result.first_moments = p.optimizer->first_moments();
    result.second_moments = p.optimizer->second_moments();
  }
  return result;
}

std::size_t trainer::buffer_bytes() const noexcept {
  const parts& p = *parts_;
  const std::size_t numbers = p.master.values().size();
  std::size_t buffers = 1;
  for (const auto* const one : {&p.quantized, &p.moved}) buffers += *one ? 1 : 0;
  for (const auto& piece : p.pieces) buffers += piece->has_gradient() ? 1 : 0;
  return numbers *
         (buffers * sizeof(float) + (p.optimizer ? 2 * form_of(p.options.moments).bytes : 0));
}

void trainer::restore(std::uint64_t steps_done) { parts_->steps_done = steps_done; }

std::uint64_t trainer::steps_done() const noexcept { return parts_->steps_done; }

}  // namespace qad
