// SPDX-License-Identifier: Apache-2.0
#include "config_json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <string_view>

#include <nlohmann/json.hpp>

#include <edgerazor/core/contract.hpp>

namespace llm {

namespace {

/// The double whose shortest text is the float's: 1e-5 and not 9.999999747378752e-06.
double shortest(float value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text - 1, value).ptr;
  *end = '\0';
  return std::strtod(text, nullptr);
}

std::vector<float> read_vector(const checkpoint& file, const stored_tensor& tensor) {
  std::vector<float> values(tensor.cols);
  file.read_rows(tensor, {0, 1}, {values.data(), 1, values.size()});
  return values;
}

/// Whether all layers have a bias of each of these, or none has. Throws where it is neither.
bool has_biases(const checkpoint& file, const geometry& shape,
                std::initializer_list<std::string_view> stems) {
  std::size_t found = 0, looked = 0;
  std::string missing;
  for (std::size_t i = 0; i < shape.layers; ++i) {
    for (const std::string_view stem : stems) {
      const std::string name = "blk." + std::to_string(i) + "." + std::string{stem} + ".bias";
      ++looked;
      if (file.find(name) != nullptr) {
        ++found;
      } else if (missing.empty()) {
        missing = name;
      }
    }
  }
  if (found != 0 && found != looked) {
    throw er::io_error("the model has biases but no " + er::quoted(missing) +
                       ", which config.json can't say of a " + std::string{name_of(shape.arch)});
  }
  return found != 0;
}

void add_biases(nlohmann::ordered_json& config, const checkpoint& file, const geometry& shape) {
  if (shape.arch == architecture::qwen2) {
    if (has_biases(file, shape, {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}))
      throw er::io_error("the model has biases that config.json can't say of a qwen2");
    return;
  }
  config["attention_bias"] = has_biases(file, shape, {"attn_q", "attn_k", "attn_v", "attn_output"});
  const bool mlp = has_biases(file, shape, {"ffn_gate", "ffn_up", "ffn_down"});
  if (shape.arch == architecture::llama) {
    config["mlp_bias"] = mlp;
  } else if (mlp) {
    throw er::io_error("the model has biases that config.json can't say of a qwen3");
  }
}

nlohmann::ordered_json rope_scaling(const checkpoint& file, const geometry& shape) {
  const stored_tensor* const divisors = file.find("rope_freqs.weight");
  if (divisors != nullptr) {
    const auto found = find_llama3_scaling(read_vector(file, *divisors), shape.rope_base);
    if (!found || shape.rope_factor != 1) {
      throw er::io_error(
          "tensor 'rope_freqs.weight' has divisors that are none of Llama 3.1's, which config.json "
          "can't say");
    }
    return {{"rope_type", "llama3"},
            {"factor", found->factor},
            {"low_freq_factor", found->low},
            {"high_freq_factor", found->high},
            {"original_max_position_embeddings", static_cast<std::size_t>(found->old_context)}};
  }
  if (shape.rope_factor == 1) return nullptr;
  return {{"rope_type", "linear"}, {"factor", shape.rope_factor}};
}

}  // namespace

std::vector<float> divisors_of(const llama3_scaling& scaling, std::size_t rope_size, double base) {
  std::vector<float> divisors;
  for (std::size_t i = 0; i < rope_size / 2; ++i) {
    const double frequency =
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(rope_size));
    const double length = 2 * std::numbers::pi / frequency;
    double divisor = 1;
    if (length > scaling.old_context / scaling.low) {
      divisor = scaling.factor;
    } else if (length >= scaling.old_context / scaling.high) {
      const double s = (scaling.old_context / length - scaling.low) / (scaling.high - scaling.low);
      divisor = 1 / ((1 - s) / scaling.factor + s);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

std::optional<llama3_scaling> find_llama3_scaling(std::span<const float> divisors, double base) {
  if (divisors.empty()) return std::nullopt;
  llama3_scaling scaling;
  scaling.factor = static_cast<double>(*std::ranges::max_element(divisors));
  const std::vector<float> expected = divisors_of(scaling, 2 * divisors.size(), base);
  // Another program's float arithmetic may round some differently.
  for (std::size_t i = 0; i < divisors.size(); ++i) {
    if (!(std::fabs(divisors[i] - expected[i]) <= 1e-5f * expected[i])) return std::nullopt;
  }
  return scaling;
}

nlohmann::ordered_json config_json(const checkpoint& file, const geometry& shape,
                                   const vocabulary& words, const std::string& torch_dtype) {
  if (shape.rope_size != shape.head_size) {
    throw er::io_error("of each head of " + std::to_string(shape.head_size) + " elements " +
                       std::to_string(shape.rope_size) + " turn, which config.json can't say");
  }
  const std::string name{name_of(shape.arch)};
  const std::string_view class_name = shape.arch == architecture::llama   ? "LlamaForCausalLM"
                                      : shape.arch == architecture::qwen2 ? "Qwen2ForCausalLM"
                                                                          : "Qwen3ForCausalLM";
  nlohmann::ordered_json config{{"architectures", {class_name}},
                                {"model_type", name},
                                {"vocab_size", shape.vocabulary},
                                {"hidden_size", shape.hidden},
                                {"intermediate_size", shape.feed_forward},
                                {"num_hidden_layers", shape.layers},
                                {"num_attention_heads", shape.heads},
                                {"num_key_value_heads", shape.kv_heads},
                                {"head_dim", shape.head_size},
                                {"hidden_act", "silu"},
                                {"max_position_embeddings", shape.context},
                                {"rms_norm_eps", shortest(shape.epsilon)},
                                {"rope_theta", shape.rope_base},
                                {"rope_scaling", rope_scaling(file, shape)},
                                {"tie_word_embeddings", shape.tied_head},
                                {"use_cache", true},
                                {"torch_dtype", torch_dtype}};
  add_biases(config, file, shape);
  if (shape.arch != architecture::llama) config["use_sliding_window"] = false;
  if (words.bos) config["bos_token_id"] = *words.bos;
  if (words.eos) config["eos_token_id"] = *words.eos;
  return config;
}

}  // namespace llm
