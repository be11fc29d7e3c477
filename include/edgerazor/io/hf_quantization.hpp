// SPDX-License-Identifier: Apache-2.0
/// How a Hugging Face folder says that its weights are quantized, and with what settings:
/// `quantization_config` of config.json, or one of the places that older files have.
///
/// Only what is listed is read; any other method is refused by name. What a layer's bytes really
/// are is for the importers of the layouts to check (gptq.hpp and its neighbours).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/hf_layer_rules.hpp>
#include <edgerazor/io/json_fields.hpp>
#include <edgerazor/io/json_text.hpp>
#include <edgerazor/io/name_pattern.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

enum class hf_quant_method : std::uint8_t {
  none,
  edgerazor,
  bitnet,
  gptq,
  awq,
  compressed_tensors,
  auto_round,
  hqq,
  gemma,
  mxfp4,
  nvfp4,  ///< of ModelOpt
  fp8
};

/// What a model says of its quantization.
struct hf_quantization {
  hf_quant_method method = hf_quant_method::none;
  std::string method_name;  ///< as the file spells it
  std::string where;        ///< the file and the key, for messages
  hf_layer_quantization settings;
  std::vector<hf_quantization_rule> rules;
  /// Where true, layers that no rule names are not quantized (compressed-tensors).
  bool only_by_rule = false;
  bool head = false;     ///< lm_head is quantized too
  std::string mode;      ///< edgerazor: "w1_88a8kv8"; bitnet: "offline"
  std::size_t axis = 1;  ///< hqq: 1: groups lie along rows

  /// The settings of a linear layer, by its module's name ("model.layers.0.mlp.up_proj"); nothing
  /// where the configuration leaves it as it is. io_error where two rules give it different ones.
  [[nodiscard]] std::optional<hf_layer_quantization> of(std::string_view module) const;
};

namespace detail::io {

struct hf_quant_method_row {
  std::string_view name;
  hf_quant_method method;
};
inline constexpr std::array<hf_quant_method_row, 13> hf_quant_methods{{
    {"edgerazor", hf_quant_method::edgerazor},
    {"bitnet", hf_quant_method::bitnet},
    {"gptq", hf_quant_method::gptq},
    {"awq", hf_quant_method::awq},
    {"compressed-tensors", hf_quant_method::compressed_tensors},
    {"auto-round", hf_quant_method::auto_round},
    {"intel/auto-round", hf_quant_method::auto_round},
    {"hqq", hf_quant_method::hqq},
    {"gemma", hf_quant_method::gemma},
    {"mxfp4", hf_quant_method::mxfp4},
    {"nvfp4", hf_quant_method::nvfp4},
    {"modelopt", hf_quant_method::nvfp4},
    {"fp8", hf_quant_method::fp8},
}};

/// Reads one configuration into a hf_quantization.
class hf_quantization_reader {
 public:
  hf_quantization_reader(const json_fields& fields, hf_quantization& result)
      : fields_(fields), result_(result) {}

  void read() {
    using enum hf_quant_method;
    switch (result_.method) {
      case gptq:
        read_gptq();
        break;
      case auto_round:
        read_auto_round();
        break;
      case awq:
        read_awq();
        break;
      case compressed_tensors:
        read_compressed_tensors();
        break;
      case hqq:
        read_hqq();
        break;
      case nvfp4:
        read_modelopt();
        break;
      case fp8:
        read_fp8();
        break;
      case bitnet:
        read_bitnet();
        break;
      case edgerazor:
        result_.mode = fields_.optional_text("quant_mode").value_or("");
        result_.settings.group = optional_group(fields_, "er_block_size");
        exclude("modules_to_not_convert", hf_quantization_rule::kind::name);
        break;
      case gemma:
      case mxfp4:
      case none:
        result_.settings.bits = optional_bits(fields_, "bits");
        exclude("modules_to_not_convert", hf_quantization_rule::kind::name);
    }
  }

 private:
  using rule_kind = hf_quantization_rule::kind;

  [[noreturn]] void refuse(const std::string& sentence) const {
    core::fail_io(fields_.where() + ": " + sentence);
  }

  [[nodiscard]] static std::size_t optional_bits(const json_fields& fields, const char* key) {
    return fields.optional_size(key, 1, 16).value_or(0);
  }
  /// -1 and null are all of a row.
  [[nodiscard]] static std::size_t optional_group(const json_fields& fields, const char* key) {
    const nlohmann::json* const value = fields.find(key);
    if (value != nullptr && value->is_number_integer() && !value->is_number_unsigned() &&
        value->get<std::int64_t>() == -1)
      return 0;
    return fields.optional_size(key, 1, 1 << 24).value_or(0);
  }

