// SPDX-License-Identifier: Apache-2.0
#include "decoder.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "support/system.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/product/fused.hpp>
#include <edgerazor/product/linear_operator.hpp>
#include <edgerazor/product/quantize_activations.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace llm {

namespace {

/// Grains of a job over the tokens of a batch: enough to keep threads busy, each of several tokens.
constexpr std::size_t token_grain = 8;

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Both take their input as it is, or both as int8 in the same groups, or both are sums, which say
/// themselves what they take.
bool same_input(const er::any_matrix& a, const er::any_matrix& b) {
  if (a.sum() || b.sum()) return a.sum() && b.sum();
  return a.is_dense() == b.is_dense() && (a.is_dense() || a.group_cols() == b.group_cols());
}

void add_bias(const std::vector<float>& bias, const er::matrix_view<float>& out) {
  for (std::size_t t = 0; !bias.empty() && t < out.rows; ++t) {
    for (std::size_t r = 0; r < out.cols; ++r) out.row(t)[r] += bias[r];
  }
}

/// Queries that attend together: the cached keys and values are decoded once for all of them.
constexpr std::size_t most_queries = 16;

}  // namespace

decoder::decoder(const model& weights, thread_pool& threads, std::size_t max_positions,
                 const er::kernel& k, std::size_t sequences)
    : model_(weights),
      threads_(threads),
      kernel_(k),
      max_positions_(max_positions),
      sizes_(sequences),
      clock_(threads) {
  if (sequences == 0) throw std::invalid_argument("decoder: expected a sequence or more");
  const geometry& shape = weights.shape;
  // Of a head and position: bytes, and float scales of groups; or floats.
  const double each = weights.quantized_cache ? static_cast<double>(shape.head_size) + 4
                                              : 4.0 * static_cast<double>(shape.head_size);
  support::require_memory(
      2 * static_cast<double>(shape.layers) * static_cast<double>(shape.kv_heads) * each *
          static_cast<double>(max_positions) * static_cast<double>(sequences),
      "the cache of keys and values of " + std::to_string(max_positions) + " positions" +
          (sequences == 1 ? "" : " of " + std::to_string(sequences) + " sequences"),
      "; --context and --tokens say how many there are");
  caches_.reserve(sequences * shape.layers);
  for (std::size_t i = 0; i < sequences * shape.layers; ++i) {
    if (weights.quantized_cache) {
      caches_.emplace_back(std::in_place_type<er::kv_cache>, shape.kv_heads, shape.head_size,
                           max_positions, weights.cache_group());
    } else {
      caches_.emplace_back(std::in_place_type<float_cache>, shape.kv_heads, shape.head_size,
                           max_positions);
    }
  }
}

std::size_t decoder::cache_bytes() const {
  std::size_t sum = 0;
  for (const layer_cache& cache : caches_)
    sum += std::visit([](const auto& c) { return c.bytes(); }, cache);
  return sum;
}

void decoder::select(std::size_t sequence) {
  if (sequence >= sizes_.size()) {
    throw std::invalid_argument("decoder: sequence " + std::to_string(sequence) + " of " +
                                std::to_string(sizes_.size()));
  }
  current_ = sequence;
}

void decoder::truncate(std::size_t size) {
  sizes_[current_] = std::min(sizes_[current_], size);
  for (std::size_t i = 0; i < model_.shape.layers; ++i)
    std::visit([size](auto& c) { c.truncate(size); }, cache_of(current_, i));
}

/// The first `tokens` rows of a working buffer, which grows to the largest number ever needed:
/// decoding without a long prompt takes one row of each.
er::matrix_view<float> decoder::rows(std::vector<float>& buffer, std::size_t tokens,
                                     std::size_t cols) {
  if (buffer.size() < tokens * cols) buffer.resize(tokens * cols);
  return {buffer.data(), tokens, cols};
}

