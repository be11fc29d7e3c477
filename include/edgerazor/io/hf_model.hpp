// SPDX-License-Identifier: Apache-2.0
/// A Hugging Face model folder: what config.json, generation_config.json and the safetensors files
/// say, and whether they agree. Tokenizers are another matter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/hf_config.hpp>
#include <edgerazor/io/hf_generation.hpp>
#include <edgerazor/io/hf_names.hpp>
#include <edgerazor/io/hf_quantization.hpp>
#include <edgerazor/io/json_text.hpp>
#include <edgerazor/io/safetensors_files.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The shape that a role's `weight` has by the configuration: rows (outputs) and columns (inputs)
/// of a matrix, elements of a norm. Nothing wraps: see read_hf_config.
[[nodiscard]] inline std::vector<std::uint64_t> hf_shape(const hf_config& config, hf_role role) {
  switch (role) {
    case hf_role::embedding:
    case hf_role::head:
      return {config.vocabulary, config.hidden};
    case hf_role::query:
      return {config.query_size(), config.hidden};
    case hf_role::key:
    case hf_role::value:
      return {config.kv_size(), config.hidden};
    case hf_role::attention_output:
      return {config.hidden, config.query_size()};
    case hf_role::gate:
    case hf_role::up:
      return {config.feed_forward, config.hidden};
    case hf_role::down:
      return {config.hidden, config.feed_forward};
    case hf_role::query_norm:
    case hf_role::key_norm:
      return {config.head_size};
    case hf_role::attention_sub_norm:
      return {config.query_size()};
    case hf_role::feed_forward_sub_norm:
      return {config.feed_forward};
    default:
      return {config.hidden};
  }
}

/// Whether the configuration asks for the role, and whether for its bias.
[[nodiscard]] inline bool hf_has_role(const hf_config& config, hf_role role) noexcept {
  switch (role) {
    case hf_role::head:
      return !config.tied_head;
    case hf_role::query_norm:
    case hf_role::key_norm:
      return config.head_norms;
    case hf_role::after_attention_norm:
    case hf_role::after_feed_forward_norm:
      return config.four_norms;
    case hf_role::attention_sub_norm:
    case hf_role::feed_forward_sub_norm:
      return config.sub_norms;
    default:
      return true;
  }
}
[[nodiscard]] inline bool hf_has_bias(const hf_config& config, hf_role role) noexcept {
  switch (role) {
    case hf_role::query:
    case hf_role::key:
    case hf_role::value:
      return config.query_key_value_bias;
    case hf_role::attention_output:
      return config.output_bias;
    case hf_role::gate:
    case hf_role::up:
    case hf_role::down:
      return config.feed_forward_bias;
    default:
      return false;
  }
}

/// An open model folder, complete by its configuration: every tensor has a role that the
/// architecture has, every role of every layer has its tensors, and those that are not packed have
/// the shapes that the configuration gives them. Movable; bytes live as long as it does.
///
/// All members are const and may be called from several threads.
class hf_model {
 public:
  /// A linear layer, a norm or the embedding: its name in the files, and its tensors by the rest of
  /// their names ("weight", "bias", "qweight").
  struct module {
    std::string name;
    std::map<std::string, const safetensors_tensor*, std::less<>> parts;

    /// Null where there is none.
    [[nodiscard]] const safetensors_tensor* find(std::string_view part) const {
      const auto at = parts.find(part);
      return at == parts.end() ? nullptr : at->second;
    }
    /// More than floats under "weight" (and "bias").
    [[nodiscard]] bool is_packed() const {
      const safetensors_tensor* const weight = find("weight");
      return weight == nullptr || !is_plain_float(weight->dtype) ||
             parts.size() > (find("bias") != nullptr ? 2u : 1u);
    }
  };

  /// io_error naming file, and key or tensor, where something is missing, unknown or contradicts
  /// something else.
  [[nodiscard]] static hf_model open(const std::filesystem::path& folder,
                                     file_access access = file_access::map,
                                     safetensors_links links = safetensors_links::follow) {
    const std::filesystem::path path = folder / "config.json";
    const std::string where = printable(path.string(), longest_path);
    for (const char* const name : {"config.json", "generation_config.json", "quantize_config.json",
                                   "quant_config.json", "hf_quant_config.json"})
      detail::io::check_link(folder / name, links);
    const nlohmann::json config = detail::io::read_json(path);
    hf_model model{safetensors_files::open(folder, access, links)};
    model.config_ = read_hf_config(config, where);
    model.quantization_ = read_hf_quantization(config, where, folder);
    model.generation_ = read_hf_generation(folder / "generation_config.json");
    model.sort_tensors();
    model.check_modules();
    return model;
  }

  [[nodiscard]] const hf_config& config() const noexcept { return config_; }
  [[nodiscard]] const hf_generation& generation() const noexcept { return generation_; }
  [[nodiscard]] const hf_quantization& quantization() const noexcept { return quantization_; }
  [[nodiscard]] const safetensors_files& files() const noexcept { return files_; }

