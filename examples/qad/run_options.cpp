// SPDX-License-Identifier: Apache-2.0
#include "run_options.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdio>
#include <limits>
#include <stdexcept>

#include "layer_form.hpp"
#include "llm/utf8.hpp"
#include "support/number.hpp"
#include "support/system.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

namespace {

using json = nlohmann::ordered_json;

constexpr std::array<std::pair<method, const char*>, 8> methods{{{method::teacher, "teacher"},
                                                                 {method::rounding, "rounding"},
                                                                 {method::qat, "qat"},
                                                                 {method::qad, "qad"},
                                                                 {method::onebit, "onebit"},
                                                                 {method::bwta, "bwta"},
                                                                 {method::lbllm, "lbllm"},
                                                                 {method::zeroqat, "zeroqat"}}};

llm::architecture architecture_from_json(const std::string& name) {
  if (const auto arch = llm::find_architecture(name)) return *arch;
  throw er::io_error("no architecture is called " + er::quoted(name));
}

moment_type moments_from_json(const std::string& name) {
  if (const auto type = find_moment_type(name)) return *type;
  throw er::io_error("no optimizer's state is kept as " + er::quoted(name));
}

/// 64-bit integers pass JSON readers as text only.
std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::uint64_t from_hex(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 16); }

}  // namespace

const char* name_of(method how) {
  return std::find_if(methods.begin(), methods.end(), [&](const auto& m) { return m.first == how; })
      ->second;
}

method method_named(const std::string& name) {
  for (const auto& [how, known] : methods) {
    if (name == known) return how;
  }
  throw er::io_error("no method is called " + er::quoted(name));
}

json to_json(const run_options& o) {
  const shape& m = o.model;
  const training_options& t = o.training;
  json run;
  run["method"] = name_of(t.how);
  run["recipe"] = t.recipe;
  run["logits_loss"] = t.logits_loss;
  run["gamma_scope"] = t.gamma_scope;
  run["features"] = t.features;
  run["features_absolute"] = t.feature_form == features_by::absolute;
  if (t.feature_form == features_by::cosine) run["features_cosine"] = true;
  if (!t.output_norms) run["output_norms"] = false;
  run["task_weight"] = t.task_weight;
  run["logits_weight"] = t.logits_weight;
  run["feature_weight"] = t.feature_weight;
  run["confidence_k"] = t.confidence_k;
  run["feature_layers"] = t.feature_layers;
  run["learning_rate"] = t.learning_rate;
  run["warmup_fraction"] = t.warmup_fraction;
  run["weight_decay"] = t.weight_decay;
  run["clip"] = t.clip;
  run["steps"] = t.steps;
  run["seed"] = t.seed;
  run["sequences"] = t.sequences;
  run["window"] = t.window;
  run["group"] = t.group;
  run["vocabulary"] = m.vocabulary;
  run["hidden"] = m.hidden;
  run["layers"] = m.layers;
  run["heads"] = m.heads;
  run["kv_heads"] = m.kv_heads;
  run["head_size"] = m.head_size;
  run["feed_forward"] = m.feed_forward;
  run["context"] = m.context;
  run["rope_base"] = m.rope_base;
  run["norm_epsilon"] = m.norm_epsilon;
  run["architecture"] = llm::name_of(m.arch);
  run["rope_size"] = m.rope_size;
  run["rope_factor"] = m.rope_factor;
  run["tied_head"] = m.tied_head;
  run["biases"] = m.biases;
  run["rope_divisors"] = m.rope_divisors;
  run["split_block"] = o.split.block;
  run["split_every"] = o.split.every;
  run["text"] = hex(o.text);
  run["teacher"] = hex(o.teacher);
  if (o.start != 0) run["start"] = hex(o.start);  // like data, where there is one
  run["validation_tokens"] = o.validation_tokens;
  run["evaluate_every"] = o.evaluate_every;
  // Most runs have none of these, as ever.
  if (t.shards != default_shards) run["shards"] = t.shards;
  if (t.moments != moment_type::float32) run["optimizer_state"] = form_of(t.moments).name;
  if (!t.rate_changes.empty()) {
    for (const rate_change& one : t.rate_changes) {
      run["rate_changes"].push_back(
          {{"from_step", one.from_step}, {"learning_rate", one.learning_rate}});
    }
  }
  if (!o.data.empty()) {
    run["data"] = o.data;
    run["stored_teacher"] = t.stored_teacher;
  }
  json result;
  result["run"] = run;
  result["text_files"] = o.text_files;
  if (!o.data.empty()) result["data_files"] = o.data_files;
  result["teacher_folder"] = o.teacher_folder;
  if (o.start != 0) result["start_folder"] = o.start_folder;
  result["checkpoint_every"] = o.checkpoint_every;
  result["recompute"] = o.training.recompute;
  return result;
}

