// SPDX-License-Identifier: Apache-2.0
#include "package_config.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "support/number.hpp"
#include <edgerazor/io/hf_names.hpp>
#include <edgerazor/io/name_pattern.hpp>

namespace qad {

namespace er = edgerazor;
using er::detail::io::name_pattern;

namespace {

[[noreturn]] void refuse(const std::string& sentence) { throw std::invalid_argument(sentence); }

bool is_match(const std::string& pattern, std::string_view name) {
  return name_pattern::compile(pattern).value().matches(name);  // it was compiled when it was read
}

}  // namespace

std::string package_quantization::format_of(std::string_view module, bool is_embedding) const {
  const auto any = [module](const std::vector<std::string>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [module](const std::string& one) { return is_match(one, module); });
  };
  if (any(excluded)) return {};
  if (!(is_embedding ? embedding : linear) && !any(targets)) return {};
  package_function f = function;
  for (const exception& one : overrides) {
    if (one.name && !is_match(*one.name, module)) continue;
    if (one.embedding && *one.embedding != is_embedding) continue;
    merge(f, one.function, one.keys);
  }
  return format_of_function(f);
}

er::recipe package_quantization::recipe(std::size_t layers) const {
  constexpr std::array<er::hf_role, 7> roles{
      er::hf_role::query, er::hf_role::key, er::hf_role::value, er::hf_role::attention_output,
      er::hf_role::gate,  er::hf_role::up,  er::hf_role::down};
  constexpr er::hf_architecture family = er::hf_architecture::qwen3;
  const std::size_t ending = std::string_view{".weight"}.size();
  er::recipe result;
  const auto add = [&](const er::hf_tensor_name& tensor) {
    const std::string name = er::hf_name(family, tensor);
    const std::string format = format_of(std::string_view{name}.substr(0, name.size() - ending),
                                         tensor.role == er::hf_role::embedding);
    if (format.empty()) return;
    result.set(name, format).set(er::gguf_name(tensor), format);
  };
  add({.role = er::hf_role::embedding});
  add({.role = er::hf_role::head});
  for (std::size_t i = 0; i < layers; ++i) {
    for (const er::hf_role role : roles) add({.role = role, .layer = i});
  }
  if (!function.activations.empty()) {
    result.activation_bits = 8;
    result.activation_group = static_cast<std::size_t>(function.activation_group);
  }
  if (!function.cache.empty() && attention) {
    result.kv_bits = 8;
    result.kv_group = static_cast<std::size_t>(function.cache_group);
  }
  if (function.group < 1 || result.kv_group == 0) return result;
  const er::recipe_options options{.group = static_cast<std::size_t>(function.group),
                                   .kv_group = result.kv_group};
  for (const std::string_view name : er::recipe_names) {
    const er::recipe named = *er::find_recipe(name, options);
    const auto same = [&](const er::recipe::rule& rule) {
      return named.weight_format(rule.pattern) == rule.format;
    };
    // A weight that is not quantized has no rule here, and one in every recipe but "none".
    if (result.rules.size() == 2 * (2 + layers * roles.size()) &&
        std::all_of(result.rules.begin(), result.rules.end(), same) &&
        named.activation_bits == result.activation_bits &&
        named.activation_group == result.activation_group && named.kv_bits == result.kv_bits)
      return named;
  }
  return result;
}

er::distillation_recipe package_objective::published_form() const {
  er::distillation_recipe result{.task = task, .logits = 0, .features = 0};
  const auto other = [](const std::string& what) {
    refuse(what + ", and the paper's objective has another; see published_objectives.hpp");
  };
  if (logits) {
    if (logits->what != package_logits::divergence::by_entropy) {
      other("loss_function is no compute_kld_confidence with use_entropy");
    }
    if (logits->temperature != 1)
      other("temperature is " + support::number_text(logits->temperature));
    if (logits->how != er::reduction::batch_mean) other("reduction of logits is no batch_mean");
    result.logits = logits->weight;
    result.confidence_k = logits->confidence_k;
  }
  if (features) {
    const auto* const adaptive = std::get_if<er::adaptive_layers>(&features->layers);
    if (adaptive == nullptr) {
      other("layer_index is not adaptive");
    } else {
      result.metric = adaptive->metric;
      result.layers = adaptive->count;
    }
    if (features->normalize) other("normalize is true");
    if (features->how != er::reduction::batch_mean) other("reduction of features is no batch_mean");
    result.features = features->weight;
  }
  return result;
}

configured_training training_of(const package_config& config, std::size_t layers) {
  configured_training result;
  const auto cannot = [](const std::string& what) {
    refuse("the configuration has " + what + ", which this trainer has not");
  };
  if (config.quantization) {
    const er::recipe recipe = config.quantization->recipe(layers);
    if (recipe.name.empty())
      cannot(
          "formats of weights and states (weight_function, target_types, overrides) that are "
          "no named recipe's");
    result.recipe = recipe.name;
    result.group = recipe.activation_group;
    result.kv_group = recipe.kv_group;
  }
  if (!config.objective) return result;
  const package_objective& objective = *config.objective;
  result.distils = true;
  result.task_weight = objective.task;
  if (objective.logits) {
    using enum package_logits::divergence;
    const package_logits& loss = *objective.logits;
    if (loss.what == by_confidence) cannot("use_entropy: false");
    if (loss.temperature != 1) cannot("temperature " + support::number_text(loss.temperature));
    if (loss.how != er::reduction::batch_mean) cannot("another reduction than batch_mean");
    result.logits_loss = loss.what == forward   ? "forward"
                         : loss.what == reverse ? "reverse"
                                                : "eakld";
    result.logits_weight = loss.weight;
    result.confidence_k = loss.confidence_k;
  }
  if (objective.features) {
    const package_features& loss = *objective.features;
    const auto* const adaptive = std::get_if<er::adaptive_layers>(&loss.layers);
    if (adaptive == nullptr || adaptive->metric != er::layer_metric::cosine_similarity)
      cannot("another layer_index than adaptive by cosine_similarity");
    if (loss.normalize) cannot("normalize: true");
    if (loss.how != er::reduction::batch_mean) cannot("another reduction than batch_mean");
    result.features = true;
    result.feature_weight = loss.weight;
    result.feature_layers = adaptive == nullptr ? 0 : adaptive->count;
  }
  return result;
}

}  // namespace qad
