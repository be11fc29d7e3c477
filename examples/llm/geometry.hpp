// SPDX-License-Identifier: Apache-2.0
/// The shape of a decoder: what a file's metadata, or a name, says before any weight is read.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <edgerazor/io/gguf_reader.hpp>

namespace llm {

enum class architecture { llama, qwen3 };

/// Llama: neighbouring pairs turn, no q/k norm. Qwen3: halves turn, each head's query and key are
/// normalised first.
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
  float epsilon = 1e-5f;  ///< of RMSNorm
  bool tied_head = true;  ///< the embedding is the head too

  [[nodiscard]] std::size_t query_size() const noexcept { return heads * head_size; }
  [[nodiscard]] std::size_t kv_size() const noexcept { return kv_heads * head_size; }
};

/// The geometry that a GGUF file declares. Throws edgerazor::io_error on an architecture other than
/// `llama` and `qwen3`, on a part of a split model, on features of theirs that this program lacks
/// (experts, scaled positions), on numbers that are none, and on sizes that contradict each other.
geometry read_geometry(const edgerazor::gguf_reader& file);

/// Geometries of published models, for measurements without a file.
std::optional<geometry> find_geometry(std::string_view name);
std::vector<std::string> geometry_names();

}  // namespace llm
