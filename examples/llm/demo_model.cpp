// SPDX-License-Identifier: Apache-2.0
#include "demo_model.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "default_text.hpp"
#include "tokenizer.hpp"
#include "tokenizer_gguf.hpp"
#include "utf8.hpp"
#include <edgerazor/core/float16.hpp>
#include <edgerazor/io/gguf_writer.hpp>

namespace llm {

namespace er = edgerazor;

namespace {

constexpr std::size_t layers = 2, head_size = 64;
constexpr std::size_t vocabulary_size = 1024;
constexpr std::string_view end_of_text = "<|endoftext|>";

/// Byte-pair encoding learned from `text`: the most frequent pair of neighbours merges, the first
/// in order of equals, until the vocabulary is full. The last token is the end of text.
vocabulary learn_vocabulary(std::string_view text) {
  vocabulary data;
  for (const std::uint32_t code : byte_alphabet()) append_utf8(data.tokens.emplace_back(), code);

  std::map<std::vector<std::size_t>, std::size_t>
      words;  // tokens of a word, and how often it occurs
  for (const std::string_view word : split_words(data.words, text)) {
    std::vector<std::size_t> symbols;
    for (const char c : word) symbols.push_back(static_cast<unsigned char>(c));
    ++words[symbols];
  }
  while (data.tokens.size() + 1 < vocabulary_size) {
    std::map<std::pair<std::size_t, std::size_t>, std::size_t> pairs;
    for (const auto& [symbols, count] : words) {
      for (std::size_t i = 1; i < symbols.size(); ++i) pairs[{symbols[i - 1], symbols[i]}] += count;
    }
    auto best = pairs.begin();
    for (auto at = pairs.begin(); at != pairs.end(); ++at) {
      if (at->second > best->second) best = at;
    }
    if (best == pairs.end()) break;
    const auto [left, right] = best->first;
    const std::size_t merged = data.tokens.size();
    data.merges.push_back(data.tokens[left] + " " + data.tokens[right]);
    data.tokens.push_back(data.tokens[left] + data.tokens[right]);

    std::map<std::vector<std::size_t>, std::size_t> shorter;
    for (const auto& [symbols, count] : words) {
      std::vector<std::size_t> result;
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        const bool here = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        result.push_back(here ? merged : symbols[i]);
        i += here ? 1 : 0;
      }
      shorter[result] += count;
    }
    words = std::move(shorter);
  }
  data.types.assign(data.tokens.size(), vocabulary::normal);
  data.tokens.emplace_back(end_of_text);
  data.types.push_back(vocabulary::control);
  data.eos = static_cast<token_id>(data.tokens.size() - 1);
  return data;
}

/// Numbers in [-1, 1), the same everywhere.
class random_numbers {
 public:
  float operator()() { return static_cast<float>(random_() >> 40) * 0x1p-23f - 1.0f; }
  std::vector<float> matrix(std::size_t rows, std::size_t cols, float size) {
    std::vector<float> values(rows * cols);
    for (float& v : values) v = size * (*this)();
    return values;
  }