  void add(rule_kind kind, std::string text, bool excluded, const hf_layer_quantization& settings) {
    if (text.size() > 1000)
      refuse("the layers " + edgerazor::quoted(text) + " are named by more than 1000 bytes");
    if (kind == rule_kind::pattern && !name_pattern::compile(text))
      refuse("the pattern " + edgerazor::quoted(text) + " of layers' names is not read");
    if (result_.rules.size() == 10000) refuse("it has more than 10000 rules for layers");
    result_.rules.push_back({kind, std::move(text), excluded, settings});
  }
  void exclude(const char* key, rule_kind kind) {
    for (std::string& text : fields_.texts(key)) add(kind, std::move(text), true, {});
  }
  [[nodiscard]] static hf_layer_quantization overridden(const json_fields& fields,
                                                        hf_layer_quantization settings) {
    if (fields.has("bits")) settings.bits = optional_bits(fields, "bits");
    if (fields.has("group_size")) settings.group = optional_group(fields, "group_size");
    if (const auto symmetric = fields.optional_flag("sym")) settings.symmetric = symmetric;
    settings.reordered = fields.flag("desc_act", settings.reordered);
    return settings;
  }

  void read_gptq() {
    result_.settings = overridden(fields_, {});
    std::optional<std::string> format = fields_.optional_text("checkpoint_format");
    if (!format) format = fields_.optional_text("format");
    require_format(format.value_or("gptq"), {"gptq", "gptq_v2", "gptq_p"});
    const std::string words = fields_.optional_text("pack_dtype").value_or("int32");
    if (words != "int32")
      refuse("'pack_dtype' is " + edgerazor::quoted(words) + ", expected int32");
    result_.head = fields_.flag("lm_head", false);
    if (fields_.flag("is_marlin_format", false))
      refuse("the weights are packed as 'marlin', expected gptq, gptq_v2, gptq_p");
    const auto dynamic = fields_.optional_object("dynamic");
    if (!dynamic) return;
    for (const auto& entry : dynamic->object().items()) {
      std::string pattern = entry.key();
      const bool excluded = pattern.starts_with("-:");
      if (excluded || pattern.starts_with("+:")) pattern.erase(0, 2);
      const json_fields changes(entry.value(),
                                fields_.where() + ": " + edgerazor::quoted(entry.key()));
      add(rule_kind::pattern, std::move(pattern), excluded, overridden(changes, result_.settings));
    }
  }

  void read_auto_round() {
    result_.settings = overridden(fields_, {});
    require_format(fields_.optional_text("packing_format").value_or("auto_round:auto_gptq"),
                   {"auto_round", "auto_round:auto_gptq", "auto_round:gptq", "auto_round:auto_awq",
                    "auto_round:awq"});
    const std::string data = fields_.optional_text("data_type").value_or("int");
    if (data.substr(0, 3) != "int")
      refuse("'data_type' is " + edgerazor::quoted(data) + ", expected int");
    const auto extra = fields_.optional_object("extra_config");
    if (!extra) return;
    for (const auto& entry : extra->object().items()) {
      const json_fields changes(entry.value(),
                                fields_.where() + ": " + edgerazor::quoted(entry.key()));
      const hf_layer_quantization settings = overridden(changes, result_.settings);
      const bool name = entry.key().find_first_of("*+?^$()[]|\\") == std::string::npos;
      add(name ? rule_kind::name : rule_kind::pattern, entry.key(), settings.bits >= 16, settings);
    }
  }

  void read_awq() {
    result_.settings.bits = optional_bits(fields_, fields_.has("bits") ? "bits" : "w_bit");
    result_.settings.group =
        optional_group(fields_, fields_.has("group_size") ? "group_size" : "q_group_size");
    std::string version = fields_.optional_text("version").value_or("gemm");
    for (char& c : version) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    require_format(std::move(version), {"gemm"});
    if (!fields_.flag("zero_point", true))
      refuse("'zero_point' is false, expected zeros beside the codes");
    exclude("modules_to_not_convert", rule_kind::part);
  }

  void require_format(std::string format, std::vector<std::string_view> known) {
    if (std::find(known.begin(), known.end(), format) == known.end()) {
      std::string list;
      for (const std::string_view one : known)
        list += (list.empty() ? "" : ", ") + std::string{one};
      refuse("the weights are packed as " + edgerazor::quoted(format) + ", expected " + list);
    }
    result_.settings.format = std::move(format);
  }

