// SPDX-License-Identifier: Apache-2.0
/// The shape of a decoder as `config.json` of a Hugging Face folder has it, in the form of
/// transformers 5 (`rope_parameters`, `dtype`) and in the older one (`rope_theta`, `rope_scaling`,
/// `torch_dtype`).
///
/// Nothing that changes the numbers is passed over: an unknown architecture, a way of scaling
/// positions that is not listed here, another activation, are refused by name. Every number is
/// bounded before it is a size.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/hf_names.hpp>
#include <edgerazor/io/json_fields.hpp>
#include <edgerazor/io/json_text.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class hf_rope_scaling : std::uint8_t {
  none,
  linear,  ///< frequencies are divided by `factor`
  llama3   ///< low ones are, high ones are not, those between in part
};

/// How positions rotate query and key.
struct hf_rope {
  double base = 10000;
  hf_rope_scaling scaling = hf_rope_scaling::none;
  double factor = 1;
  double low_frequency = 1, high_frequency = 4;  ///< llama3: wavelengths in the original context
  double original_context = 8192;                ///< llama3: positions

  /// Radians a position by which pair `i` of a head of D elements turns, before scaling
  ///
  ///     f = base^(-2 i / D)
  ///
  /// and with it: linear f / factor; llama3, for the wavelength w = 2 pi / f,
  ///
  ///     w < original / high               f
  ///     w > original / low                f / factor
  ///     else s = (original / w - low) / (high - low),  f ((1 - s) / factor + s)
  [[nodiscard]] double unscaled_frequency(std::size_t i, std::size_t head_size) const noexcept {
    return std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
  }
  [[nodiscard]] double frequency(std::size_t i, std::size_t head_size) const noexcept {
    const double f = unscaled_frequency(i, head_size);
    if (scaling == hf_rope_scaling::none) return f;
    if (scaling == hf_rope_scaling::linear) return f / factor;
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength < original_context / high_frequency) return f;
    if (wavelength > original_context / low_frequency) return f / factor;
    const double s =
        (original_context / wavelength - low_frequency) / (high_frequency - low_frequency);
    return f * ((1 - s) / factor + s);
  }
};

/// A decoder of the architectures of hf_names.hpp. What differs from llama is said, so that a host
/// can refuse what it does not compute.
struct hf_config {
  hf_architecture architecture = hf_architecture::llama;
  std::string architecture_name;  ///< "Qwen3ForCausalLM"
  std::string prefix;             ///< of its tensors' names: "thinker." of Qwen2.5-Omni
  std::size_t layers = 0, hidden = 0, feed_forward = 0;
  std::size_t heads = 0, kv_heads = 0,
              head_size = 0;   ///< kv_heads divides heads; head_size is even
  std::size_t vocabulary = 0;  ///< rows of the embedding; may be more than the tokenizer has
  std::size_t context = 0;     ///< positions the model was made for
  double epsilon = 1e-6;       ///< of RMSNorm
  hf_rope rope;
  bool tied_head = false;  ///< the embedding is the head, whether or not a head is stored
  std::string dtype;       ///< "bfloat16"; empty where it is not said

  bool query_key_value_bias = false, output_bias = false, feed_forward_bias = false;
  bool head_norms = false;          ///< RMS norm of each head of query and key, before they rotate
  bool sub_norms = false;           ///< bitnet: RMS norms before attention's output and before down
  bool four_norms = false;          ///< gemma3: norms also after attention and feed-forward
  bool norms_plus_one = false;      ///< gemma3: the factor of a norm is 1 + weight
  bool scaled_embedding = false;    ///< gemma3: times sqrt(hidden)
  double query_scale = 0;           ///< gemma3: of q.k; 0: 1 / sqrt(head_size)
  std::string activation = "silu";  ///< of the gate: "silu", "gelu_pytorch_tanh", "relu2"
  std::size_t sliding_window = 0;   ///< keys a sliding layer sees; 0: none slides
  std::vector<bool> sliding_layers;       ///< one a layer; empty: none slides
  std::optional<hf_rope> sliding_rope;    ///< of sliding layers, where it differs
  std::vector<bool> layers_without_rope;  ///< one a layer; empty: all rotate

