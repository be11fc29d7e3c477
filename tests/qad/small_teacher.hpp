// SPDX-License-Identifier: Apache-2.0
/// A model of random weights over bytes that talks in ChatML. Tests only.
#pragma once

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "llm/conversations.hpp"
#include "llm/tokenizer_gguf.hpp"
#include <edgerazor/io/gguf_writer.hpp>

/// Some 30,000 weights in F32, the same everywhere; the end of a message is one of its likelier
/// tokens.
inline void write_small_teacher(const std::filesystem::path& path) {
  namespace er = edgerazor;
  static constexpr std::size_t hidden = 32, layers = 2, heads = 4, kv_heads = 2, head_size = 8,
                               feed_forward = 48;
  llm::vocabulary words = byte_vocabulary("");
  words.eos = 257;
  const std::size_t tokens = words.tokens.size();
  er::gguf_writer writer;
  writer.set_string("general.architecture", "llama");
  writer.set_u32("llama.block_count", layers);
  writer.set_u32("llama.context_length", 512);
  writer.set_u32("llama.embedding_length", hidden);
  writer.set_u32("llama.feed_forward_length", feed_forward);
  writer.set_u32("llama.attention.head_count", heads);
  writer.set_u32("llama.attention.head_count_kv", kv_heads);
  writer.set_u32("llama.rope.dimension_count", head_size);
  writer.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  llm::write_vocabulary(writer, words);
  std::mt19937_64 random(14);
  const auto add = [&](const std::string& name, std::size_t rows, std::size_t cols, float size) {
    std::vector<float> values(rows * cols);
    for (float& x : values) x = size * (static_cast<float>(random() >> 40) * 0x1p-23f - 1.0f);
    if (name == "output.weight") {  // the last row is the end's
      for (float& x : std::span{values}.last(cols)) x *= 1.6f;
    }
    writer.add_tensor(name, er::ggml_type::f32, {cols, rows},
                      [values = std::move(values)](er::tensor_sink& sink) {
                        sink.write(std::as_bytes(std::span{values}));
                      });
  };
  const auto add_ones = [&](const std::string& name) {
    writer.add_tensor(name, er::ggml_type::f32, {hidden}, [](er::tensor_sink& sink) {
      const std::vector<float> ones(hidden, 1.0f);
      sink.write(std::as_bytes(std::span{ones}));
    });
  };
  const float size = std::sqrt(3.0f / hidden);
  add("token_embd.weight", tokens, hidden, 1);
  add("output.weight", tokens, hidden, 2 * size);
  add_ones("output_norm.weight");
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    add_ones(block + "attn_norm.weight");
    add(block + "attn_q.weight", heads * head_size, hidden, 2 * size);
    add(block + "attn_k.weight", kv_heads * head_size, hidden, 2 * size);
    add(block + "attn_v.weight", kv_heads * head_size, hidden, size);
    add(block + "attn_output.weight", hidden, heads * head_size, size);
    add_ones(block + "ffn_norm.weight");
    add(block + "ffn_gate.weight", feed_forward, hidden, size);
    add(block + "ffn_up.weight", feed_forward, hidden, size);
    add(block + "ffn_down.weight", hidden, feed_forward, size);
  }
  writer.write(path);
}