namespace {

/// The member `key` of an object of options.json as a T: of its type, and where it is a number, one
/// that T holds. Throws edgerazor::io_error naming key and value.
template <class T>
T member(const json& object, const char* key) {
  const auto found = object.find(key);
  const bool there = found != object.end();
  bool fits = there;
  if constexpr (std::same_as<T, bool>) {
    fits = there && found->is_boolean();
  } else if constexpr (std::integral<T>) {
    fits = there && found->is_number_unsigned() &&
           found->template get<std::uint64_t>() <= std::numeric_limits<T>::max();
  } else if constexpr (std::floating_point<T>) {
    fits = there && found->is_number();
  } else if constexpr (std::same_as<T, std::string>) {
    fits = there && found->is_string();
  } else if constexpr (std::same_as<T, json::array_t>) {
    fits = there && found->is_array();
  } else {
    fits = there && found->is_array() &&
           std::all_of(found->begin(), found->end(), [](const json& e) { return e.is_string(); });
  }
  if (fits) return found->template get<T>();
  throw er::io_error(
      std::string{"options.json: '"} + key + "' is " +
      (there ? er::printable(found->dump(-1, ' ', false, json::error_handler_t::replace))
             : std::string{"missing"}) +
      ", expected " +
      (std::same_as<T, bool>            ? "true or false"
       : std::integral<T>               ? "a whole number"
       : std::floating_point<T>         ? "a number"
       : std::same_as<T, std::string>   ? "text"
       : std::same_as<T, json::array_t> ? "a list"
                                        : "a list of texts"));
}

template <class T>
void take(const json& object, const char* key, T& value) {
  value = member<T>(object, key);
}

template <class T>
void require(const char* name, T value, const support::number_range<T>& range) {
  if (range.contains(value)) return;  // which a NaN is not
  throw std::invalid_argument(std::string{name} + " is " + support::number_text(value) +
                              ", expected " + support::range_text(range));
}

/// JSON holds UTF-8 alone.
void require_utf8(const std::string& path) {
  for (std::size_t at = 0, size = 0; at < path.size(); at += size) {
    size = llm::first_character(std::string_view{path}.substr(at)).size;
    if (llm::first_character(std::string_view{path}.substr(at)).code ==
            llm::replacement_character &&
        size == 1) {
      throw std::invalid_argument("the path " + er::quoted(path, er::longest_path) +
                                  " is not UTF-8, as options.json has to be");
    }
  }
}

}  // namespace

