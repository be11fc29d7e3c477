// SPDX-License-Identifier: Apache-2.0
/// A decoder's weights in memory, whatever their formats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "checkpoint.hpp"
#include "geometry.hpp"
#include "math.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"
#include "weight_source.hpp"
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/policy/recipe.hpp>

namespace llm {

/// y = W x + b; `bias` may be empty.
struct linear {
  er::any_matrix weights;
  std::vector<float> bias;
};

struct layer {
  std::vector<float> attention_norm, query_norm, key_norm,
      ffn_norm;  ///< query_norm, key_norm: empty but for Qwen3
  linear query, key, value, output, gate, up, down;

  [[nodiscard]] std::array<const er::any_matrix*, 7> matrices() const noexcept {
    return {&query.weights, &key.weights, &value.weights, &output.weights,
            &gate.weights,  &up.weights,  &down.weights};
  }
};

/// Linear layers, or all matrices, added up.
struct weight_count {
  std::size_t weights = 0, bytes = 0;
  [[nodiscard]] double bits_per_weight() const {
    return weights == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

struct model {
  geometry shape;
  er::any_matrix embedding;                ///< vocabulary x hidden
  std::optional<er::any_matrix> own_head;  ///< where the embedding is not the head
  std::vector<float> output_norm;
  std::vector<layer> layers;
  rope positions;
  bool quantized_cache = false;            ///< keys and values as int8
  std::shared_ptr<const checkpoint> file;  ///< some matrices are bytes of it; null without a file

  /// Columns of a cached key or value that share a scale: at most 128, as the paper has it.
  [[nodiscard]] std::uint32_t cache_group() const noexcept {
    return shape.head_size > 128 ? 128 : 0;
  }
  [[nodiscard]] const er::any_matrix& head() const noexcept {
    return own_head ? *own_head : embedding;
  }
  /// The matrices of the layers: without embedding and head.
  [[nodiscard]] weight_count linear_layers() const;
  /// Bytes of all matrices.
  [[nodiscard]] std::size_t weight_bytes() const;
  /// Bytes that decoding one token reads: every matrix once, of the embedding one row where it is
  /// not the head.
  [[nodiscard]] std::size_t bytes_per_token() const;
};

/// Asks `source` for every weight of a decoder of that shape.
model build_model(const geometry& shape, weight_source& source);

/// A recipe by its name, the paper's ("w1_58_a8_kv8") or its first part ("w1_58"); besides them
/// "f32", "f16" and "bf16" give every matrix that type, and "none" leaves each its own. Throws
/// std::invalid_argument, naming them all.
er::recipe recipe_by_name(std::string_view name, const er::recipe_options& options);

/// Columns a scale where the user names none: 256, or 64 where some matrix has columns that 256
/// does not divide (SmolLM2-135M has 576), as the paper does for MobileLLM.
std::size_t default_group(const geometry& shape);

/// Throws edgerazor::io_error where the file lacks a tensor that a model of this shape needs, or
/// has one of another shape, of a type that is not decoded, or that this program does not know.
/// Reads norms and biases alone.
void require_complete(const checkpoint& file, const geometry& shape);

/// An open model file: what it says of itself. Weights are read by `load`.
struct model_file {
  explicit model_file(const std::filesystem::path& path);

  /// The model, its matrices as `how` says; under the recipe "none" they stay in the mapped file
  /// where that is possible, and what others have quantized keeps its codes.
  [[nodiscard]] model load(const er::recipe& how, thread_pool& threads,
                           file_weights::reading mode = file_weights::reading::as_it_is) const;
  [[nodiscard]] tokenizer read_tokenizer() const;
  /// See above.
  void require_complete() const { llm::require_complete(*source, shape); }
  /// Matrices are quantized and packed: no recipe fits any more.
  [[nodiscard]] bool is_packed() const;

  std::shared_ptr<const checkpoint> source;
  geometry shape;
};

}  // namespace llm