/// use(x) with the form of `in` that matrices of one kind take: as it is, int8 in groups of theirs,
/// or what sums prepare.
template <class Use>
void decoder::with_input(step what, std::size_t bytes, er::matrix_view<const float> in,
                         std::span<const er::weight_ref> matrices, const er::any_matrix& w,
                         Use&& use) {
  const auto multiply = [&](const auto& x) {
    clock_.enter(what, bytes);
    use(x);
  };
  if (w.is_dense()) return multiply(er::unquantized{in});
  clock_.enter(step::to_int8);
  if (w.sum()) {
    const std::size_t room = er::input_bytes(matrices, in.rows);
    if (prepared_.size() < room) prepared_.resize(room);
    return multiply(
        er::prepare(matrices, in, prepared_, {.kernel = &kernel_, .executor = threads_}));
  }
  er::packed_activations& room = activations_[{in.cols, w.group_cols()}];
  er::activation_tables tables = room.tables();
  for (const er::weight_ref& one : matrices) tables = std::max(tables, one.tables());
  if (room.max_tokens() < in.rows || room.tables() != tables) {
    const std::size_t tokens = std::max(in.rows, room.max_tokens());
    room = er::packed_activations(in.cols, w.group_cols(), tokens, nullptr, tables);
  }
  multiply(er::quantize_activations(
      in, room,
      {.scales = er::activation_scales::of_groups, .kernel = &kernel_, .executor = threads_}));
}

void decoder::multiply(step what, er::matrix_view<const float> in,
                       std::span<const product> products) {
  for (std::size_t begin = 0, end; begin < products.size(); begin = end) {
    // Neighbours that take the input in one form are one job: all of them, unless an override tells
    // them apart.
    const er::any_matrix& w = *products[begin].weights;
    job_.clear();
    job_weights_.clear();
    std::size_t bytes = 0;
    for (end = begin; end < products.size() && same_input(*products[end].weights, w); ++end) {
      job_.emplace_back(*products[end].weights, products[end].out);
      job_weights_.emplace_back(*products[end].weights);
      bytes += products[end].weights->bytes().size();
    }
    with_input(what, bytes, in, job_weights_, w, [&](const auto& x) {
      if (threads_.threads() == 1)
        return er::gemm_fused(job_, x,
                              {.kernel = &kernel_});  // not cut into grains: longer streams
      er::gemm_fused(job_, x, {.kernel = &kernel_, .executor = threads_});
    });
  }
  for (const product& p : products) {
    if (p.bias != nullptr) add_bias(*p.bias, p.out);
  }
}

/// out = silu(gate in) * (up in).
void decoder::multiply_gated(er::matrix_view<const float> in, const linear& gate, const linear& up,
                             er::matrix_view<float> out) {
  // One token's gates are a few KiB, and reading each matrix in one long stream is worth more than
  // keeping them near.
  constexpr std::size_t few = 4;
  if (in.rows >= few && same_input(gate.weights, up.weights) && gate.bias.empty() &&
      up.bias.empty()) {
    const std::array<er::weight_ref, 2> both{gate.weights, up.weights};
    const std::size_t bytes = gate.weights.bytes().size() + up.weights.bytes().size();
    with_input(step::gate_up, bytes, in, both, gate.weights, [&](const auto& x) {
      er::gemm_gated(gate.weights, up.weights, x, out, {.kernel = &kernel_, .executor = threads_});
    });
    return;
  }
  const auto ups = rows(up_, out.rows, out.cols);
  const std::array inputs{product{&gate.weights, &gate.bias, out},
                          product{&up.weights, &up.bias, ups}};
  multiply(step::gate_up, in, inputs);
  clock_.enter(step::silu);
  for (std::size_t t = 0; t < out.rows; ++t)
    er::silu_product(out.row(t), ups.row(t), out.row(t), {.kernel = &kernel_});
}

/// normed_ = rms_norm(stream_).
void decoder::normalise(const std::vector<float>& weight, std::size_t tokens) {
  clock_.enter(step::norm);
  const auto in = rows(stream_, tokens, model_.shape.hidden),
             out = rows(normed_, tokens, model_.shape.hidden);
  threads_.run(divide_up(tokens, token_grain), [&](std::size_t grain) {
    for (std::size_t t = grain * token_grain; t < std::min(tokens, (grain + 1) * token_grain);
         ++t) {
      rms_norm(in.row(t), weight, model_.shape.epsilon, out.row(t));
    }
  });
}

/// stream_ += sum_.
void decoder::add_to_stream(std::size_t tokens) {
  clock_.enter(step::residual);
  for (std::size_t i = 0; i < tokens * model_.shape.hidden; ++i) stream_[i] += sum_[i];
}

