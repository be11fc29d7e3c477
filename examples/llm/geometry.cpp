// SPDX-License-Identifier: Apache-2.0
#include "geometry.hpp"

#include <array>
#include <utility>

#include <edgerazor/core/contract.hpp>

namespace llm {

namespace er = edgerazor;

namespace {

constexpr std::array<std::pair<std::string_view, geometry>, 5> published{{
    {"smollm2-135m",
     {architecture::llama, 30, 576, 1536, 9, 3, 64, 64, 49152, 8192, 100000, 1e-5f, true}},
    {"smollm2-360m",
     {architecture::llama, 32, 960, 2560, 15, 5, 64, 64, 49152, 8192, 100000, 1e-5f, true}},
    {"llama3.2-1b",
     {architecture::llama, 16, 2048, 8192, 32, 8, 64, 64, 128256, 131072, 500000, 1e-5f, true}},
    {"qwen3-0.6b",
     {architecture::qwen3, 28, 1024, 3072, 16, 8, 128, 128, 151936, 40960, 1000000, 1e-6f, true}},
    {"qwen3-1.7b",
     {architecture::qwen3, 28, 2048, 6144, 16, 8, 128, 128, 151936, 40960, 1000000, 1e-6f, true}},
}};

}  // namespace

geometry read_geometry(const er::gguf_reader& file) {
  const std::string name{file.get_string("general.architecture")};
  if (name != "llama" && name != "qwen3") {
    throw er::io_error("the model's architecture is '" + name +
                       "'; this program runs llama and qwen3");
  }
  const auto key = [&name](std::string_view rest) { return name + "." + std::string{rest}; };
  const auto size = [&](std::string_view rest) { return std::size_t{file.get_u32(key(rest))}; };
  const auto size_or = [&](std::string_view rest, std::size_t otherwise) {
    return std::size_t{
        file.optional_u32(key(rest)).value_or(static_cast<std::uint32_t>(otherwise))};
  };

  geometry g;
  g.arch = name == "qwen3" ? architecture::qwen3 : architecture::llama;
  g.layers = size("block_count");
  g.hidden = size("embedding_length");
  g.feed_forward = size("feed_forward_length");
  g.heads = size("attention.head_count");
  g.kv_heads = size_or("attention.head_count_kv", g.heads);
  if (g.layers == 0 || g.hidden == 0 || g.feed_forward == 0 || g.heads == 0 || g.kv_heads == 0) {
    throw er::io_error("the model declares a size of zero");
  }
  g.head_size = size_or("attention.key_length", g.hidden / g.heads);
  g.rope_size = size_or("rope.dimension_count", g.head_size);
  g.context = size("context_length");
  g.rope_base = file.optional_f64(key("rope.freq_base")).value_or(10000);
  g.epsilon = file.get_f32(key("attention.layer_norm_rms_epsilon"));
  const er::metadata_entry* const tokens = file.find_entry("tokenizer.ggml.tokens");
  if (tokens == nullptr) throw er::io_error("the file has no tokenizer ('tokenizer.ggml.tokens')");
  g.vocabulary = tokens->count;
  g.tied_head = file.find("output.weight") == nullptr;

  if (g.heads % g.kv_heads != 0 || g.head_size == 0 || g.rope_size > g.head_size ||
      g.rope_size % 2 != 0) {
    throw er::io_error("the model's heads do not fit together: " + std::to_string(g.heads) +
                       " heads, " + std::to_string(g.kv_heads) + " of them with keys, of " +
                       std::to_string(g.head_size) + " elements, " + std::to_string(g.rope_size) +
                       " of which turn");
  }
  if (size_or("attention.value_length", g.head_size) != g.head_size) {
    throw er::io_error(
        "the model's keys and values differ in size, which this program does not run");
  }
  if (size_or("expert_count", 0) != 0)
    throw er::io_error("the model has experts, which this program does not run");
  const auto scaling = file.optional_string(key("rope.scaling.type"));
  if (scaling && *scaling != "none") {
    throw er::io_error("the model scales its positions ('" + std::string{*scaling} +
                       "'), which this program does not run");
  }
  return g;
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