  /// Null where there is none, as of a bias that no layer has. With a tied head, `head` is the
  /// embedding; of a file that holds that under the head's name alone, `embedding` is the head.
  [[nodiscard]] const module* find(hf_role role, std::size_t layer = 0) const {
    if (role == hf_role::head && config_.tied_head) role = hf_role::embedding;
    const module* const found = stored(role, layer);
    return found == nullptr && role == hf_role::embedding && config_.tied_head
               ? stored(hf_role::head, layer)
               : found;
  }
  /// The same, or io_error.
  [[nodiscard]] const module& get(hf_role role, std::size_t layer = 0) const {
    const module* const found = find(role, layer);
    if (found == nullptr)
      detail::core::fail_io(printable(files_.name(), longest_path) + " has no tensor " +
                            edgerazor::quoted(name_of({role, layer, "weight"})));
    return *found;
  }
  /// All that are stored, a tied head too, by role and layer.
  [[nodiscard]] const std::map<std::pair<hf_role, std::size_t>, module>& modules() const noexcept {
    return modules_;
  }

  /// Tokens at which to stop: the generation's, else the configuration's.
  [[nodiscard]] std::span<const std::uint32_t> end_tokens() const noexcept {
    return generation_.end_tokens.empty() ? config_.end_tokens : generation_.end_tokens;
  }

 private:
  explicit hf_model(safetensors_files files) : files_(std::move(files)) {}

  [[nodiscard]] static bool is_plain_float(safetensors_dtype dtype) noexcept {
    using enum safetensors_dtype;
    return dtype == f32 || dtype == bf16 || dtype == f16 || dtype == f64;
  }
  [[nodiscard]] const module* stored(hf_role role, std::size_t layer) const {
    const auto at = modules_.find({role, layer});
    return at == modules_.end() ? nullptr : &at->second;
  }
  [[nodiscard]] std::string name_of(const hf_tensor_name& name) const {
    return config_.prefix + hf_name(config_.architecture, name);
  }
  [[noreturn]] void refuse(const safetensors_tensor& tensor, const std::string& sentence) const {
    detail::core::fail_io(printable(files_.name(), longest_path) + ": tensor " +
                          edgerazor::quoted(tensor.name) + ' ' + sentence);
  }

  void sort_tensors() {
    const bool packed = quantization_.method != hf_quant_method::none;
    for (const safetensors_tensor& tensor : files_.tensors()) {
      if (is_ignored_hf_tensor(tensor.name)) continue;
      std::optional<hf_tensor_name> name =
          parse_hf_name(config_.architecture, tensor.name, config_.prefix);
      if (!name || !(hf_has_role(config_, name->role) || name->role == hf_role::head))
        refuse(tensor, "is none that " + config_.architecture_name + " has");
      if (name->in_layer() && name->layer >= config_.layers)
        refuse(tensor, "is of layer " + std::to_string(name->layer) + ", but the model has " +
                           std::to_string(config_.layers));
      if (!packed && name->part != "weight" &&
          (name->part != "bias" || !hf_has_bias(config_, name->role)))
        refuse(tensor, "is none that " + config_.architecture_name + " has by its configuration");
      module& place = modules_[{name->role, name->layer}];
      place.name = tensor.name.substr(0, tensor.name.size() - name->part.size() - 1);
      if (!place.parts.emplace(std::move(name->part), &tensor).second)
        refuse(tensor, "is there under another name too");
    }
  }

  void check_modules() const {
    if (find(hf_role::embedding) == nullptr || find(hf_role::head) == nullptr)
      detail::core::fail_io(
          printable(files_.name(), longest_path) + " has no tensor " +
          edgerazor::quoted(
              name_of({find(hf_role::embedding) == nullptr ? hf_role::embedding : hf_role::head, 0,
                       "weight"})) +
          (config_.tied_head ? "" : ", and 'tie_word_embeddings' is not true"));
    (void)get(hf_role::final_norm);
    for (std::size_t layer = 0; layer < config_.layers; ++layer) {
      for (const auto& row : detail::io::hf_layer_names) {
        if (hf_has_role(config_, row.role)) check_bias(get(row.role, layer), row.role, layer);
      }
    }
    for (const auto& entry : modules_) check_shapes(entry.second, entry.first.first);
  }

  void check_bias(const module& found, hf_role role, std::size_t layer) const {
    if (hf_has_bias(config_, role) && found.find("bias") == nullptr)
      detail::core::fail_io(printable(files_.name(), longest_path) + " has no tensor " +
                            edgerazor::quoted(name_of({role, layer, "bias"})));
  }

  void check_shapes(const module& found, hf_role role) const {
    const std::vector<std::uint64_t> shape = hf_shape(config_, role);
    const safetensors_tensor* const weight = found.find("weight");
    const bool linear = shape.size() == 2;
    if (weight != nullptr && (!linear || is_plain_float(weight->dtype))) check(*weight, shape);
    if (const safetensors_tensor* const bias = found.find("bias")) check(*bias, {shape[0]});
    if (found.is_packed() && !linear)
      detail::core::fail_io(printable(files_.name(), longest_path) + ": " +
                            edgerazor::quoted(found.name) + " is packed, expected floats");
    if (found.is_packed() && quantization_.method == hf_quant_method::none)
      refuse(*found.parts.begin()->second,
             "has dtype " + std::string{info_of(found.parts.begin()->second->dtype).name} +
                 ", but the configuration says nothing of quantization");
  }
  void check(const safetensors_tensor& tensor, const std::vector<std::uint64_t>& shape) const {
    if (tensor.shape == shape) return;
    safetensors_tensor expected;
    expected.shape = shape;
    refuse(tensor,
           "has shape " + tensor.shape_text() + ", by the configuration " + expected.shape_text());
  }

  safetensors_files files_;
  hf_config config_;
  hf_generation generation_;
  hf_quantization quantization_;
  std::map<std::pair<hf_role, std::size_t>, module> modules_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
