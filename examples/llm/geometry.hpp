// SPDX-License-Identifier: Apache-2.0
/// The shape of a decoder: what a file's metadata, or a name, says before any weight is read.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <edgerazor/io/gguf_reader.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace llm {

/// By the order of rows in a GGUF file, neighbouring pairs of a llama's head turn, and halves of
/// the others'. Qwen2 has biases of query, key and value; Qwen3 normalises each head's query and
/// key before they turn.
enum class architecture { llama, qwen2, qwen3 };

/// As GGUF and Hugging Face's `model_type` have it.
std::string_view name_of(architecture arch);
std::optional<architecture> find_architecture(std::string_view name);
/// "llama, qwen2 and qwen3": for messages.
std::string architecture_names();

struct geometry {
  architecture arch = architecture::llama;
  std::size_t layers = 0;
  std::size_t hidden = 0;
  std::size_t feed_forward = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  ///< divides `heads`: each serves heads / kv_heads query heads
  std::size_t head_size = 0;
  std::size_t rope_size = 0;  ///< leading elements of a head that turn
  std::size_t vocabulary = 0;
  std::size_t context = 0;  ///< positions the model was made for
  double rope_base = 10000;
  float epsilon = 1e-5f;   ///< of RMSNorm
  bool tied_head = true;   ///< the embedding is the head too
  double rope_factor = 1;  ///< positions are divided by it: linear scaling

  [[nodiscard]] std::size_t query_size() const noexcept { return heads * head_size; }
  [[nodiscard]] std::size_t kv_size() const noexcept { return kv_heads * head_size; }
};

/// The geometry that a GGUF file declares. Throws edgerazor::io_error on an architecture that is
/// not listed above, on a part of a split model, on features of theirs that this program lacks
/// (experts, positions scaled other than linearly), on numbers that are none, and on sizes that
/// contradict each other.
geometry read_geometry(const edgerazor::gguf_reader& file);

/// Throws edgerazor::io_error where sizes contradict each other.
void require_consistent(const geometry& shape);

/// The keys that read_geometry reads, and `general.architecture`.
void add_geometry(edgerazor::gguf_writer& writer, const geometry& shape);

/// Geometries of published models, for measurements without a file.
std::optional<geometry> find_geometry(std::string_view name);
std::vector<std::string> geometry_names();

}  // namespace llm