  void read_compressed_tensors() {
    constexpr std::array<std::string_view, 7> known{"pack-quantized",
                                                    "int-quantized",
                                                    "naive-quantized",
                                                    "float-quantized",
                                                    "nvfp4-pack-quantized",
                                                    "mxfp4-pack-quantized",
                                                    "dense"};
    result_.only_by_rule = true;
    const std::string format = fields_.optional_text("format").value_or("dense");
    const std::string status = fields_.optional_text("quantization_status").value_or("compressed");
    if (status != "compressed" && status != "frozen")
      refuse("'quantization_status' is " + edgerazor::quoted(status) + ", expected compressed");
    const auto groups = fields_.optional_object("config_groups");
    if (!groups) refuse("it has no 'config_groups'");
    for (const auto& entry : groups->object().items()) {
      const json_fields group(entry.value(),
                              groups->where() + ": " + edgerazor::quoted(entry.key()));
      const auto weights = group.optional_object("weights");
      if (!weights) core::fail_io(group.where() + ": it has no 'weights'");
      hf_layer_quantization settings;
      settings.bits = weights->size("num_bits", 1, 16);
      settings.is_float = weights->optional_text("type").value_or("int") == "float";
      settings.symmetric = weights->flag("symmetric", true);
      settings.group = optional_group(*weights, "group_size");
      settings.strategy =
          weights->optional_text("strategy").value_or(settings.group != 0 ? "group" : "tensor");
      // Other orders are undone when the weights are stored.
      const nlohmann::json* const order = weights->find("actorder");
      settings.reordered = order != nullptr && (*order == "group" || *order == true);
      if (settings.strategy == "block") read_block(*weights, "block_structure", settings);
      settings.format = group.optional_text("format").value_or(format);
      if (std::find(known.begin(), known.end(), settings.format) == known.end())
        core::fail_io(group.where() + ": the weights are packed as " +
                      edgerazor::quoted(settings.format) + ", which is not read");
      for (std::string& target : group.texts("targets")) add_target(std::move(target), settings);
    }
    for (std::string& name : fields_.texts("ignore")) {
      const bool pattern = name.starts_with("re:");
      if (pattern) name.erase(0, 3);
      add(pattern ? rule_kind::pattern : rule_kind::name, std::move(name), true, {});
    }
    const auto sparse = fields_.optional_object("sparsity_config");
    const std::string sparse_format =
        sparse ? sparse->optional_text("format").value_or("dense") : "dense";
    if (sparse_format != "dense")
      refuse("the weights are sparse (" + edgerazor::quoted(sparse_format) +
             "), expected dense ones");
  }
  void add_target(std::string target, const hf_layer_quantization& settings) {
    if (target.starts_with("re:"))
      return add(rule_kind::pattern, target.substr(3), false, settings);
    const rule_kind kind = target == "Linear" ? rule_kind::all : rule_kind::name;
    add(kind, std::move(target), false, settings);
  }

  void read_hqq() {
    const auto outer = fields_.optional_object("quant_config");
    const auto inner = outer ? outer->optional_object("weight_quant_params") : std::nullopt;
    const json_fields& settings = inner ? *inner : outer ? *outer : fields_;
    result_.settings.bits = optional_bits(settings, "nbits");
    result_.settings.group = optional_group(settings, "group_size");
    result_.axis = settings.optional_size("axis", 0, 1).value_or(1);
    exclude("skip_modules", rule_kind::part);
  }

  void read_modelopt() {
    const auto inner = fields_.optional_object("quantization");
    const json_fields& settings = inner ? *inner : fields_;
    const std::string algorithm = settings.optional_text("quant_algo").value_or("NVFP4");
    if (algorithm == "FP8") {
      result_.method = hf_quant_method::fp8;
    } else if (algorithm != "NVFP4") {
      refuse("'quant_algo' is " + edgerazor::quoted(algorithm) + ", expected NVFP4 or FP8");
    }
    result_.settings.format = algorithm;
    result_.settings.group = optional_group(settings, "group_size");
    for (const char* const key : {"exclude_modules", "ignore"}) {
      for (std::string& text : settings.texts(key)) add(rule_kind::glob, std::move(text), true, {});
    }
  }

  /// Rows and columns that share a scale.
  static void read_block(const json_fields& fields, const char* key,
                         hf_layer_quantization& settings) {
    const std::vector<std::uint64_t> block = fields.integers(key, 1, std::uint64_t{1} << 24);
    if (block.empty()) return;
    if (block.size() != 2)
      core::fail_io(fields.where() + ": " + edgerazor::quoted(key) + " has " +
                    std::to_string(block.size()) + " numbers, expected 2: rows and columns");
    settings.block_rows = static_cast<std::size_t>(block[0]);
    settings.block_cols = static_cast<std::size_t>(block[1]);
  }

