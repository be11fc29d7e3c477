#include "decoder.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/kernel/gemm.hpp>
#include <edgerazor/kernel/quantize_activations.hpp>
#include <edgerazor/kernel/row_lookup.hpp>

namespace llm {

namespace {

/// Grains of a job over the tokens of a batch: enough to keep threads busy, each of several tokens.
constexpr std::size_t token_grain = 8;

std::size_t divide_up(std::size_t a, std::size_t b) {
  return (a + b - 1) / b;
}

/// Rows of a matrix to which a thread's share is rounded: whole tiles; in a mixed matrix of every nth row whole tiles
/// of both precisions.
std::size_t share_of_rows(const er::any_matrix& w) {
  return er::tile_rows * std::max<std::size_t>(1, w.fmt().map.n);
}

/// Shares of a matrix's rows. A share takes some 20 microseconds or more for one token, against less than one to hand
/// it out, and there are several for each thread, so that a slow one does not keep the others waiting.
std::size_t shares(const er::any_matrix& w, std::size_t threads) {
  constexpr std::size_t least_bytes = 32 * 1024;
  if (threads == 1) return 1;
  const std::size_t most = std::min(divide_up(w.rows(), share_of_rows(w)), 4 * threads);
  return std::clamp<std::size_t>(w.bytes().size() / least_bytes, 1, most);
}

er::row_range share(const er::any_matrix& w, std::size_t parts, std::size_t index) {
  const std::size_t unit = share_of_rows(w), units = divide_up(w.rows(), unit);
  return {std::min(w.rows(), units * index / parts * unit), std::min(w.rows(), units * (index + 1) / parts * unit)};
}

}  // namespace

decoder::decoder(const model& weights, thread_pool& threads, std::size_t max_positions, const er::kernel& k)
    : model_(weights), threads_(threads), kernel_(k), max_positions_(max_positions) {
  const geometry& shape = weights.shape;
  caches_.reserve(shape.layers);
  for (std::size_t i = 0; i < shape.layers; ++i) {
    if (weights.quantized_cache) {
      caches_.emplace_back(std::in_place_type<er::kv_cache>, shape.kv_heads, shape.head_size, max_positions);
    } else {
      caches_.emplace_back(std::in_place_type<float_cache>, shape.kv_heads, shape.head_size, max_positions);
    }
  }
}

std::size_t decoder::cache_bytes() const {
  std::size_t sum = 0;
  for (const layer_cache& cache : caches_) sum += std::visit([](const auto& c) { return c.bytes(); }, cache);
  return sum;
}

void decoder::truncate(std::size_t size) {
  size_ = std::min(size_, size);
  for (layer_cache& cache : caches_) std::visit([size](auto& c) { c.truncate(size); }, cache);
}

/// The first `tokens` rows of a working buffer, which grows to the largest number ever needed: decoding without a long
/// prompt takes one row of each.
er::matrix_view<float> decoder::rows(std::vector<float>& buffer, std::size_t tokens, std::size_t cols) {
  if (buffer.size() < tokens * cols) buffer.resize(tokens * cols);
  return {buffer.data(), tokens, cols};
}

er::activation_view decoder::quantized(er::matrix_view<const float> in, std::size_t group_cols) {
  er::packed_activations& room = activations_[{in.cols, group_cols}];
  if (room.max_tokens() < in.rows) room = er::packed_activations(in.cols, group_cols, in.rows);
  return er::quantize_activations(in, room, er::activation_scales::of_groups, kernel_);
}

void decoder::multiply(er::matrix_view<const float> in, std::span<const product> products) {
  std::array<er::activation_view, 3> activations;
  std::array<std::size_t, 3> parts{};
  std::size_t grains = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    const er::any_matrix& w = *products[i].weights;
    const bool shared =
        i > 0 && !products[0].weights->is_dense() && products[0].weights->group_cols() == w.group_cols();
    if (!w.is_dense()) activations[i] = shared ? activations[0] : quantized(in, w.group_cols());
    grains += parts[i] = shares(w, threads_.size());
  }
  threads_.run(grains, [&](std::size_t grain) {
    std::size_t i = 0;
    for (; grain >= parts[i]; ++i) grain -= parts[i];
    const product& p = products[i];
    const er::row_range range = share(*p.weights, parts[i], grain);
    if (p.weights->is_dense()) {
      er::gemm(*p.weights, er::unquantized{in}, p.out, range, kernel_);
    } else {
      er::gemm(*p.weights, activations[i], p.out, range, kernel_);
    }
    if (p.bias == nullptr || p.bias->empty()) return;
    for (std::size_t t = 0; t < p.out.rows; ++t) {
      for (std::size_t r = range.begin; r < range.end; ++r) p.out.row(t)[r] += (*p.bias)[r];
    }
  });
}

/// normed_ = rms_norm(stream_).
void decoder::normalise(const std::vector<float>& weight, std::size_t tokens) {
  const auto in = rows(stream_, tokens, model_.shape.hidden), out = rows(normed_, tokens, model_.shape.hidden);
  threads_.run(divide_up(tokens, token_grain), [&](std::size_t grain) {
    for (std::size_t t = grain * token_grain; t < std::min(tokens, (grain + 1) * token_grain); ++t) {
      rms_norm(in.row(t), weight, model_.shape.epsilon, out.row(t));
    }
  });
}

/// stream_ += sum_.
void decoder::add_to_stream(std::size_t tokens) {
  for (std::size_t i = 0; i < tokens * model_.shape.hidden; ++i) stream_[i] += sum_[i];
}