 private:
  std::mt19937_64 random_{2605};
};

/// head_j = sum over the tokens i seen before j of ln(p(j | i) / floor) e_i / hidden. Embeddings e
/// of random signs are nearly orthogonal, so head_j . e_i is near ln(p(j | i) / floor) for the
/// pairs seen, and near 0 for all others.
std::vector<float> bigram_head(const std::vector<token_id>& text,
                               const std::vector<float>& embedding, std::size_t tokens) {
  constexpr double floor = 1e-4;
  const std::size_t hidden = embedding.size() / tokens;
  std::vector<double> frequency(tokens);
  std::map<std::pair<token_id, token_id>, double> pairs;
  for (std::size_t i = 1; i < text.size(); ++i) {
    frequency[static_cast<std::size_t>(text[i - 1])] += 1;
    pairs[{text[i - 1], text[i]}] += 1;
  }
  std::vector<float> head(tokens * hidden);
  for (const auto& [pair, count] : pairs) {
    const std::size_t i = static_cast<std::size_t>(pair.first),
                      j = static_cast<std::size_t>(pair.second);
    const float weight =
        static_cast<float>(std::log(count / frequency[i] / floor) / static_cast<double>(hidden));
    for (std::size_t c = 0; c < hidden; ++c)
      head[j * hidden + c] += weight * embedding[i * hidden + c];
  }
  return head;
}

void add_f16(er::gguf_writer& writer, const std::string& name, std::size_t rows, std::size_t cols,
             std::vector<float> values) {
  writer.add_tensor(name, er::ggml_type::f16, {cols, rows},
                    [values = std::move(values)](er::tensor_sink& sink) {
                      std::vector<er::float16> halves;
                      for (const float v : values) halves.emplace_back(v);
                      sink.write(std::as_bytes(std::span{halves}));
                    });
}

void add_ones(er::gguf_writer& writer, const std::string& name, std::size_t count) {
  writer.add_tensor(name, er::ggml_type::f32, {count}, [count](er::tensor_sink& sink) {
    const std::vector<float> ones(count, 1.0f);
    sink.write(std::as_bytes(std::span{ones}));
  });
}

}  // namespace

void make_demo_model(const std::filesystem::path& output, std::size_t hidden) {
  const std::size_t feed_forward = hidden, heads = hidden / head_size, kv_heads = heads / 2;
  vocabulary data = learn_vocabulary(default_text);
  const std::size_t tokens = data.tokens.size();

  er::gguf_writer writer;
  writer.set_string("general.architecture", "llama");
  writer.set_string("general.name", "made on the spot, untrained");
  writer.set_u32("llama.block_count", layers);
  writer.set_u32("llama.context_length", 2048);
  writer.set_u32("llama.embedding_length", static_cast<std::uint32_t>(hidden));
  writer.set_u32("llama.feed_forward_length", static_cast<std::uint32_t>(feed_forward));
  writer.set_u32("llama.attention.head_count", static_cast<std::uint32_t>(heads));
  writer.set_u32("llama.attention.head_count_kv", static_cast<std::uint32_t>(kv_heads));
  writer.set_u32("llama.rope.dimension_count", head_size);
  writer.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  write_vocabulary(writer, data);

  random_numbers random;
  std::vector<float> embedding = random.matrix(tokens, hidden, 1.0f);
  for (float& v : embedding) v = v < 0 ? -1.0f : 1.0f;
  const tokenizer words{std::move(data)};
  const std::vector<token_id> text = words.encode(default_text, tokenizer::markup::plain);
  add_f16(writer, "output.weight", tokens, hidden, bigram_head(text, embedding, tokens));
  add_f16(writer, "token_embd.weight", tokens, hidden, std::move(embedding));
  add_ones(writer, "output_norm.weight", hidden);
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    const float size = std::sqrt(3.0f / static_cast<float>(hidden)),
                weak = 0.1f * size;  // variance 1 / columns; a hundredth of it
    add_ones(writer, block + "attn_norm.weight", hidden);
    add_f16(writer, block + "attn_q.weight", heads * head_size, hidden,
            random.matrix(heads * head_size, hidden, size));
    add_f16(writer, block + "attn_k.weight", kv_heads * head_size, hidden,
            random.matrix(kv_heads * head_size, hidden, size));
    add_f16(writer, block + "attn_v.weight", kv_heads * head_size, hidden,
            random.matrix(kv_heads * head_size, hidden, size));
    add_f16(writer, block + "attn_output.weight", hidden, heads * head_size,
            random.matrix(hidden, heads * head_size, weak));
    add_ones(writer, block + "ffn_norm.weight", hidden);
    add_f16(writer, block + "ffn_gate.weight", feed_forward, hidden,
            random.matrix(feed_forward, hidden, size));
    add_f16(writer, block + "ffn_up.weight", feed_forward, hidden,
            random.matrix(feed_forward, hidden, size));
    add_f16(writer, block + "ffn_down.weight", hidden, feed_forward,
            random.matrix(hidden, feed_forward, weak));
  }
  writer.write(output);
}

}  // namespace llm