void require_valid(const run_options& o) {
  const training_options& t = o.training;
  using support::not_negative_real, support::positive_real;
  require("learning_rate", t.learning_rate, positive_real<double>);
  for (const rate_change& one : t.rate_changes)
    require("learning_rate", one.learning_rate, positive_real<double>);
  require("resume_learning_rate", o.resume_learning_rate, not_negative_real<double>);
  require("warmup_fraction", t.warmup_fraction, support::fraction);
  require("weight_decay", t.weight_decay, not_negative_real<double>);
  require("clip", t.clip, positive_real<double>);
  require("task_weight", t.task_weight, not_negative_real<double>);
  require("logits_weight", t.logits_weight, not_negative_real<double>);
  require("feature_weight", t.feature_weight, not_negative_real<double>);
  require("steps", t.steps, support::positive);
  require("sequences", t.sequences, support::positive);
  require("checkpoint_every", o.checkpoint_every, support::positive);
  require("split_block", o.split.block, support::positive);
  require("split_every", o.split.every, {2, 0xffffffffu});
  require("rope_base", o.model.rope_base, positive_real<double>);
  require("rope_factor", o.model.rope_factor, positive_real<double>);
  require("group", t.group, support::packed_group);
  if (t.window != 0) require("window", t.window, {1, o.model.context});
  if (std::string_view scope = t.gamma_scope;
      scope != "batch" && scope != "sample" && scope != "token") {
    throw std::invalid_argument("gamma_scope is " + er::quoted(scope) +
                                ", expected batch, sample or token");
  }
  require("norm_epsilon", o.model.norm_epsilon, {1e-30f, 1.0f});
  require_valid(o.model);
  require_shares(t);
  if (has_own_form(t.how)) {
    if (t.recipe != "none") {
      throw std::invalid_argument(std::string{"the method "} + name_of(t.how) +
                                  " has a form of its own, and no recipe");
    }
    if (const auto form = make_form(o.model, t); t.measures_gamma() && form->without_backward()) {
      throw std::invalid_argument(std::string{"the method "} + name_of(t.how) +
                                  " has no backward pass, and no gamma of a batch");
    }
  }
  if (t.recipe == calibrated_recipe && o.start == 0) {
    throw std::invalid_argument(
        "the recipe calibrated is for a student that starts from a calibrated model: --start");
  }
  if (!t.output_norms && t.how != method::onebit)
    throw std::invalid_argument("layer norms behind matrices are the method onebit's alone");
  if (t.distills()) {
    const bool logits = t.logits_loss != "none" && t.logits_weight > 0;
    if (t.logits_loss == "eakld") require("confidence_k", t.confidence_k, {2, o.model.vocabulary});
    if (t.features) require("feature_layers", t.feature_layers, support::positive);
    if (!logits && !(t.features && t.feature_weight > 0) && t.task_weight == 0)
      throw std::invalid_argument("every loss has the weight 0: there is nothing to learn");
    if (t.stored_teacher && (!logits || t.features)) {
      throw std::invalid_argument(
          "a file of a teacher's top k says what it predicts, for a loss between predictions of "
          "some weight, and no hidden states");
    }
  }
  if (t.stored_teacher && (!t.distills() || o.data.size() > 1)) {
    throw std::invalid_argument(
        "a file of a teacher's top k is for a method that distills, as its only data");
  }
  if (!o.data.empty() && (t.how == method::rounding || t.how == method::teacher)) {
    throw std::invalid_argument(std::string{"the method "} + name_of(t.how) +
                                " learns from no data but the text");
  }
  if (!o.data.empty()) require("window", window_of(o.model, t), {2, o.model.context});
  // At least: weights, as they are and rounded, gradients of the shards and moments (or weights
  // that are moved), and what the passes keep of a process's part of a batch.
  const auto size = [](std::size_t n) { return static_cast<double>(n); };
  const shape& m = o.model;
  const double block =
      size(m.hidden) * (2 * size(m.heads) * size(m.head_size) +
                        2 * size(m.kv_heads) * size(m.head_size) + 3 * size(m.feed_forward));
  const double weights =
      (m.tied_head ? 1 : 2) * size(m.vocabulary) * size(m.hidden) + size(m.layers) * block;
  const double states =
      4 * size(m.hidden) + 3 * size(m.feed_forward) + size(m.heads) * size(window_of(m, t));
  const double kept =
      size(t.sequences / t.processes()) * size(window_of(m, t)) *
      (size(m.layers) * size(m.hidden) + (t.recompute ? 1 : size(m.layers)) * states);
  const double to_move = has_own_form(t.how) && make_form(m, t)->without_backward()
                             ? 4
                             : 4 * size(t.own_shards()) + 2 * size(form_of(t.moments).bytes);
  support::require_memory((4 * 2 + to_move) * weights + 4 * kept,
                          "training a model and batches of this size", "");
  for (const std::string& path : o.text_files) require_utf8(path);
  for (const std::string& path : o.data_files) require_utf8(path);
  require_utf8(o.teacher_folder);
  require_utf8(o.start_folder);
}

