// SPDX-License-Identifier: Apache-2.0
#include "parameters.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>

namespace qad {

void require_valid(const shape& s) {
  for (const std::size_t size : {s.vocabulary, s.hidden, s.layers, s.heads, s.kv_heads, s.head_size,
                                 s.feed_forward, s.context}) {
    if (size == 0) throw std::invalid_argument("decoder: a size of its shape is zero");
    // So that no product of three, and no sum of those, wraps.
    if (size > 1u << 20)
      throw std::invalid_argument("decoder: a size of its shape is " + std::to_string(size) +
                                  ", expected at most 1048576");
  }
  if (s.heads % s.kv_heads != 0 || s.head_size % 2 != 0 || s.rope_size % 2 != 0 ||
      s.rope_size > s.head_size) {
    throw std::invalid_argument("decoder: " + std::to_string(s.heads) + " heads, " +
                                std::to_string(s.kv_heads) + " with keys, of " +
                                std::to_string(s.head_size) + " elements, " +
                                std::to_string(2 * s.rope_pairs()) +
                                " of which turn; expected a multiple, and even numbers");
  }
}

std::vector<weight_entry> weight_layout(const shape& s) {
  require_valid(s);
  std::vector<weight_entry> entries;
  std::size_t offset = 0;
  const auto add = [&](std::string name, std::size_t rows, std::size_t cols) {
    entries.push_back({std::move(name), rows, cols, offset});
    offset += rows * cols;
  };
  add("token_embd.weight", s.vocabulary, s.hidden);
  for (std::size_t i = 0; i < s.layers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    add(block + "attn_norm.weight", 1, s.hidden);
    add(block + "attn_q.weight", s.query_size(), s.hidden);
    add(block + "attn_k.weight", s.kv_size(), s.hidden);
    add(block + "attn_v.weight", s.kv_size(), s.hidden);
    if (s.biases) {
      add(block + "attn_q.bias", 1, s.query_size());
      add(block + "attn_k.bias", 1, s.kv_size());
      add(block + "attn_v.bias", 1, s.kv_size());
    }
    if (s.has_head_norms()) {
      add(block + "attn_q_norm.weight", 1, s.head_size);
      add(block + "attn_k_norm.weight", 1, s.head_size);
    }
    add(block + "attn_output.weight", s.hidden, s.query_size());
    add(block + "ffn_norm.weight", 1, s.hidden);
    add(block + "ffn_gate.weight", s.feed_forward, s.hidden);
    add(block + "ffn_up.weight", s.feed_forward, s.hidden);
    add(block + "ffn_down.weight", s.hidden, s.feed_forward);
    for (const beside_entry& e : s.beside) add(block + e.name, 1, e.size);
  }
  add("output_norm.weight", 1, s.hidden);
  if (!s.tied_head) add("output.weight", s.vocabulary, s.hidden);
  if (s.rope_divisors) add("rope_freqs.weight", 1, s.rope_pairs());
  return entries;
}

std::size_t block_offset(const shape& s, std::size_t i) noexcept {
  const std::size_t vectors =
      2 * s.hidden + (s.biases ? s.qkv_size() : 0) + (s.has_head_norms() ? 2 * s.head_size : 0);
  std::size_t block = vectors + s.hidden * (s.qkv_size() + s.query_size() + 3 * s.feed_forward);
  for (const beside_entry& e : s.beside) block += e.size;
  return s.vocabulary * s.hidden + i * block;
}

const weight_entry& find_weight(std::span<const weight_entry> entries, std::string_view name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const weight_entry& e) { return e.name == name; });
  if (found == entries.end())
    throw std::invalid_argument("decoder: no weight is called " + er::quoted(name));
  return *found;
}

namespace {

/// Number `index` of the sequence that `seed` starts: splitmix64 (doi 10.1145/2714064.2660195).
std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool writes_to_stream(const weight_entry& e) {
  return e.name.ends_with("attn_output.weight") || e.name.ends_with("ffn_down.weight");
}

}  // namespace

template <class Scalar>
void basic_parameters<Scalar>::initialise(std::uint64_t seed) {
  const std::uint64_t stream = random_bits(seed, 0);  // neighbouring seeds share no numbers
  for (const entry& e : entries_) {
    const std::span<Scalar> weights = values().subspan(e.offset, e.size());
    if (e.is_vector()) {
      std::fill(weights.begin(), weights.end(), Scalar(e.name.ends_with(".bias") ? 0 : 1));
      continue;
    }
    double deviation = e.offset == 0 ? 0.02 : 1 / std::sqrt(static_cast<double>(e.cols));
    if (writes_to_stream(e)) deviation /= std::sqrt(2.0 * static_cast<double>(shape_.layers));
    const double bound = std::sqrt(3.0) * deviation;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double unit = static_cast<double>(random_bits(stream, e.offset + i) >> 11) * 0x1p-53;
      weights[i] = static_cast<Scalar>(bound * (2 * unit - 1));
    }
  }
}

template class basic_parameters<float>;
template class basic_parameters<double>;

}  // namespace qad