  std::vector<std::uint32_t> begin_tokens, end_tokens;  ///< ids; none, one or several
  std::optional<std::uint32_t> padding_token;

  [[nodiscard]] std::size_t query_size() const noexcept { return heads * head_size; }
  [[nodiscard]] std::size_t kv_size() const noexcept { return kv_heads * head_size; }
  /// Whether every layer computes what a llama's does, but for biases and norms of heads: what
  /// "llama", "qwen2" and "qwen3" of GGUF stand for.
  [[nodiscard]] bool is_plain() const noexcept {
    return !sub_norms && !four_norms && !norms_plus_one && !scaled_embedding && query_scale == 0 &&
           activation == "silu" && sliding_layers.empty() && layers_without_rope.empty();
  }
};

namespace detail::io {

/// What an architecture is by default.
struct hf_architecture_row {
  std::string_view causal, base, model_type;  ///< names of the classes, and of the configuration
  hf_architecture architecture;
  double rope_base;
  std::size_t head_size;  ///< where none is given; 0: hidden / heads
  bool tied;
  std::string_view activation;
};

inline constexpr std::array<hf_architecture_row, 7> hf_architectures{{
    {"LlamaForCausalLM", "LlamaModel", "llama", hf_architecture::llama, 1e4, 0, false, "silu"},
    {"Qwen2ForCausalLM", "Qwen2Model", "qwen2", hf_architecture::qwen2, 1e4, 0, false, "silu"},
    {"Qwen3ForCausalLM", "Qwen3Model", "qwen3", hf_architecture::qwen3, 1e4, 128, false, "silu"},
    {"Qwen2_5OmniForConditionalGeneration", "Qwen2_5OmniModel", "qwen2_5_omni",
     hf_architecture::qwen2, 1e6, 0, false, "silu"},
    {"SmolLM3ForCausalLM", "SmolLM3Model", "smollm3", hf_architecture::smollm3, 2e6, 0, true,
     "silu"},
    {"Gemma3ForCausalLM", "Gemma3TextModel", "gemma3_text", hf_architecture::gemma3, 1e6, 256, true,
     "gelu_pytorch_tanh"},
    {"BitNetForCausalLM", "BitNetModel", "bitnet", hf_architecture::bitnet, 5e5, 0, false, "relu2"},
}};

[[nodiscard]] inline const hf_architecture_row& find_hf_architecture(const json_fields& config,
                                                                     std::string& name) {
  const std::vector<std::string> names = config.texts("architectures");
  const std::optional<std::string> type = config.optional_text("model_type");
  if (names.empty() && !type)
    core::fail_io(config.where() + ": it has no 'architectures' and no 'model_type'");
  name = names.empty() ? *type : names.front();
  for (const hf_architecture_row& row : hf_architectures) {
    if (names.empty() ? row.model_type == name : row.causal == name || row.base == name) return row;
  }
  std::string known;
  for (const hf_architecture_row& row : hf_architectures)
    known += (known.empty() ? "" : ", ") + std::string{row.causal};
  core::fail_io(config.where() + ": the architecture " + edgerazor::quoted(name) +
                " is none of those that are read: " + known);
}

inline constexpr double largest_factor = 1e6;

/// The fields of one object: `rope_parameters` or `rope_scaling`.
inline void read_rope_scaling(const json_fields& rope, bool with_sections, hf_rope& result) {
  std::optional<std::string> type = rope.optional_text("rope_type");
  if (!type) type = rope.optional_text("type");
  if (!type || *type == "default" || (with_sections && *type == "mrope")) return;
  if (*type != "linear" && *type != "llama3")
    core::fail_io(rope.where() + ": positions are scaled by " + edgerazor::quoted(*type) +
                  ", expected default, linear or llama3");
  result.factor = rope.real("factor", 1e-6, largest_factor);
  result.scaling = hf_rope_scaling::linear;
  if (*type == "linear") return;
  result.scaling = hf_rope_scaling::llama3;
  result.low_frequency = rope.real("low_freq_factor", 1e-6, largest_factor);
  result.high_frequency = rope.real("high_freq_factor", 1e-6, largest_factor);
  result.original_context = rope.real("original_max_position_embeddings", 1, 1e12);
  if (result.low_frequency >= result.high_frequency)
    core::fail_io(rope.where() + ": 'low_freq_factor' is not below 'high_freq_factor'");
}

/// Of the object that transformers 5 has for a kind of layers or for all.
[[nodiscard]] inline hf_rope read_rope_parameters(const json_fields& rope, bool with_sections,
                                                  double base) {
  hf_rope result;
  result.base = rope.optional_real("rope_theta", 1e-3, 1e12).value_or(base);
  if (rope.optional_real("partial_rotary_factor", 0, 1).value_or(1) != 1)
    core::fail_io(rope.where() +
                  ": a part of each head rotates ('partial_rotary_factor'), "
                  "expected all of it");
  read_rope_scaling(rope, with_sections, result);
  return result;
}

inline void read_rope(const json_fields& config, const hf_architecture_row& row,
                      hf_config& result) {
  const bool omni = row.model_type == "qwen2_5_omni";
  const bool gemma = row.architecture == hf_architecture::gemma3;
  if (config.optional_real("partial_rotary_factor", 0, 1).value_or(1) != 1)
    core::fail_io(config.where() +
                  ": a part of each head rotates ('partial_rotary_factor'), "
                  "expected all of it");
  const std::optional<double> old_base = config.optional_real("rope_theta", 1e-3, 1e12);
  const double base = old_base.value_or(row.rope_base);
  if (const auto rope = config.optional_object("rope_parameters")) {
    const auto full = rope->optional_object("full_attention");
    result.rope = read_rope_parameters(full.value_or(*rope), omni, base);
    if (old_base && *old_base != result.rope.base)
      core::fail_io(config.where() + ": 'rope_theta' and 'rope_parameters' differ");
    if (const auto scaling = config.optional_object("rope_scaling")) {
      hf_rope old;
      read_rope_scaling(*scaling, omni, old);
      const hf_rope& now = result.rope;
      if (old.scaling != now.scaling || old.factor != now.factor ||
          old.low_frequency != now.low_frequency || old.high_frequency != now.high_frequency ||
          old.original_context != now.original_context)
        core::fail_io(config.where() + ": 'rope_scaling' and 'rope_parameters' differ");
    }
    if (const auto sliding = rope->optional_object("sliding_attention"))
      result.sliding_rope = read_rope_parameters(*sliding, omni, 1e4);
  } else {
    result.rope.base = base;
    if (const auto scaling = config.optional_object("rope_scaling"))
      read_rope_scaling(*scaling, omni, result.rope);
  }
  if (gemma && !result.sliding_rope) {
    result.sliding_rope.emplace();
    result.sliding_rope->base =
        config.optional_real("rope_local_base_freq", 1e-3, 1e12).value_or(1e4);
  }
}

/// Which layers slide: as `layer_types` says, else as the architecture does without it.
inline void read_sliding_layers(const json_fields& config, hf_config& result) {
  const bool qwen = result.architecture == hf_architecture::qwen2 ||
                    result.architecture == hf_architecture::qwen3;
  const bool gemma = result.architecture == hf_architecture::gemma3;
  if (!gemma && !config.flag("use_sliding_window", !qwen)) return;
  result.sliding_window =
      config.optional_size("sliding_window", 1, std::size_t{1} << 30).value_or(gemma ? 4096 : 0);
  if (result.sliding_window == 0) return;
  std::vector<bool> sliding(result.layers, !gemma && !qwen);
  if (const std::vector<std::string> types = config.texts("layer_types"); !types.empty()) {
    if (types.size() != result.layers)
      core::fail_io(config.where() + ": 'layer_types' has " + std::to_string(types.size()) +
                    " entries, expected one for each of " + std::to_string(result.layers) +
                    " layers");
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (types[i] != "full_attention" && types[i] != "sliding_attention")
        core::fail_io(config.where() + ": a layer is of type " + edgerazor::quoted(types[i]) +
                      ", expected full_attention or sliding_attention");
      sliding[i] = types[i] == "sliding_attention";
    }
  } else if (gemma) {
    const std::size_t pattern = config.optional_size("sliding_window_pattern", 1, 4096).value_or(6);
    for (std::size_t i = 0; i < sliding.size(); ++i) sliding[i] = (i + 1) % pattern != 0;
  } else if (qwen) {
    const std::size_t first = config.optional_size("max_window_layers", 0, 1 << 20).value_or(28);
    for (std::size_t i = 0; i < sliding.size(); ++i) sliding[i] = i >= first;
  }
  if (std::find(sliding.begin(), sliding.end(), true) == sliding.end()) {
    result.sliding_window = 0;
  } else {
    result.sliding_layers = std::move(sliding);
  }
}

