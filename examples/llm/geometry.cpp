// SPDX-License-Identifier: Apache-2.0
#include "geometry.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "metadata.hpp"
#include <edgerazor/core/contract.hpp>

namespace llm {

namespace er = edgerazor;

namespace {

constexpr std::array<std::pair<architecture, std::string_view>, 3> architectures{
    {{architecture::llama, "llama"},
     {architecture::qwen2, "qwen2"},
     {architecture::qwen3, "qwen3"}}};

constexpr std::array<std::pair<std::string_view, geometry>, 6> published{{
    {"smollm2-135m",
     {architecture::llama, 30, 576, 1536, 9, 3, 64, 64, 49152, 8192, 100000, 1e-5f, true}},
    {"smollm2-360m",
     {architecture::llama, 32, 960, 2560, 15, 5, 64, 64, 49152, 8192, 100000, 1e-5f, true}},
    {"llama3.2-1b",
     {architecture::llama, 16, 2048, 8192, 32, 8, 64, 64, 128256, 131072, 500000, 1e-5f, true}},
    {"qwen2.5-0.5b",
     {architecture::qwen2, 24, 896, 4864, 14, 2, 64, 64, 151936, 32768, 1000000, 1e-6f, true}},
    {"qwen3-0.6b",
     {architecture::qwen3, 28, 1024, 3072, 16, 8, 128, 128, 151936, 40960, 1000000, 1e-6f, true}},
    {"qwen3-1.7b",
     {architecture::qwen3, 28, 2048, 6144, 16, 8, 128, 128, 151936, 40960, 1000000, 1e-6f, true}},
}};

/// Keys that would change what is computed, and the values at which they change nothing.
constexpr std::array<std::pair<std::string_view, double>, 8> neutral_values{
    {{"rope.scale_linear", 1},
     {"rope.scaling.attn_factor", 1},
     {"logit_scale", 1},
     {"embedding_scale", 1},
     {"residual_scale", 1},
     {"attention.clamp_kqv", 0},
     {"attn_logit_softcapping", 0},
     {"final_logit_softcapping", 0}}};

}  // namespace

std::string_view name_of(architecture arch) {
  return architectures[static_cast<std::size_t>(arch)].second;
}

std::optional<architecture> find_architecture(std::string_view name) {
  for (const auto& [arch, known] : architectures) {
    if (known == name) return arch;
  }
  return std::nullopt;
}

std::string architecture_names() {
  std::string text;
  for (std::size_t i = 0; i < architectures.size(); ++i) {
    if (i != 0) text += i + 1 < architectures.size() ? ", " : " and ";
    text += architectures[i].second;
  }
  return text;
}

geometry read_geometry(const er::gguf_reader& file) {
  const std::string name{file.get_string("general.architecture")};
  const auto arch = find_architecture(name);
  if (!arch) {
    throw er::io_error("the model's architecture is " + er::quoted(name) + "; this program runs " +
                       architecture_names());
  }
  if (file.tensors().empty())
    throw er::io_error("the file has no tensors: it is a vocabulary, or metadata, alone");
  const metadata keys(file, name + ".");

  geometry g;
  g.arch = *arch;
  g.layers = keys.size("block_count", {1, std::max<std::uint64_t>(1, file.tensors().size())});
  g.hidden = keys.size("embedding_length");
  g.feed_forward = keys.size("feed_forward_length");
  g.heads = keys.size("attention.head_count");
  g.kv_heads = keys.optional_size("attention.head_count_kv").value_or(g.heads);
  g.head_size = keys.optional_size("attention.key_length").value_or(g.hidden / g.heads);
  g.rope_size = keys.optional_size("rope.dimension_count").value_or(g.head_size);
  g.context = keys.size("context_length");
  g.rope_base =
      keys.optional_real("rope.freq_base", support::positive_real<double>).value_or(10000);
  g.epsilon = static_cast<float>(keys.real("attention.layer_norm_rms_epsilon", {1e-30, 1}));
  const er::metadata_entry* const tokens = file.find_entry("tokenizer.ggml.tokens");
  if (tokens == nullptr) throw er::io_error("the file has no tokenizer ('tokenizer.ggml.tokens')");
  g.vocabulary = tokens->count;
  g.tied_head = file.find("output.weight") == nullptr;

  require_consistent(g);
  if (keys.optional_size("attention.value_length").value_or(g.head_size) != g.head_size) {
    throw er::io_error(
        "the model's keys and values differ in size, which this program does not run");
  }
  if (keys.optional_size("expert_count", support::not_negative).value_or(0) != 0)
    throw er::io_error("the model has experts, which this program does not run");
  const auto scaling = file.optional_string(name + ".rope.scaling.type");
  if (scaling && *scaling != "none" && *scaling != "linear") {
    throw er::io_error("the model scales its positions (" + er::quoted(*scaling) +
                       "), which this program does not run");
  }
  // A factor without a type is a linear one, as llama.cpp has it.
  if (!scaling || *scaling == "linear") {
    g.rope_factor =
        keys.optional_real("rope.scaling.factor", support::positive_real<double>).value_or(1);
  }
  for (const auto& [key, neutral] : neutral_values) {
    if (scaling && *scaling == "none" && key.starts_with("rope.")) continue;
    constexpr support::number_range<double> any{-std::numeric_limits<double>::max(),
                                                std::numeric_limits<double>::max()};
    const double value = keys.optional_real(key, any).value_or(neutral);
    if (value == neutral) continue;
    throw er::io_error("the model has " + er::quoted(name + "." + std::string{key}) + " = " +
                       support::number_text(value) + ", which this program does not run");
  }
  return g;
}

void require_consistent(const geometry& g) {
  if (g.heads % g.kv_heads != 0 || g.head_size == 0 || g.rope_size > g.head_size ||
      g.rope_size % 2 != 0) {
    throw er::io_error("the model's heads do not fit together: " + std::to_string(g.heads) +
                       " heads, " + std::to_string(g.kv_heads) + " of them with keys, of " +
                       std::to_string(g.head_size) + " elements, " + std::to_string(g.rope_size) +
                       " of which turn");
  }
}

void add_geometry(er::gguf_writer& writer, const geometry& shape) {
  const std::string prefix = std::string{name_of(shape.arch)} + ".";
  const auto size = [&](std::string_view key, std::size_t value) {
    writer.set_u32(prefix + std::string{key}, static_cast<std::uint32_t>(value));
  };
  writer.set_string("general.architecture", name_of(shape.arch));
  size("vocab_size", shape.vocabulary);
  size("block_count", shape.layers);
  size("context_length", shape.context);
  size("embedding_length", shape.hidden);
  size("feed_forward_length", shape.feed_forward);
  size("attention.head_count", shape.heads);
  size("attention.head_count_kv", shape.kv_heads);
  size("attention.key_length", shape.head_size);
  size("attention.value_length", shape.head_size);
  size("rope.dimension_count", shape.rope_size);
  writer.set_f32(prefix + "rope.freq_base", static_cast<float>(shape.rope_base));
  if (shape.rope_factor != 1) {
    writer.set_string(prefix + "rope.scaling.type", "linear");
    writer.set_f32(prefix + "rope.scaling.factor", static_cast<float>(shape.rope_factor));
  }
  writer.set_f32(prefix + "attention.layer_norm_rms_epsilon", shape.epsilon);
}

std::optional<geometry> find_geometry(std::string_view name) {
  for (const auto& [known, shape] : published) {
    if (known == name) return shape;
  }
  return std::nullopt;
}

std::vector<std::string> geometry_names() {
  std::vector<std::string> names;
  for (const auto& entry : published) names.emplace_back(entry.first);
  return names;
}

}  // namespace llm
