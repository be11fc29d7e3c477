// SPDX-License-Identifier: Apache-2.0
/// config.json and generation_config.json of a Hugging Face folder to be written: in the older form
/// (`rope_theta`, `torch_dtype`), which every release reads; and what it says of layers in the
/// layouts of safetensors_export.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/io/atomic_file.hpp>
#include <edgerazor/io/hf_config.hpp>
#include <edgerazor/io/hf_generation.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io {

/// One id as a number, several as a list, none as null.
[[nodiscard]] inline nlohmann::json tokens_document(std::span<const std::uint32_t> tokens) {
  if (tokens.empty()) return nullptr;
  if (tokens.size() == 1) return tokens[0];
  return nlohmann::json(std::vector<std::uint32_t>(tokens.begin(), tokens.end()));
}

[[nodiscard]] inline nlohmann::json rope_document(const hf_rope& rope) {
  if (rope.scaling == hf_rope_scaling::none) return nullptr;
  nlohmann::json scaling{{"factor", rope.factor}};
  // "type" is what releases before 4.43 read, which know linear alone.
  scaling["rope_type"] = rope.scaling == hf_rope_scaling::linear ? "linear" : "llama3";
  if (rope.scaling == hf_rope_scaling::linear) {
    scaling["type"] = "linear";
  } else {
    scaling["low_freq_factor"] = rope.low_frequency;
    scaling["high_freq_factor"] = rope.high_frequency;
    const double original = rope.original_context;
    if (original >= 0 && original <= 0x1p53 && original == std::floor(original)) {
      scaling["original_max_position_embeddings"] = static_cast<std::uint64_t>(original);
    } else {
      scaling["original_max_position_embeddings"] = original;
    }
  }
  return scaling;
}

}  // namespace detail::io

/// config.json of a llama, qwen2 or qwen3 whose dense weights are `dtype`: "float32", "float16" or
/// "bfloat16". Read again it gives an equal configuration, but for the name and the prefix of an
/// architecture that has several. Fails for a model that is_plain() denies or whose sliding layers
/// have positions of their own, for other dtypes, and for biases that the architecture can't have.
[[nodiscard]] inline nlohmann::json hf_config_document(const hf_config& config,
                                                       std::string_view dtype) {
  using enum hf_architecture;
  const bool is_llama = config.architecture == hf_architecture::llama;
  const bool known = is_llama || config.architecture == qwen2 || config.architecture == qwen3;
  if (!known || !config.is_plain() || config.sliding_rope)
    detail::core::fail("hf_config_document: a model of " + config.architecture_name +
                       " is not written, expected a plain llama, qwen2 or qwen3");
  if (dtype != "float32" && dtype != "float16" && dtype != "bfloat16")
    detail::core::fail("hf_config_document: the dtype is '" + std::string{dtype} +
                       "', expected float32, float16 or bfloat16");
  const bool biases = config.query_key_value_bias;
  if (config.architecture == qwen2 ? !biases || config.output_bias : biases != config.output_bias)
    detail::core::fail("hf_config_document: no configuration has these biases of attention");
  if (config.feed_forward_bias && !is_llama)
    detail::core::fail("hf_config_document: a llama alone has biases of its feed-forward layers");
  const std::string_view name = gguf_architecture(config.architecture);
  nlohmann::json document{{"architectures",
                           {is_llama                       ? "LlamaForCausalLM"
                            : config.architecture == qwen2 ? "Qwen2ForCausalLM"
                                                           : "Qwen3ForCausalLM"}},
                          {"model_type", name},
                          {"hidden_size", config.hidden},
                          {"intermediate_size", config.feed_forward},
                          {"num_hidden_layers", config.layers},
                          {"num_attention_heads", config.heads},
                          {"num_key_value_heads", config.kv_heads},
                          {"head_dim", config.head_size},
                          {"vocab_size", config.vocabulary},
                          {"max_position_embeddings", config.context},
                          {"rms_norm_eps", config.epsilon},
                          {"rope_theta", config.rope.base},
                          {"rope_scaling", detail::io::rope_document(config.rope)},
                          {"hidden_act", "silu"},
                          {"tie_word_embeddings", config.tied_head},
                          {"torch_dtype", dtype},
                          {"use_cache", true},
                          {"bos_token_id", detail::io::tokens_document(config.begin_tokens)},
                          {"eos_token_id", detail::io::tokens_document(config.end_tokens)}};
  if (config.architecture != qwen2) document["attention_bias"] = biases;
  if (is_llama) document["mlp_bias"] = config.feed_forward_bias;
  if (!is_llama) document["use_sliding_window"] = false;
  if (config.padding_token) document["pad_token_id"] = *config.padding_token;
  return document;
}