inline void read_what_differs(const json_fields& config, const hf_architecture_row& row,
                              hf_config& result) {
  using enum hf_architecture;
  const bool biases = config.flag("attention_bias", false);
  result.query_key_value_bias = biases || row.architecture == qwen2;
  result.output_bias = biases && row.architecture != qwen2;
  result.feed_forward_bias = config.flag("mlp_bias", false);
  result.head_norms = row.architecture == qwen3 || row.architecture == gemma3;
  result.sub_norms = row.architecture == bitnet;
  const bool gemma = row.architecture == gemma3;
  result.four_norms = result.norms_plus_one = result.scaled_embedding = gemma;
  if (gemma) {
    result.query_scale =
        1 / std::sqrt(config.optional_real("query_pre_attn_scalar", 1e-6, 1e9).value_or(256));
    for (const char* const key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
      if (config.has(key))
        core::fail_io(config.where() + ": " + edgerazor::quoted(key) + " is set, expected null");
    }
  }
  const char* const key = gemma ? "hidden_activation" : "hidden_act";
  result.activation = config.optional_text(key).value_or(std::string{row.activation});
  if (result.activation != row.activation)
    core::fail_io(config.where() + ": " + edgerazor::quoted(key) + " is " +
                  edgerazor::quoted(result.activation) + ", expected " +
                  std::string{row.activation});
  for (const char* const shared : {"layer_sharing", "share_embedding"}) {
    if (config.flag(shared, false))
      core::fail_io(config.where() + ": " + edgerazor::quoted(shared) +
                    " is true, expected layers with weights of their own");
  }
  read_sliding_layers(config, result);
  if (row.architecture == smollm3) {
    const std::vector<std::uint64_t> rotates = config.integers("no_rope_layers", 0, 1);
    if (!rotates.empty() && rotates.size() != result.layers)
      core::fail_io(config.where() + ": 'no_rope_layers' has " + std::to_string(rotates.size()) +
                    " entries, expected " + std::to_string(result.layers));
    const std::size_t interval =
        config.optional_size("no_rope_layer_interval", 1, 1 << 20).value_or(4);
    result.layers_without_rope.resize(result.layers);
    for (std::size_t i = 0; i < result.layers; ++i)
      result.layers_without_rope[i] = rotates.empty() ? (i + 1) % interval == 0 : rotates[i] == 0;
  }
}