run_options run_options_from_json(const json& data) {
  try {
    run_options o;
    shape& m = o.model;
    training_options& t = o.training;
    const json run = data.value("run", json::object());
    t.how = method_named(member<std::string>(run, "method"));
    take(run, "recipe", t.recipe);
    take(run, "logits_loss", t.logits_loss);
    take(run, "gamma_scope", t.gamma_scope);
    take(run, "features", t.features);
    const bool cosine = run.contains("features_cosine") && member<bool>(run, "features_cosine");
    t.feature_form = member<bool>(run, "features_absolute") ? features_by::absolute
                     : cosine                               ? features_by::cosine
                                                            : features_by::relative;
    if (run.contains("output_norms")) take(run, "output_norms", t.output_norms);
    take(run, "task_weight", t.task_weight);
    take(run, "logits_weight", t.logits_weight);
    take(run, "feature_weight", t.feature_weight);
    take(run, "confidence_k", t.confidence_k);
    take(run, "feature_layers", t.feature_layers);
    take(run, "learning_rate", t.learning_rate);
    take(run, "warmup_fraction", t.warmup_fraction);
    take(run, "weight_decay", t.weight_decay);
    take(run, "clip", t.clip);
    take(run, "steps", t.steps);
    take(run, "seed", t.seed);
    take(run, "sequences", t.sequences);
    take(run, "window", t.window);
    take(run, "group", t.group);
    take(run, "vocabulary", m.vocabulary);
    take(run, "hidden", m.hidden);
    take(run, "layers", m.layers);
    take(run, "heads", m.heads);
    take(run, "kv_heads", m.kv_heads);
    take(run, "head_size", m.head_size);
    take(run, "feed_forward", m.feed_forward);
    take(run, "context", m.context);
    take(run, "rope_base", m.rope_base);
    take(run, "norm_epsilon", m.norm_epsilon);
    m.arch = architecture_from_json(member<std::string>(run, "architecture"));
    take(run, "rope_size", m.rope_size);
    take(run, "rope_factor", m.rope_factor);
    take(run, "tied_head", m.tied_head);
    take(run, "biases", m.biases);
    take(run, "rope_divisors", m.rope_divisors);
    take(run, "split_block", o.split.block);
    take(run, "split_every", o.split.every);
    o.text = from_hex(member<std::string>(run, "text"));
    o.teacher = from_hex(member<std::string>(run, "teacher"));
    if (run.contains("start")) {
      o.start = from_hex(member<std::string>(run, "start"));
      take(data, "start_folder", o.start_folder);
    }
    take(run, "validation_tokens", o.validation_tokens);
    take(run, "evaluate_every", o.evaluate_every);
    if (run.contains("shards")) take(run, "shards", t.shards);
    if (run.contains("optimizer_state"))
      t.moments = moments_from_json(member<std::string>(run, "optimizer_state"));
    if (run.contains("rate_changes")) {
      for (const json& one : member<json::array_t>(run, "rate_changes")) {
        rate_change& change = t.rate_changes.emplace_back();
        take(one, "from_step", change.from_step);
        take(one, "learning_rate", change.learning_rate);
      }
    }
    if (run.contains("data") || run.contains("stored_teacher")) {
      take(run, "data", o.data);
      take(run, "stored_teacher", t.stored_teacher);
      take(data, "data_files", o.data_files);
    }
    take(data, "text_files", o.text_files);
    take(data, "teacher_folder", o.teacher_folder);
    take(data, "checkpoint_every", o.checkpoint_every);
    take(data, "recompute", t.recompute);
    require_valid(o);
    return o;
  } catch (const std::invalid_argument& error) {
    throw er::io_error(std::string{"options.json: "} + error.what());
  } catch (const json::exception& error) {
    throw er::io_error(std::string{"options.json: "} + error.what());
  }
}
}  // namespace qad
