// SPDX-License-Identifier: Apache-2.0
/// Trained models as GGUF files that examples/llm runs.
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "layer_form.hpp"
#include "llm/tokenizer.hpp"
#include "parameters.hpp"
#include "quantization.hpp"

namespace qad {

/// The names of recipes that a user may give: a recipe's, or its first part ("w1_88" for
/// "w1_88_a8_kv8"), "none" for float weights, and "int3" and "int2", which exist for comparison and
/// can't be packed. Fails on another name, naming them all.
std::string recipe_name(std::string_view name);

/// Bytes of the matrices as they are stored, without the vectors.
struct storage {
  std::size_t linear_weights = 0, linear_bytes = 0;        ///< of the blocks
  std::size_t embedding_weights = 0, embedding_bytes = 0;  ///< and of a head of its own

  [[nodiscard]] std::size_t bytes() const noexcept { return linear_bytes + embedding_bytes; }
  [[nodiscard]] double linear_bits() const noexcept {
    return 8 * static_cast<double>(linear_bytes) / static_cast<double>(linear_weights);
  }
};

/// Storage under a recipe: packed in groups of so many columns, ternary codes at 1.6 bits. "none"
/// is stored as float16. Of int3 and int2, which nothing packs, what codes and scales would take.
storage storage_of(const shape& s, std::string_view recipe, std::size_t group = group_columns);

/// The format of a weight under a recipe, ternary codes at 1.6 bits.
er::matrix_format storage_format(const shape& s, std::string_view recipe, const std::string& weight,
                                 std::size_t group);

/// Writes a student of a form of its own: matrices as the form stores them, the rest in float;
/// `recipe` is noted as the model's. As below; throws std::invalid_argument, saying why, where no
/// format holds them.
std::size_t export_model(const parameters& master, const layer_form& form, std::string_view recipe,
                         const llm::vocabulary& words, std::string_view title,
                         const std::filesystem::path& output);

/// Writes the model: every matrix packed from its float weights by the rule
/// it was trained under, so that levels and scales are the ones of the last step's forward pass.
/// "none": float16 matrices. `title` becomes general.name. Returns the file's size. Throws
/// edgerazor::io_error where it can't be written, and std::invalid_argument for int3 and int2.
std::size_t export_model(const parameters& master, std::string_view recipe,
                         const llm::vocabulary& words, std::string_view title,
                         const std::filesystem::path& output, std::size_t group = group_columns);

}  // namespace qad
