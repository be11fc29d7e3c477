// SPDX-License-Identifier: Apache-2.0
/// Recipes: what the paper ships, by name. A recipe says which format each weight of a model gets,
/// and how wide activations and cached keys and values are.
///
///     | name         | linear layers                               | bits per weight           |
///     | w4_a8_kv8    | int4                                        | 4                         |
///     | w2_79_a8_kv8 | rows 0, 2, 4, ... int4, the others ternary  | 2.79 = (4 + 1.58) / 2     |
///     | w1_88_a8_kv8 | rows 0, 8, 16, ... int4, the others ternary | 1.88 = (4 + 7 * 1.58) / 8 |
///     | w1_58_a8_kv8 | ternary                                     | 1.58 = log2(3)            |
///     | w16          | one 16-bit type; activations and cache are not quantized                |
///     | none         | every weight keeps the type it has; likewise                            |
///
/// Scales come on top of these bits. Embeddings and the head are int4 in all four. At 2.79 bits
/// these are the rows that are trained at the higher precision; the packer of EdgeRazor (Python)
/// takes rows r % 8 < 4 instead, see `rows_modulo`.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/policy/granularity.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// True where the text is the pattern, in which each `*` stands for any run of characters, none
/// included.
[[nodiscard]] constexpr bool matches_pattern(std::string_view pattern,
                                             std::string_view text) noexcept {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;  // the last star takes one character more
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}
}  // namespace detail::policy

/// Which format each weight gets. A format is named by the grammar of packed formats: "int4_g64",
/// "ternary2_g256", "int4_g64+ternary2_g64:every_8_rows", "f16"; the empty name means that the
/// weight keeps the type it has.
struct recipe {
  struct rule {
    std::string pattern;
    std::string format;
  };

  std::string name{};
  std::vector<rule> rules{};         ///< the last rule whose pattern matches decides
  int activation_bits = 0;           ///< 0: not quantized
  std::size_t activation_group = 0;  ///< columns that share a scale
  int kv_bits = 0;                   ///< cached keys and values; 0: not quantized
  std::size_t kv_group = 0;

  /// The format of a weight by its name in a checkpoint ("model.layers.0.mlp.up_proj.weight") or a
  /// GGUF file ("blk.0.ffn_up.weight"). Empty where no rule matches, and for norms and biases:
  /// those keep their type.
  [[nodiscard]] std::string_view weight_format(std::string_view layer) const noexcept {
    std::string_view format;
    for (const rule& candidate : rules)
      if (detail::policy::matches_pattern(candidate.pattern, layer)) format = candidate.format;
    return format;
  }

  /// Adds a rule that overrides all before it: `recipe.set("*down_proj*", "int4_g64")`.
  recipe& set(std::string pattern, std::string format) {
    rules.push_back({std::move(pattern), std::move(format)});
    return *this;
  }
};

/// What a named recipe leaves open.
struct recipe_options {
  column_group group = 256;          ///< columns per scale: 256 for Qwen3, 64 for MobileLLM
  column_group kv_group = 128;       ///< 128 for Qwen3, 64 for MobileLLM
  std::string ternary = "ternary2";  ///< or "ternary3", "ternary5": see docs/kernels.md
  std::string dense = "f16";         ///< the type that `w16` means, "bf16" or "f16"
};

inline constexpr std::array<std::string_view, 6> recipe_names{
    "none", "w16", "w4_a8_kv8", "w2_79_a8_kv8", "w1_88_a8_kv8", "w1_58_a8_kv8"};

/// The recipe of that name, or nothing. Fails where an option has no meaning (naming it).
[[nodiscard]] inline std::optional<recipe> find_recipe(std::string_view name,
                                                       const recipe_options& options = {}) {
  if (options.group.columns == 0 || options.kv_group.columns == 0)
    detail::core::fail("recipe: groups of 0 columns");
  if (options.group.columns % 4 != 0 || options.group.columns > 65536) {
    detail::core::fail("recipe: groups of " + std::to_string(options.group.columns) +
                       " columns, expected a multiple of 4 of at most 65536");
  }
  if (options.ternary != "ternary2" && options.ternary != "ternary3" &&
      options.ternary != "ternary5") {
    detail::core::fail("recipe: ternary storage \"" + options.ternary +
                       "\", expected ternary2, ternary3 or ternary5");
  }
  if (options.dense != "f16" && options.dense != "bf16") {
    detail::core::fail("recipe: 16-bit type \"" + options.dense + "\", expected f16 or bf16");
  }
  const std::string suffix = "_g" + std::to_string(options.group.columns);
  const std::string int4 = "int4" + suffix, ternary = options.ternary + suffix;

  std::string linear;
  if (name == "w16") linear = options.dense;
  if (name == "w4_a8_kv8") linear = int4;
  if (name == "w2_79_a8_kv8") linear = int4 + "+" + ternary + ":every_2_rows";
  if (name == "w1_88_a8_kv8") linear = int4 + "+" + ternary + ":every_8_rows";
  if (name == "w1_58_a8_kv8") linear = ternary;
  if (linear.empty() && name != "none") return std::nullopt;

  recipe result{.name = std::string{name}};
  if (linear.empty()) return result;
  result.set("*", linear);
  if (name != "w16") {
    // The names of embeddings and head in checkpoints, then in GGUF files, where "*output*" is the
    // attention's too.
    for (const char* pattern :
         {"*embed_tokens*", "*lm_head*", "token_embd*", "output", "output.weight"})
      result.set(pattern, int4);
    result.activation_bits = result.kv_bits = 8;
    result.activation_group = options.group.columns;
    result.kv_group = options.kv_group.columns;
  }
  result.set("*norm*", "").set("*bias", "");
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
