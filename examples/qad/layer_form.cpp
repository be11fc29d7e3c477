// SPDX-License-Identifier: Apache-2.0
#include "layer_form.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "calibrated_grid.hpp"
#include "export.hpp"
#include "quantization.hpp"

namespace qad {

namespace {

void copy_entry(const weight_entry& e, const parameters& master, parameters& out) {
  const auto kept = master.values().subspan(e.offset, e.size());
  std::ranges::copy(kept, out.values().subspan(e.offset, e.size()).begin());
}

/// Levels and scales of a recipe, at every step.
class recipe_form final : public layer_form {
 public:
  recipe_form(const shape& s, std::string_view recipe, std::size_t group)
      : rule_(s, recipe, group), group_(group) {}

  bool identity() const override { return rule_.recipe() == "none"; }
  void apply(std::size_t i, const parameters& master, parameters& out, std::size_t) const override {
    rule_.apply(i, master, out);
  }
  state_quantization states(std::size_t) const override { return rule_.states(); }
  er::any_matrix packed(std::size_t i, const parameters& master) const override {
    const weight_entry& e = master.entries()[i];
    return er::any_matrix::pack(storage_format(master.shape(), rule_.recipe(), e.name, group_),
                                master.view(e));
  }

 private:
  weight_quantizer rule_;
  std::size_t group_;
};

/// A method with a form of its own, and the objective of its paper.
struct own_form {
  method how;
  std::unique_ptr<const layer_form> (*make)(const shape&, const training_options&);
  void (*objective)(training_options&, const shape&);
};

void onebit_objective(training_options& o, const shape& s) {
  // 0.01 KL(teacher || student), added over a sample's tokens, and for each layer the squared
  // distance of hidden states of length 1, 2 - 2 cos; all but the last layer's.
  o.task_weight = 0;
  o.logits_loss = "forward";
  o.logits_weight = 0.01 * static_cast<double>(window_of(s, o));
  o.feature_form = features_by::cosine;
  o.feature_weight = 2 * static_cast<double>(s.layers);
}

/// Predictions and the hidden states of all layers.
void teachers_objective(training_options& o, const shape& s) {
  o.task_weight = 0;
  o.logits_loss = "forward";
  o.logits_weight = 1;
  o.feature_layers = s.layers;
}

/// The task alone.
void task_objective(training_options& o, const shape&) {
  o.task_weight = 1;
  o.logits_loss = "none";
  o.features = false;
}

constexpr std::array<own_form, 4> own_forms{{{method::onebit, make_onebit_form, onebit_objective},
                                             {method::bwta, make_bwta_form, teachers_objective},
                                             {method::lbllm, make_lbllm_form, teachers_objective},
                                             {method::zeroqat, make_zeroqat_form, task_objective}}};

const own_form* find_form(method how) noexcept {
  const auto found =
      std::ranges::find_if(own_forms, [&](const own_form& one) { return one.how == how; });
  return found == own_forms.end() ? nullptr : &*found;
}

}  // namespace

bool has_own_form(method how) noexcept { return find_form(how) != nullptr; }

std::unique_ptr<const layer_form> make_form(const shape& teacher, const training_options& options) {
  if (const own_form* const own = find_form(options.how)) return own->make(teacher, options);
  if (options.how != method::teacher && options.recipe == calibrated_recipe)
    return make_calibrated_form(teacher, options);
  return std::make_unique<recipe_form>(
      teacher, options.how == method::teacher ? "none" : options.recipe, options.group);
}

shape student_shape(const shape& teacher, const training_options& options) {
  return has_own_form(options.how) ? make_form(teacher, options)->extended(teacher) : teacher;
}

void take_objective(training_options& options, const shape& teacher) {
  if (const own_form* const own = find_form(options.how)) own->objective(options, teacher);
}

block_form::block_form(shape student, const std::vector<beside_rule>& rules)
    : student_(std::move(student)) {
  constexpr std::string_view block = "blk.0.", suffix = "weight";
  const auto stem = [&](const weight_entry& e) {
    return e.name.substr(0, e.name.size() - suffix.size());
  };
  const auto is_matrix = [](const weight_entry& e) {
    return e.name.starts_with("blk.") && !e.is_vector();
  };
  for (const weight_entry& e : weight_layout(student_)) {
    if (!is_matrix(e) || !e.name.starts_with(block)) continue;
    for (const beside_rule& rule : rules)
      student_.beside.push_back(
          {stem(e).substr(block.size()) + rule.name, rule.size(e.rows, e.cols)});
  }
  entries_ = weight_layout(student_);
  layers_.resize(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!is_matrix(entries_[i])) continue;
    layers_[i].matrix = &entries_[i];
    for (const beside_rule& rule : rules)
      layers_[i].beside.push_back(&find_weight(entries_, stem(entries_[i]) + rule.name));
  }
}

void block_form::apply(std::size_t i, const parameters& master, parameters& out,
                       std::size_t) const {
  if (const layer* const found = layer_of(i)) {
    quantize(*found, master, out);
  } else {
    copy_entry(entries_[i], master, out);
  }
}

}  // namespace qad