inline void read_sizes(const json_fields& config, const hf_architecture_row& row,
                       hf_config& result) {
  constexpr std::size_t widest = std::size_t{1} << 24;
  result.layers = config.size("num_hidden_layers", 1, 4096);
  result.hidden = config.size("hidden_size", 1, widest);
  result.feed_forward = config.size("intermediate_size", 1, widest);
  result.heads = config.size("num_attention_heads", 1, 1 << 16);
  result.kv_heads = config.optional_size("num_key_value_heads", 1, 1 << 16).value_or(result.heads);
  result.vocabulary = config.size("vocab_size", 1, widest);
  result.context = config.size("max_position_embeddings", 1, std::size_t{1} << 30);
  result.epsilon = config.real("rms_norm_eps", 1e-30, 1);
  const std::optional<std::size_t> head_size = config.optional_size("head_dim", 2, 1 << 16);
  if (!head_size && row.head_size == 0 && result.hidden % result.heads != 0)
    core::fail_io(config.where() + ": 'hidden_size' " + std::to_string(result.hidden) +
                  " is no multiple of " + std::to_string(result.heads) +
                  " heads, and there is no 'head_dim'");
  result.head_size = head_size       ? *head_size
                     : row.head_size ? row.head_size
                                     : result.hidden / result.heads;
  if (result.head_size % 2 != 0 || result.heads * result.head_size > widest)
    core::fail_io(config.where() + ": " + std::to_string(result.heads) + " heads of " +
                  std::to_string(result.head_size) +
                  " elements, expected an even number of elements, at most 16777216 together");
  if (result.heads % result.kv_heads != 0)
    core::fail_io(config.where() + ": 'num_key_value_heads' " + std::to_string(result.kv_heads) +
                  " does not divide " + std::to_string(result.heads) + " heads");
}

