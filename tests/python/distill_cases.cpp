// SPDX-License-Identifier: Apache-2.0
// Computes the losses and selections that distill_conformance.py asks for: a JSON array of cases on
// standard input, an array of answers in the same order on standard output. Logits in parity mode.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <edgerazor/distill/attention_loss.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/layer_selection.hpp>
#include <edgerazor/distill/router_z.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace er = edgerazor;
using nlohmann::json;

namespace {

er::reduction reduction_of(const std::string& name) {
  if (name == "sum") return er::reduction::sum;
  if (name == "mean") return er::reduction::mean;
  if (name == "batch_mean") return er::reduction::batch_mean;
  if (name == "none") return er::reduction::none;
  throw std::invalid_argument("no reduction is called " + name);
}

er::kl_direction direction_of(const std::string& loss) {
  if (loss == "forward") return er::kl_direction::forward;
  if (loss == "reverse") return er::kl_direction::reverse;
  return er::kl_direction::entropy_aware;
}

/// "loss", "samples", "tokens" of each, "heads", "cols", "student", "teacher", "labels" or none,
/// "reduction", "upstream" of each token with reduction none.
json loss_answer(const json& c) {
  const std::string loss = c["loss"], how = c["reduction"];
  const std::size_t samples = c["samples"], tokens = c["tokens"], heads = c["heads"],
                    cols = c["cols"];
  const std::vector<float> student = c["student"], teacher = c["teacher"];
  const std::vector<std::int64_t> labels = c["labels"];
  const std::vector<float> upstream = c["upstream"];
  std::vector<float> values(samples * tokens), gradient(student.size());
  const er::token_batch batch{.labels = labels,
                              .sample_tokens = tokens,
                              .how = reduction_of(how),
                              .token_upstream = upstream,
                              .token_values = values};
  const std::size_t rows = samples * heads * tokens;
  const er::matrix_view<const float> s{student.data(), rows, cols}, t{teacher.data(), rows, cols};
  const er::matrix_view<float> g{gradient.data(), rows, cols};

  er::blended_result result;
  constexpr er::loss_mode parity = er::loss_mode::parity;
  if (c["kind"] == "attention") {
    const er::attention_kl attention{.direction = direction_of(loss),
                                     .mode = parity,
                                     .confidence_k = c["confidence_k"],
                                     .sum_heads = c["sum_heads"]};
    using view = er::head_view<const float>;
    result = attention(view{s, heads}, view{t, heads}, batch, er::head_view<float>{g, heads});
  } else if (c["kind"] == "router") {
    static_cast<er::loss_result&>(result) = er::router_z{}(s, g);
  } else if (c["kind"] == "hidden") {
    const er::hidden_mse mse{.sum_features = how == "sum" || how == "none"};
    static_cast<er::loss_result&>(result) = mse(s, t, batch, g);
  } else if (loss == "forward") {
    result = er::forward_kl{.temperature = c["temperature"], .mode = parity}(s, t, batch, g);
  } else if (loss == "reverse") {
    result = er::reverse_kl{.temperature = c["temperature"], .mode = parity}(s, t, batch, g);
  } else if (loss == "entropy") {
    const er::entropy_aware_kl aware{
        .temperature = c["temperature"], .mode = parity, .confidence_k = c["confidence_k"]};
    result = aware(s, t, batch, g);
  } else if (loss == "label") {
    result =
        er::confidence_aware_kl{.temperature = c["temperature"], .mode = parity}(s, t, batch, g);
  } else {
    throw std::invalid_argument("no loss is called " + loss);
  }
  return {
      {"value", result.value}, {"values", values}, {"gamma", result.gamma}, {"gradient", gradient}};
}

/// "metric", "top_k", "rows", "cols" and "hidden_states", the embedding first.
json adaptive_answer(const json& c) {
  const std::string metric = c["metric"];
  const std::vector<std::vector<float>> states = c["hidden_states"];
  std::vector<er::matrix_view<const float>> views;
  for (const std::vector<float>& state : states)
    views.emplace_back(state.data(), c["rows"], c["cols"]);
  const er::adaptive_layers select{.metric = metric == "l2" ? er::layer_metric::norm
                                             : metric == "variance"
                                                 ? er::layer_metric::variance
                                                 : er::layer_metric::cosine_similarity,
                                   .count = c["top_k"]};
  std::vector<double> scores(views.size());
  std::vector<std::size_t> indices(views.size());
  const auto selected =
      select(std::span<const er::matrix_view<const float>>{views}, scores, indices);
  return std::vector<std::size_t>(selected.begin(), selected.end());
}

/// "choices", numbers or words, among "layers".
json fixed_answer(const json& c) {
  std::vector<er::layer_choice> choices;
  for (const json& choice : c["choices"]) {
    if (choice.is_string()) {
      choices.emplace_back(std::string_view{choice.get_ref<const std::string&>()});
    } else {
      choices.emplace_back(choice.get<std::ptrdiff_t>());
    }
  }
  std::vector<std::size_t> indices(choices.size());
  (void)er::select_layers(choices, c["layers"], indices);
  return indices;
}

json answer(const json& c) {
  if (c["kind"] == "adaptive") return adaptive_answer(c);
  if (c["kind"] == "fixed") return fixed_answer(c);
  return loss_answer(c);
}

}  // namespace

int main() {
  try {
    json answers = json::array();
    for (const json& c : json::parse(std::cin)) answers.push_back(answer(c));
    std::cout << answers << '\n';
  } catch (const std::exception& error) {
    std::fprintf(stderr, "distill_cases: %s\n", error.what());
    return 1;
  }
}