void decoder::attention(std::size_t index, std::size_t tokens) {
  const geometry& shape = model_.shape;
  const layer& weights = model_.layers[index];
  const auto q = rows(query_, tokens, shape.query_size()),
             mixed = rows(mixed_, tokens, shape.query_size());
  const auto k = rows(key_, tokens, shape.kv_size()), v = rows(value_, tokens, shape.kv_size());
  const auto tables = rows(turns_, tokens, model_.positions.table_size());

  normalise(weights.attention_norm, tokens);
  const std::array projections{product{&weights.query.weights, &weights.query.bias, q},
                               product{&weights.key.weights, &weights.key.bias, k},
                               product{&weights.value.weights, &weights.value.bias, v}};
  show(layer_input::attention, rows(normed_, tokens, shape.hidden));
  multiply(step::qkv, rows(normed_, tokens, shape.hidden), projections);
  clock_.enter(step::rope_and_cache);

  const auto place_heads = [&](std::span<float> heads, const std::vector<float>& norm,
                               std::size_t t) {
    for (std::size_t at = 0; at < heads.size(); at += shape.head_size) {
      const std::span<float> head = heads.subspan(at, shape.head_size);
      if (!norm.empty()) rms_norm(head, norm, shape.epsilon, head);
      model_.positions.turn(head, tables.row(t));
    }
  };
  threads_.run(divide_up(tokens, token_grain), [&](std::size_t grain) {
    for (std::size_t t = grain * token_grain; t < std::min(tokens, (grain + 1) * token_grain);
         ++t) {
      place_heads(q.row(t), weights.query_norm, t);
      place_heads(k.row(t), weights.key_norm, t);
    }
  });
  for (std::size_t t = 0; t < tokens; ++t) {
    std::visit([&](auto& c) { c.append(k.row(t), v.row(t)); }, cache_of(sequence_of(t), index));
  }

  clock_.enter(step::attention);
  // A grain's queries share a key/value head: the heads that it serves, or where there are more
  // tokens of a sequence, those of one head for several tokens.
  const std::size_t per_kv_head = shape.heads / shape.kv_heads;
  const bool by_heads = tokens < per_kv_head || !each_.empty();
  const std::size_t lines =
      by_heads ? tokens * shape.kv_heads : shape.heads;  // of queries to be cut into grains
  const std::size_t line = by_heads ? per_kv_head : tokens,
                    stretches = divide_up(line, most_queries);
  threads_.run(lines * stretches, [&](std::size_t grain) {
    const std::size_t first = grain % stretches * most_queries,
                      count = std::min(most_queries, line - first);
    const std::size_t token = by_heads ? grain / stretches / shape.kv_heads : first;
    const std::size_t head =
        by_heads ? grain / stretches % shape.kv_heads * per_kv_head + first : grain / stretches;
    std::size_t lengths[most_queries];
    for (std::size_t i = 0; i < count; ++i)
      lengths[i] = position_of(token) + (by_heads ? 0 : i) + 1;
    const auto part = [&](const er::matrix_view<float>& all) -> er::matrix_view<float> {
      return {all.row(token).data() + head * shape.head_size, count, shape.head_size,
              by_heads ? shape.head_size : all.stride};
    };
    thread_local std::vector<float> scores;
    scores.resize(std::max(scores.size(), count * lengths[count - 1]));
    attend(cache_of(sequence_of(token), index), head / per_kv_head, part(q),
           std::span{lengths}.first(count), {scores.data(), count, lengths[count - 1]}, part(mixed),
           kernel_);
  });
  const std::array output{
      product{&weights.output.weights, &weights.output.bias, rows(sum_, tokens, shape.hidden)}};
  show(layer_input::output, mixed);
  multiply(step::output, mixed, output);
  add_to_stream(tokens);
}

void decoder::feed_forward(const layer& weights, std::size_t tokens) {
  const geometry& shape = model_.shape;
  const auto gated = rows(gated_, tokens, shape.feed_forward);
  normalise(weights.ffn_norm, tokens);
  show(layer_input::ffn, rows(normed_, tokens, shape.hidden));
  multiply_gated(rows(normed_, tokens, shape.hidden), weights.gate, weights.up, gated);
  show(layer_input::down, gated);
  const std::array output{
      product{&weights.down.weights, &weights.down.bias, rows(sum_, tokens, shape.hidden)}};
  multiply(step::down, gated, output);
  add_to_stream(tokens);
}

void decoder::embed(std::span<const token_id> tokens, er::matrix_view<float> stream) const {
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] < 0 || static_cast<std::size_t>(tokens[t]) >= model_.shape.vocabulary) {
      throw std::invalid_argument("decoder: token " + std::to_string(tokens[t]) +
                                  " is outside of the vocabulary");
    }
    er::look_up_row(model_.embedding, static_cast<std::size_t>(tokens[t]), stream.row(t));
  }
}

