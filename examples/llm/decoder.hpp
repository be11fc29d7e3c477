// SPDX-License-Identifier: Apache-2.0
/// Runs a model over tokens: the forward pass of a Llama or Qwen3 decoder, with its cache of keys
/// and values.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "attention.hpp"
#include "model.hpp"
#include "profile.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/activations.hpp>
#include <edgerazor/product/fused.hpp>

namespace llm {

/// What a layer's matrices are multiplied with: the input of query, key and value, that of the
/// attention's output, that of gate and up, and that of down.
enum class layer_input { attention, output, ffn, down };
inline constexpr std::size_t layer_inputs = 4;

/// Sees every such input, one row a token, before it is quantized.
using input_observer = std::function<void(layer_input, er::matrix_view<const float>)>;

/// Sequences, each with its own cache; but for `next_each` one at a time, of which `select` says
/// which. For each token x = embedding, then for each layer
///
///     n = rms_norm(x)     x += Wo attention(rope(norm(Wq n)), rope(norm(Wk n)), Wv n)
///     n = rms_norm(x)     x += Wdown (silu(Wgate n) * (Wup n))
///
/// (norm: for Qwen3 only)
///
/// and logits = head rms_norm(x). Where a matrix is quantized, its input is quantized to int8 once
/// for all matrices that share it, and their rows are one job for the threads. Results depend
/// neither on the number of threads nor on how a sequence is cut into calls, nor on the sequences
/// beside it.
class decoder {
 public:
  /// Positions in one pass through the layers: long prompts go in pieces of so many tokens.
  static constexpr std::size_t batch = 128;

  /// Refers to the first two. Memory for all positions is taken now. Throws std::invalid_argument
  /// where the machine has less. Each of the sequences has room for `max_positions`.
  decoder(const model& weights, thread_pool& threads, std::size_t max_positions,
          const er::kernel& k = er::best_kernel(), std::size_t sequences = 1);

  /// All that follows is about this sequence, which is the first one until then. Throws
  /// std::invalid_argument where there is none of that number.
  void select(std::size_t sequence);

  /// Appends tokens and returns the logits that follow the last one, valid until the next call.
  /// Throws std::invalid_argument where there are none, where there is no room for them, or on an
  /// id outside of the vocabulary.
  std::span<const float> next(std::span<const token_id> tokens);

  /// Appends at most `batch` tokens; `logits` then gives what follows each of them.
  void forward(std::span<const token_id> tokens);
  /// Logits (count x vocabulary) after tokens [first, first + count) of the last `forward`; valid
  /// until the next call.
  er::matrix_view<const float> logits(std::size_t first, std::size_t count);

  /// Appends to each of `sequences`, at most `batch`, one token, and returns the logits that follow
  /// each (a row of the vocabulary), valid until the next call. All of them share every product.
  /// Throws as `next` does, and where a sequence is none or there twice.
  er::matrix_view<const float> next_each(std::span<const std::size_t> sequences,
                                         std::span<const token_id> tokens);

  /// One layer alone, in place over the x of positions [first, first + stream.rows), at most
  /// `batch`; the layer must have seen those before. `next` and `forward` know nothing of it:
  /// truncate(0) before them.
  void run_layer(std::size_t layer, std::size_t first, er::matrix_view<float> stream);
  /// x of tokens as the embedding has them, for run_layer.
  void embed(std::span<const token_id> tokens, er::matrix_view<float> stream) const;
  /// What the head is multiplied with, rms_norm(x), valid until the next call; and the logits that
  /// follow, likewise.
  er::matrix_view<const float> head_input(er::matrix_view<const float> stream);
  er::matrix_view<const float> head_logits(er::matrix_view<const float> stream);
  /// Empty: nobody looks.
  void observe(input_observer observer) { observer_ = std::move(observer); }
  /// Where the time goes; whoever watches turns it to `sampling` himself.
  [[nodiscard]] profiler& clock() noexcept { return clock_; }

  /// Forgets the positions from `size` on.
  void truncate(std::size_t size);
  [[nodiscard]] std::size_t size() const noexcept { return sizes_[current_]; }
  [[nodiscard]] std::size_t sequences() const noexcept { return sizes_.size(); }
  [[nodiscard]] std::size_t max_positions() const noexcept { return max_positions_; }
  [[nodiscard]] std::size_t cache_bytes() const;

 private:
  /// One of the products that share an input.
  struct product {
    const er::any_matrix* weights;
    const std::vector<float>* bias;  ///< null or empty: none
    er::matrix_view<float> out;
  };

  void multiply(step what, er::matrix_view<const float> in, std::span<const product> products);
  void multiply_gated(er::matrix_view<const float> in, const linear& gate, const linear& up,
                      er::matrix_view<float> out);
  template <class Use>
  void with_input(step what, std::size_t bytes, er::matrix_view<const float> in,
                  std::span<const er::weight_ref> matrices, const er::any_matrix& w, Use&& use);
  void normalise(const std::vector<float>& weight, std::size_t tokens);
  void run_layers(std::span<const token_id> tokens, std::span<const std::size_t> each);
  void attention(std::size_t layer, std::size_t tokens);
  void feed_forward(const layer& weights, std::size_t tokens);
  void add_to_stream(std::size_t tokens);
  void show(layer_input which, er::matrix_view<const float> in) const {
    if (observer_) observer_(which, in);
  }
  er::matrix_view<float> rows(std::vector<float>& buffer, std::size_t tokens, std::size_t cols);
  /// Of row t of the pass.
  [[nodiscard]] std::size_t sequence_of(std::size_t t) const noexcept {
    return each_.empty() ? current_ : each_[t];
  }
  [[nodiscard]] std::size_t position_of(std::size_t t) const noexcept {
    return each_.empty() ? sizes_[current_] + t : sizes_[each_[t]];
  }
  [[nodiscard]] layer_cache& cache_of(std::size_t sequence, std::size_t layer) noexcept {
    return caches_[sequence * model_.shape.layers + layer];
  }

  const model& model_;
  thread_pool& threads_;
  const er::kernel& kernel_;
  std::size_t max_positions_, current_ = 0, last_tokens_ = 0;
  std::vector<std::size_t> sizes_;     ///< of the sequences
  std::span<const std::size_t> each_;  ///< rows' sequences in this pass; empty: current_
  std::vector<layer_cache> caches_;    ///< a sequence's one after the other
  std::map<std::pair<std::size_t, std::size_t>, er::packed_activations>
      activations_;  ///< by columns and group

  input_observer observer_;
  profiler clock_;
  std::vector<er::fused_product> job_;       ///< of `multiply`
  std::vector<er::weight_ref> job_weights_;  ///< its matrices
  std::vector<std::byte> prepared_;          ///< what sums prepare

  // One row a token of the batch. stream_ is x, normed_ is n, sum_ what is added to x.
  std::vector<float> stream_, normed_, sum_, query_, key_, value_, mixed_, gated_, up_, turns_,
      logits_;
};

}  // namespace llm