/// generation_config.json; what is not said is left out.
[[nodiscard]] inline nlohmann::json hf_generation_document(const hf_generation& generation) {
  nlohmann::json document = nlohmann::json::object();
  const auto set = [&document](const char* key, const auto& value) {
    if (value) document[key] = *value;
  };
  if (!generation.begin_tokens.empty())
    document["bos_token_id"] = detail::io::tokens_document(generation.begin_tokens);
  if (!generation.end_tokens.empty())
    document["eos_token_id"] = detail::io::tokens_document(generation.end_tokens);
  set("pad_token_id", generation.padding_token);
  set("do_sample", generation.sample);
  set("temperature", generation.temperature);
  set("top_k", generation.top_k);
  set("top_p", generation.top_p);
  set("min_p", generation.min_p);
  set("repetition_penalty", generation.repetition_penalty);
  set("max_new_tokens", generation.max_new_tokens);
  if (!generation.stop_strings.empty()) document["stop_strings"] = generation.stop_strings;
  return document;
}

/// `quantization_config` of layers by add_compressed_tensors(): `group` columns, 0 for whole rows.
/// `plain`: names of linear layers that are not packed ("lm_head").
[[nodiscard]] inline nlohmann::json compressed_tensors_document(
    std::size_t group, const std::vector<std::string>& plain) {
  nlohmann::json weights{{"num_bits", 4},         {"type", "int"},
                         {"symmetric", true},     {"strategy", group == 0 ? "channel" : "group"},
                         {"group_size", nullptr}, {"dynamic", false},
                         {"actorder", nullptr}};
  if (group != 0) weights["group_size"] = group;
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups",
           {{"group_0",
             {{"targets", nlohmann::json::array({"Linear"})},
              {"weights", weights},
              {"input_activations", nullptr},
              {"output_activations", nullptr}}}}},
          {"ignore", plain},
          {"kv_cache_scheme", nullptr}};
}

/// The same by add_gptq(). The head is not packed.
[[nodiscard]] inline nlohmann::json gptq_document(std::size_t group) {
  nlohmann::json document{{"quant_method", "gptq"},
                          {"bits", 4},
                          {"group_size", -1},
                          {"desc_act", false},
                          {"sym", true},
                          {"lm_head", false},
                          {"checkpoint_format", "gptq"},
                          {"pack_dtype", "int32"}};
  if (group != 0) document["group_size"] = group;
  return document;
}

/// The same by add_bitnet(). `plain`: names of linear layers that are not packed.
[[nodiscard]] inline nlohmann::json bitnet_document(const std::vector<std::string>& plain) {
  return {{"quant_method", "bitnet"},
          {"linear_class", "autobitlinear"},
          {"quantization_mode", "offline"},
          {"modules_to_not_convert", plain}};
}

/// The same by add_edgerazor(): `mode` is the preset's name, "w1_58a8kv8"; blocks of `group`
/// columns.
[[nodiscard]] inline nlohmann::json edgerazor_document(std::string_view mode, std::size_t group) {
  return {{"quant_method", "edgerazor"},
          {"quant_mode", mode},
          {"is_w_quantized", true},
          {"er_block_size", group}};
}

/// Writes a document, indented by two spaces; whole or not at all. io_error where it can't.
inline void write_json(const std::filesystem::path& path, const nlohmann::json& document) {
  const std::string text =
      document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  atomic_file file(path);
  file.write(std::as_bytes(std::span{text}));
  file.commit();
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
