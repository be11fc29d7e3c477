// SPDX-License-Identifier: Apache-2.0
/// Windows of a text on their way through a model, layer by layer: every window passes a layer
/// before any enters the next, so that a layer can be changed in between.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "decoder.hpp"
#include "model.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"
#include <edgerazor/core/views.hpp>
#include <edgerazor/product/kernels.hpp>

namespace llm {

/// Equally long pieces of a text, each read from its beginning.
struct token_windows {
  std::vector<token_id> tokens;  ///< one window after the other
  std::size_t length = 0;

  [[nodiscard]] std::size_t count() const noexcept {
    return length == 0 ? 0 : tokens.size() / length;
  }
  [[nodiscard]] std::span<const token_id> window(std::size_t i) const noexcept {
    return std::span{tokens}.subspan(i * length, length);
  }
};

/// The text of that file, or where there is no name the built-in one.
std::string calibration_text_of(const std::string& path);

/// At most `count` windows of `length` tokens, spread evenly over the text; of a shorter text as
/// many as it has, at least one. `beginning`, where the model has such a token, is the first of
/// each. Throws std::invalid_argument where the text has fewer than 16 tokens.
token_windows cut_windows(std::span<const token_id> text, std::size_t count, std::size_t length,
                          std::optional<token_id> beginning);

/// The x of every token of the windows, before one layer and then behind it.
class layer_walk {
 public:
  /// Refers to the model, whose layers may be replaced while no call is under way, and the threads.
  layer_walk(const model& weights, thread_pool& threads, const token_windows& text,
             const er::kernel& k);

  /// x before the first layer again, as the model's embedding now has it.
  void restart();

  /// All windows through a layer. `observer` sees the inputs of its matrices.
  void pass(std::size_t layer, const input_observer& observer = {});
  /// The same, but x stays what it was.
  void look(std::size_t layer, const input_observer& observer);
  /// What the head is multiplied with, of some tokens at a time, in order.
  void look_at_head(const std::function<void(er::matrix_view<const float> head_input)>& use);
  /// Logits of some tokens at a time, in order.
  void look_at_logits(const std::function<void(er::matrix_view<const float> logits)>& use);

  [[nodiscard]] std::size_t tokens() const noexcept { return stream_.size() / hidden_; }
  /// x of all tokens, one row each.
  [[nodiscard]] std::vector<float>& stream() noexcept { return stream_; }

 private:
  template <class Use>
  void for_each_batch(const Use& use);

  decoder runs_;
  std::vector<token_id> text_;
  std::size_t hidden_, length_;
  std::vector<float> stream_;
};

}  // namespace llm
