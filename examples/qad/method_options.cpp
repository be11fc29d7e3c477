// SPDX-License-Identifier: Apache-2.0
#include "method_options.hpp"

#include <stdexcept>

#include "export.hpp"
#include "layer_form.hpp"

namespace qad {

void method_options::add_to(CLI::App& command) {
  command
      .add_option("--method", how,
                  "qad: under the teacher; qat: from the text alone; rounding: the teacher's "
                  "weights as they are; onebit, bwta, lbllm, zeroqat: by those systems' own forms "
                  "of weights and objectives, without a recipe")
      ->check(CLI::IsMember({"qad", "qat", "rounding", "onebit", "bwta", "lbllm", "zeroqat"}))
      ->capture_default_str();
  command.add_flag("--no-output-norms", no_output_norms,
                   "onebit: without a layer norm behind each matrix, so that llm can run it");
  command.add_flag("--no-features", no_features, "qad: without the loss between hidden states");
  command
      .add_option("--feature-form", feature_form,
                  "qad: errors of hidden states relative to the teacher's mean square, so that a "
                  "weight means the same on every model [relative]; absolute, as published; or by "
                  "cosine, of all layers' inputs")
      ->check(CLI::IsMember({"relative", "absolute", "cosine"}));
}

void method_options::take(run_options& o, const std::string& asked_recipe, bool stored_teacher,
                          const CLI::App& command) const {
  training_options& t = o.training;
  t.how = method_named(how);
  const bool own = has_own_form(t.how);
  if (own && command.count("--recipe") != 0) {
    throw std::invalid_argument("--recipe: the method " + how +
                                " has a form of its own, and no recipe");
  }
  t.recipe = own                                 ? "none"
             : asked_recipe == calibrated_recipe ? asked_recipe
                                                 : recipe_name(asked_recipe);
  t.output_norms = !no_output_norms;
  const training_options said = t;
  take_objective(t, o.model);
  const auto keep = [&](const char* option, auto training_options::* field) {
    if (command.count(option) != 0) t.*field = said.*field;
  };
  keep("--task-weight", &training_options::task_weight);
  keep("--logits-loss", &training_options::logits_loss);
  keep("--logits-weight", &training_options::logits_weight);
  keep("--feature-weight", &training_options::feature_weight);
  keep("--feature-layers", &training_options::feature_layers);
  t.stored_teacher = stored_teacher;
  t.features = t.features && !no_features && !t.stored_teacher;
  if (!feature_form.empty()) {
    t.feature_form = feature_form == "absolute" ? features_by::absolute
                     : feature_form == "cosine" ? features_by::cosine
                                                : features_by::relative;
  }
}

}  // namespace qad
