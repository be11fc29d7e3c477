// SPDX-License-Identifier: Apache-2.0
/// Which settings of a quantized model hold for which of its layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/io/name_pattern.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Settings of a layer.
struct hf_layer_quantization {
  std::size_t bits = 0;   ///< 0: not said
  std::size_t group = 0;  ///< columns; 0: not said, or all of a row
  std::optional<bool> symmetric;
  bool reordered = false;  ///< GPTQ's desc_act: columns in the order of their importance
  /// gptq: "gptq", "gptq_v2", "gptq_p"; awq: "gemm"; auto-round: "auto_round:auto_gptq" and so on;
  /// compressed-tensors: "pack-quantized" and so on; bitnet: "autobitlinear" or "bitlinear".
  std::string format;
  bool is_float = false;  ///< compressed-tensors: levels are floats
  std::string strategy;   ///< compressed-tensors: "group", "channel", "tensor", ...
  std::size_t block_rows = 0, block_cols = 0;  ///< floats: of a scale; 0: not said
};

/// Settings of some layers, apart from the others'.
struct hf_quantization_rule {
  enum class kind : std::uint8_t {
    all,      ///< every linear layer
    name,     ///< the layer, or everything below the module
    part,     ///< names that contain the text
    pattern,  ///< names that match from their beginning
    glob      ///< the whole name, `*` standing for anything
  };
  kind match = kind::name;
  std::string text;
  bool excluded = false;  ///< these layers are not quantized
  hf_layer_quantization settings;
};

namespace detail::io {

[[nodiscard]] inline bool glob_matches(std::string_view pattern, std::string_view name) noexcept {
  // Greedy, with one place to come back to: the last star.
  std::size_t p = 0, n = 0, star = std::string_view::npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

[[nodiscard]] inline bool rule_matches(const hf_quantization_rule& rule, std::string_view module) {
  using kind = hf_quantization_rule::kind;
  switch (rule.match) {
    case kind::all:
      return true;
    case kind::part:
      return module.find(rule.text) != std::string_view::npos;
    case kind::pattern:
      return name_pattern::compile(rule.text).value().matches(module);
    case kind::glob:
      return glob_matches(rule.text, module);
    case kind::name:
      break;
  }
  return module.starts_with(rule.text) &&
         (module.size() == rule.text.size() || module[rule.text.size()] == '.');
}

[[nodiscard]] inline bool same_settings(const hf_layer_quantization& a,
                                        const hf_layer_quantization& b) {
  return a.bits == b.bits && a.group == b.group && a.symmetric == b.symmetric &&
         a.reordered == b.reordered && a.format == b.format && a.is_float == b.is_float &&
         a.strategy == b.strategy && a.block_rows == b.block_rows && a.block_cols == b.block_cols;
}

/// The settings of a module: none where a rule excludes it, else those of the rule that matches it,
/// a rule that names layers before one for all, else `otherwise`. io_error, after `where`, where
/// two rules of one kind give it different ones.
[[nodiscard]] inline std::optional<hf_layer_quantization> settings_by_rules(
    std::span<const hf_quantization_rule> rules, std::string_view module,
    const std::optional<hf_layer_quantization>& otherwise, const std::string& where) {
  const hf_quantization_rule *found = nullptr, *general = nullptr;
  for (const hf_quantization_rule& rule : rules) {
    if (!rule_matches(rule, module)) continue;
    if (rule.excluded) return std::nullopt;
    const hf_quantization_rule*& place =
        rule.match == hf_quantization_rule::kind::all ? general : found;
    if (place != nullptr && !same_settings(place->settings, rule.settings))
      core::fail_io(where + ": two rules give layer " + edgerazor::quoted(module) +
                    " different settings");
    place = &rule;
  }
  if (found == nullptr) found = general;
  return found != nullptr ? std::optional{found->settings} : otherwise;
}

}  // namespace detail::io
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
