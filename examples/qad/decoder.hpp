// SPDX-License-Identifier: Apache-2.0
/// Forward and backward pass of a Llama decoder over whole sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <Eigen/Core>

#include "parameters.hpp"
#include "product.hpp"
#include <edgerazor/core/views.hpp>

namespace qad {

template <class Scalar>
using basic_matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using matrix = basic_matrix<float>;

/// What of the states is fake-quantized on the way: int8 by the largest magnitude. The backward
/// pass takes rounding for the identity.
struct state_quantization {
  std::size_t activation_group =
      0;               ///< columns of a linear layer's input that share a scale; 0: not quantized
  bool cache = false;  ///< keys (after their turn) and values, one scale for each head and token
};

/// What a backward pass will need: everything, or nothing (a teacher's).
enum class pass { training, inference };

/// For each token x = embedding, then for each block
///
///     x += Wo attention(rope(Wq n), rope(Wk n), Wv n)     n = rms_norm(x)
///     x += Wdown (silu(Wgate n) * (Wup n))                n = rms_norm(x)
///
/// and logits = embedding * rms_norm(x): GGUF's architecture `llama`, whose neighbouring elements
/// of a head turn together. All memory is taken by the constructor. One thread at a time.
template <class Scalar>
class basic_decoder {
 public:
  using weights = basic_parameters<Scalar>;

  /// Room for `sequences` of `length` tokens each. Fails where either is zero or the length exceeds
  /// the context.
  basic_decoder(const shape& s, std::size_t sequences, std::size_t length,
                pass use = pass::training);

  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

  /// `tokens`: one sequence after the other. Fails where their number is not tokens(), or one is
  /// outside of the vocabulary.
  void forward(const weights& w, std::span<const std::int32_t> tokens,
               const state_quantization& states = {});

  /// tokens x vocabulary, valid until the next pass; the caller may turn them into their gradients
  /// in place.
  [[nodiscard]] er::matrix_view<Scalar> logits() noexcept;
  /// tokens x hidden: 0 is the embedding's output, i that of block i (counted from 1).
  [[nodiscard]] er::matrix_view<const Scalar> hidden(std::size_t i) const;

  /// Adds the gradients of a loss to `gradient_sum`, given its gradients with respect to the logits
  /// (tokens x vocabulary) and to hidden(i), for i = 0, 1, ... as far as there are any; a view
  /// without data is zero. `w` and the states are those of the last forward pass. Fails where
  /// shapes differ or the decoder is for inference.
  void backward(const weights& w, er::matrix_view<const Scalar> logits_gradient,
                std::span<const er::matrix_view<const Scalar>> hidden_gradients,
                weights& gradient_sum);

 private:
  using matrix = basic_matrix<Scalar>;
  using vector = Eigen::Array<Scalar, Eigen::Dynamic, 1>;

  /// One block's states that its gradient needs.
  struct block_states {
    matrix attention_input;  ///< n, as quantized
    matrix qkv;              ///< after turning and quantization: queries, keys, values
    matrix probabilities;    ///< [sequence][head][query] x key
    matrix mixed;            ///< the attention's output before Wo, as quantized
    matrix between;          ///< x after the attention
    matrix feed_input;       ///< n, as quantized
    matrix gate_up;
    matrix product;                        ///< silu(gate) * up, as quantized
    vector attention_factor, feed_factor;  ///< 1 / rms of each token
  };
  /// Where a block's weights lie in the buffer.
  struct block_offsets {
    std::size_t attention_norm, qkv, output, feed_norm, gate_up, down;
  };

  static factor<Scalar> weight(const weights& w, std::size_t offset, std::size_t out,
                               std::size_t in);
  block_states& states_of(std::size_t block) noexcept {
    return blocks_[use_ == pass::training ? block : 0];
  }
  void turn_heads(matrix& qkv, Scalar direction) const;
  void attention(block_states& s);
  void attention_backward(const block_states& s);

  shape shape_;
  std::size_t sequences_, length_, tokens_;
  pass use_;
  std::vector<block_offsets> offsets_;
  std::size_t output_norm_ = 0;
  std::vector<std::int32_t> ids_;
  matrix cosines_, sines_;  ///< position x pair
  std::vector<matrix> streams_;
  std::vector<block_states> blocks_;
  matrix output_input_, logits_;
  vector output_factor_;
  matrix stream_gradient_, normed_gradient_, qkv_gradient_, mixed_gradient_, gate_up_gradient_,
      product_gradient_;
  matrix score_gradient_;  ///< of one head and sequence
  multiplier<Scalar> multiply_;
};

using decoder = basic_decoder<float>;

extern template class basic_decoder<float>;
extern template class basic_decoder<double>;

}  // namespace qad