/// Ids of tokens: an integer or a list of them.
[[nodiscard]] inline std::vector<std::uint32_t> read_tokens(const json_fields& fields,
                                                            const char* key) {
  std::vector<std::uint32_t> tokens;
  for (const std::uint64_t token : fields.integers(key, 0, 0x7fffffff))
    tokens.push_back(static_cast<std::uint32_t>(token));
  return tokens;
}

/// -1 is what some files have for none.
[[nodiscard]] inline std::optional<std::uint32_t> read_padding_token(const json_fields& fields) {
  const nlohmann::json* const value = fields.find("pad_token_id");
  if (value != nullptr && value->is_number_integer() && !value->is_number_unsigned() &&
      value->get<std::int64_t>() == -1)
    return std::nullopt;
  const auto token = fields.optional_integer("pad_token_id", 0, 0x7fffffff);
  return token ? std::optional{static_cast<std::uint32_t>(*token)} : std::nullopt;
}

}  // namespace detail::io

/// What `config.json` says, given as a document. `where` is its path, for messages. io_error naming
/// the key, what it holds and what was expected.
[[nodiscard]] inline hf_config read_hf_config(const nlohmann::json& document,
                                              const std::string& where) {
  namespace io = detail::io;
  const io::json_fields top(document, where);
  hf_config result;
  const io::hf_architecture_row& row = io::find_hf_architecture(top, result.architecture_name);
  result.architecture = row.architecture;
  std::optional<io::json_fields> text = top;
  if (row.model_type == "qwen2_5_omni") {
    result.prefix = "thinker.";
    const auto thinker = top.optional_object("thinker_config");
    text = thinker ? thinker->optional_object("text_config") : std::nullopt;
    if (!text) detail::core::fail_io(where + ": it has no 'text_config' in its 'thinker_config'");
  }
  const io::json_fields& config = *text;
  io::read_sizes(config, row, result);
  io::read_rope(config, row, result);
  io::read_what_differs(config, row, result);
  result.tied_head = config.optional_flag("tie_word_embeddings")
                         .value_or(top.flag("tie_word_embeddings", row.tied));
  std::optional<std::string> dtype = config.optional_text("dtype");
  if (!dtype) dtype = config.optional_text("torch_dtype");
  result.dtype = dtype.value_or("");
  result.begin_tokens = io::read_tokens(config, "bos_token_id");
  result.end_tokens = io::read_tokens(config, "eos_token_id");
  result.padding_token = io::read_padding_token(config);
  return result;
}

/// The same of a file.
[[nodiscard]] inline hf_config read_hf_config(const std::filesystem::path& path) {
  return read_hf_config(detail::io::read_json(path), printable(path.string(), longest_path));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