void decoder::attention(const layer& weights, layer_cache& cache, std::size_t tokens) {
  const geometry& shape = model_.shape;
  const auto q = rows(query_, tokens, shape.query_size()), mixed = rows(mixed_, tokens, shape.query_size());
  const auto k = rows(key_, tokens, shape.kv_size()), v = rows(value_, tokens, shape.kv_size());
  const auto tables = rows(turns_, tokens, model_.positions.table_size());

  normalise(weights.attention_norm, tokens);
  const std::array projections{product{&weights.query.weights, &weights.query.bias, q},
                               product{&weights.key.weights, &weights.key.bias, k},
                               product{&weights.value.weights, &weights.value.bias, v}};
  multiply(rows(normed_, tokens, shape.hidden), projections);

  const auto place_heads = [&](std::span<float> heads, const std::vector<float>& norm, std::size_t t) {
    for (std::size_t at = 0; at < heads.size(); at += shape.head_size) {
      const std::span<float> head = heads.subspan(at, shape.head_size);
      if (!norm.empty()) rms_norm(head, norm, shape.epsilon, head);
      model_.positions.turn(head, tables.row(t));
    }
  };
  threads_.run(divide_up(tokens, token_grain), [&](std::size_t grain) {
    for (std::size_t t = grain * token_grain; t < std::min(tokens, (grain + 1) * token_grain); ++t) {
      place_heads(q.row(t), weights.query_norm, t);
      place_heads(k.row(t), weights.key_norm, t);
    }
  });
  for (std::size_t t = 0; t < tokens; ++t) {
    std::visit([&](auto& c) { c.append(k.row(t), v.row(t)); }, cache);
  }

  // A grain is one head over several tokens: its keys and values stay in the cache of one core.
  const std::size_t stretches = divide_up(tokens, token_grain), grains = shape.heads * stretches;
  const std::size_t per_kv_head = shape.heads / shape.kv_heads;
  const auto scores = rows(scores_, grains, max_positions_);
  threads_.run(grains, [&](std::size_t grain) {
    const std::size_t head = grain / stretches, first = grain % stretches * token_grain;
    for (std::size_t t = first; t < std::min(tokens, first + token_grain); ++t) {
      const auto part = [&](const er::matrix_view<float>& all) {
        return all.row(t).subspan(head * shape.head_size, shape.head_size);
      };
      attend(cache, head / per_kv_head, part(q), scores.row(grain).first(size_ + t + 1), part(mixed), kernel_);
    }
  });
  const std::array output{product{&weights.output.weights, &weights.output.bias, rows(sum_, tokens, shape.hidden)}};
  multiply(mixed, output);
  add_to_stream(tokens);
}

void decoder::feed_forward(const layer& weights, std::size_t tokens) {
  const geometry& shape = model_.shape;
  const auto gate = rows(gate_, tokens, shape.feed_forward), up = rows(up_, tokens, shape.feed_forward);
  normalise(weights.ffn_norm, tokens);
  const std::array inputs{product{&weights.gate.weights, &weights.gate.bias, gate},
                          product{&weights.up.weights, &weights.up.bias, up}};
  multiply(rows(normed_, tokens, shape.hidden), inputs);
  threads_.run(divide_up(tokens, token_grain), [&](std::size_t grain) {
    for (std::size_t t = grain * token_grain; t < std::min(tokens, (grain + 1) * token_grain); ++t) {
      swiglu(gate.row(t), up.row(t));
    }
  });
  const std::array output{product{&weights.down.weights, &weights.down.bias, rows(sum_, tokens, shape.hidden)}};
  multiply(gate, output);
  add_to_stream(tokens);
}

void decoder::forward(std::span<const token_id> tokens) {
  const geometry& shape = model_.shape;
  if (tokens.empty() || tokens.size() > batch) er::fail("decoder: expected 1 to " + std::to_string(batch) + " tokens");
  if (tokens.size() > max_positions_ - size_) {
    er::fail("decoder: the text is longer than the " + std::to_string(max_positions_) + " positions there is room for");
  }
  const auto stream = rows(stream_, tokens.size(), shape.hidden);
  const auto tables = rows(turns_, tokens.size(), model_.positions.table_size());
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] < 0 || static_cast<std::size_t>(tokens[t]) >= shape.vocabulary) {
      er::fail("decoder: token " + std::to_string(tokens[t]) + " is outside of the vocabulary");
    }
    er::look_up_row(model_.embedding, static_cast<std::size_t>(tokens[t]), stream.row(t));
    model_.positions.fill_table(size_ + t, tables.row(t));
  }
  for (std::size_t i = 0; i < shape.layers; ++i) {
    attention(model_.layers[i], caches_[i], tokens.size());
    feed_forward(model_.layers[i], tokens.size());
  }
  size_ += tokens.size();
  last_tokens_ = tokens.size();
  normalise(model_.output_norm, tokens.size());
}

er::matrix_view<const float> decoder::logits(std::size_t first, std::size_t count) {
  if (first + count > last_tokens_) er::fail("decoder: logits of tokens that the last pass did not have");
  const auto out = rows(logits_, count, model_.shape.vocabulary);
  const std::array head{product{&model_.head(), nullptr, out}};
  multiply(rows(normed_, last_tokens_, model_.shape.hidden).rows_between(first, first + count), head);
  return out;
}

std::span<const float> decoder::next(std::span<const token_id> tokens) {
  if (tokens.empty()) er::fail("decoder: no tokens");
  while (!tokens.empty()) {
    const std::size_t count = std::min(batch, tokens.size());
    forward(tokens.first(count));
    tokens = tokens.subspan(count);
  }
  return logits(last_tokens_ - 1, 1).row(0);
}

}  // namespace llm