  void read_fp8() {
    read_block(fields_, "weight_block_size", result_.settings);
    result_.settings.bits = 8;
    result_.settings.is_float = true;
    exclude("modules_to_not_convert", rule_kind::name);
    exclude("ignored_layers", rule_kind::name);
  }

  void read_bitnet() {
    require_format(fields_.optional_text("linear_class").value_or("bitlinear"),
                   {"bitlinear", "autobitlinear"});
    result_.mode = fields_.optional_text("quantization_mode").value_or("offline");
    if (result_.mode != "offline" && result_.mode != "online")
      refuse("'quantization_mode' is " + edgerazor::quoted(result_.mode) +
             ", expected offline or online");
    if (fields_.flag("use_rms_norm", false))
      refuse("'use_rms_norm' is true, expected layers without a norm of their own");
    exclude("modules_to_not_convert", rule_kind::name);
  }

  const json_fields& fields_;
  hf_quantization& result_;
};

/// A configuration whose method has that name.
[[nodiscard]] inline hf_quantization read_hf_quantization_as(const json_fields& fields,
                                                             const std::string& method) {
  hf_quantization result;
  result.method_name = method;
  result.where = fields.where();
  for (const hf_quant_method_row& row : hf_quant_methods) {
    if (row.name == method) result.method = row.method;
  }
  if (result.method == hf_quant_method::none) {
    std::string known;
    for (const hf_quant_method_row& row : hf_quant_methods)
      known += (known.empty() ? "" : ", ") + std::string{row.name};
    core::fail_io(fields.where() + ": the weights are quantized by " + edgerazor::quoted(method) +
                  ", which is not read; these are: " + known);
  }
  hf_quantization_reader(fields, result).read();
  return result;
}

}  // namespace detail::io

inline std::optional<hf_layer_quantization> hf_quantization::of(std::string_view module) const {
  if (method == hf_quant_method::none) return std::nullopt;
  return detail::io::settings_by_rules(
      rules, module, only_by_rule ? std::nullopt : std::optional{settings}, where);
}

/// What a folder says, in this order: `edgerazor_config` of config.json (given as `config`), where
/// EdgeRazor (Python) wrote before it had another place; `quantization_config`, of its text_config
/// too; older places of EdgeRazor (Python) (`edgerazor_qconfig`, `quant_mode`), MLX's
/// `quantization`; then the files quantize_config.json (GPTQ), quant_config.json (AWQ),
/// hf_quant_config.json (ModelOpt). Method none where none of them says a thing. io_error, naming
/// method, key or format, for what is not read. `where`: the path of config.json, for messages.
[[nodiscard]] inline hf_quantization read_hf_quantization(const nlohmann::json& config,
                                                          const std::string& where,
                                                          const std::filesystem::path& folder) {
  namespace io = detail::io;
  const io::json_fields top(config, where);
  const auto edgerazor_of = [&](std::string mode) {
    hf_quantization result;
    result.method = hf_quant_method::edgerazor;
    result.method_name = "edgerazor";
    result.where = where;
    result.mode = std::move(mode);
    return result;
  };
  if (const auto inline_config = top.optional_object("edgerazor_config"))
    return io::read_hf_quantization_as(*inline_config, "edgerazor");
  const auto text = top.optional_object("text_config");
  for (const io::json_fields* const place : {&top, text ? &*text : nullptr}) {
    const auto found =
        place != nullptr ? place->optional_object("quantization_config") : std::nullopt;
    if (!found) continue;
    const std::optional<std::string> method = found->optional_text("quant_method");
    if (!method) detail::core::fail_io(found->where() + ": it has no 'quant_method'");
    return io::read_hf_quantization_as(*found, *method);
  }
  for (const char* const key : {"edgerazor_qconfig", "quant_mode"}) {
    if (std::optional<std::string> mode = top.optional_text(key))
      return edgerazor_of(std::move(*mode));
  }
  if (top.has("quantization"))
    detail::core::fail_io(where +
                          ": the weights are quantized by MLX ('quantization'), which is not read");
  constexpr std::array<std::pair<const char*, const char*>, 3> files{
      {{"quantize_config.json", "gptq"},
       {"quant_config.json", "awq"},
       {"hf_quant_config.json", "modelopt"}}};
  for (const auto& file : files) {
    const std::filesystem::path path = folder / file.first;
    std::error_code ignored;
    if (folder.empty() || !std::filesystem::exists(path, ignored)) continue;
    const nlohmann::json document = io::read_json(path);
    const io::json_fields fields(document, printable(path.string(), longest_path));
    return io::read_hf_quantization_as(fields,
                                       fields.optional_text("quant_method").value_or(file.second));
  }
  return {};
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