void decoder::run_layer(std::size_t layer, std::size_t first, er::matrix_view<float> stream) {
  if (stream.rows > batch || first + stream.rows > max_positions_)
    throw std::invalid_argument("decoder: a layer was given too many tokens");
  const auto own = rows(stream_, stream.rows, model_.shape.hidden);
  const auto tables = rows(turns_, stream.rows, model_.positions.table_size());
  for (std::size_t t = 0; t < stream.rows; ++t) {
    std::ranges::copy(stream.row(t), own.row(t).begin());
    model_.positions.fill_table(first + t, tables.row(t));
  }
  each_ = {};
  sizes_[current_] = first;
  std::visit([first](auto& c) { c.truncate(first); }, cache_of(current_, layer));
  attention(layer, stream.rows);
  feed_forward(model_.layers[layer], stream.rows);
  for (std::size_t t = 0; t < stream.rows; ++t)
    std::ranges::copy(own.row(t), stream.row(t).begin());
}

er::matrix_view<const float> decoder::head_input(er::matrix_view<const float> stream) {
  const auto own = rows(stream_, stream.rows, model_.shape.hidden);
  for (std::size_t t = 0; t < stream.rows; ++t)
    std::ranges::copy(stream.row(t), own.row(t).begin());
  normalise(model_.output_norm, stream.rows);
  last_tokens_ = stream.rows;
  return rows(normed_, stream.rows, model_.shape.hidden);
}

er::matrix_view<const float> decoder::head_logits(er::matrix_view<const float> stream) {
  static_cast<void>(head_input(stream));
  return logits(0, stream.rows);
}

/// All layers over the tokens, one of each sequence of `each`, or all of the selected one.
void decoder::run_layers(std::span<const token_id> tokens, std::span<const std::size_t> each) {
  const geometry& shape = model_.shape;
  each_ = each;
  clock_.enter(step::embedding);
  embed(tokens, rows(stream_, tokens.size(), shape.hidden));
  const auto tables = rows(turns_, tokens.size(), model_.positions.table_size());
  for (std::size_t t = 0; t < tokens.size(); ++t)
    model_.positions.fill_table(position_of(t), tables.row(t));
  for (std::size_t i = 0; i < shape.layers; ++i) {
    attention(i, tokens.size());
    feed_forward(model_.layers[i], tokens.size());
  }
  last_tokens_ = tokens.size();
  normalise(model_.output_norm, tokens.size());
}

void decoder::forward(std::span<const token_id> tokens) {
  if (tokens.empty() || tokens.size() > batch)
    throw std::invalid_argument("decoder: expected 1 to " + std::to_string(batch) + " tokens");
  if (tokens.size() > max_positions_ - size()) {
    throw std::invalid_argument("decoder: the text is longer than the " +
                                std::to_string(max_positions_) + " positions there is room for");
  }
  run_layers(tokens, {});
  sizes_[current_] += tokens.size();
}

er::matrix_view<const float> decoder::next_each(std::span<const std::size_t> sequences,
                                                std::span<const token_id> tokens) {
  if (sequences.empty() || sequences.size() > batch || tokens.size() != sequences.size()) {
    throw std::invalid_argument("decoder: expected 1 to " + std::to_string(batch) +
                                " sequences and a token of each");
  }
  std::vector<bool> seen(sizes_.size());
  for (const std::size_t one : sequences) {
    if (one >= sizes_.size() || seen[one] || sizes_[one] == max_positions_) {
      throw std::invalid_argument("decoder: sequence " + std::to_string(one) + " of " +
                                  std::to_string(sizes_.size()) +
                                  " is none, is full or is there twice");
    }
    seen[one] = true;
  }
  run_layers(tokens, sequences);
  for (const std::size_t one : sequences) ++sizes_[one];
  return logits(0, tokens.size());
}

er::matrix_view<const float> decoder::logits(std::size_t first, std::size_t count) {
  if (first + count > last_tokens_)
    throw std::invalid_argument("decoder: logits of tokens that the last pass did not have");
  const auto out = rows(logits_, count, model_.shape.vocabulary);
  const std::array head{product{&model_.head(), nullptr, out}};
  multiply(step::head,
           rows(normed_, last_tokens_, model_.shape.hidden).rows_between(first, first + count),
           head);
  return out;
}

std::span<const float> decoder::next(std::span<const token_id> tokens) {
  if (tokens.empty()) throw std::invalid_argument("decoder: no tokens");
  while (!tokens.empty()) {
    const std::size_t count = std::min(batch, tokens.size());
    forward(tokens.first(count));
    tokens = tokens.subspan(count);
  }
  return logits(last_tokens_ - 1, 1).row(0);
}

}  // namespace llm
