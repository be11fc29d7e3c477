// SPDX-License-Identifier: Apache-2.0
/// Forward and backward pass of a Llama, Qwen2 or Qwen3 decoder over whole sequences.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <Eigen/Core>

#include "head.hpp"
#include "matrix_parts.hpp"
#include "output_norm.hpp"
#include "parameters.hpp"
#include "product.hpp"
#include "step_clock.hpp"
#include <edgerazor/core/views.hpp>

namespace qad {

/// What is noted of the blocks' inputs on the way: see basic_decoder::noted.
enum class noted { nothing, magnitude, projection };

/// What of the states is fake-quantized on the way. The backward pass takes rounding for the
/// identity, but for that under trained steps.
struct state_quantization {
  /// Columns of a linear layer's input, the head's too, that share a scale of int8 by the largest
  /// magnitude; 0: not quantized.
  std::size_t activation_group = 0;
  /// Keys (after their turn) and values in int8; 128 elements, or a head's if those are fewer,
  /// share a scale.
  bool cache = false;
  /// Inputs of the blocks' matrices in 4 bits with a zero, a scale for each token.
  bool four_bits = false;
  /// Keys and values so, a scale for each head.
  bool four_bit_cache = false;
  /// Inputs of the blocks' matrices on so many levels, an odd number from 3 to 17, under the steps
  /// that the block has as "input_steps"; 0: none.
  int input_levels = 0;
  noted notes = noted::nothing;
};

/// What matrices of a block are multiplied with; each has a step where steps are trained.
enum class input_of : std::size_t { qkv, output, gate_up, down };
inline constexpr std::size_t inputs_of_block = 4;
inline constexpr const char* input_steps = "input_steps";

/// What is kept of the blocks for a backward pass: all states; their inputs alone, from which the
/// backward pass computes the rest again; or nothing (a teacher's).
enum class pass { training, recomputed, inference };

/// For each token x = embedding, then for each block
///
///     x += Wo attention(rope(norm(Wq n + bq)), rope(norm(Wk n + bk)), Wv n + bv)
///     x += Wdown (silu(Wgate n) * (Wup n))                               n = rms_norm(x) in both
///
/// and logits = head * rms_norm(x), as examples/llm computes them (norm: Qwen3's of each head; b:
/// where the model has biases). All memory is taken by the constructor. One thread at a time.
template <class Scalar>
class basic_decoder {
 public:
  using weights = basic_parameters<Scalar>;
  using pages = weight_pages<Scalar>;

  /// Room for `sequences` of `length` tokens each. Fails where either is zero or the length exceeds
  /// the context.
  basic_decoder(const shape& s, std::size_t sequences, std::size_t length,
                pass use = pass::training);

  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }

  /// `tokens`: one sequence after the other. `positions`: of each token in its text, where several
  /// texts share a sequence; a token at position p sees itself and the p before it. Empty: a
  /// sequence is a text. Fails where the number of either is not tokens(), a token is outside of
  /// the vocabulary, or a position is neither 0 nor one more than that of the token before it in
  /// its sequence.
  void forward(const pages& w, std::span<const std::int32_t> tokens,
               const state_quantization& states = {},
               std::span<const std::uint32_t> positions = {});

  /// tokens x hidden: what the head is multiplied with, as quantized; valid until the next pass.
  [[nodiscard]] er::matrix_view<const Scalar> head_input() const noexcept;
  /// The head of `w`. It adds its gradient to `gradient_sum`; null: not wanted.
  [[nodiscard]] basic_head<Scalar> head(const pages& w, weights* gradient_sum = nullptr);
  /// tokens x hidden: 0 is the embedding's output, i that of block i (counted from 1).
  [[nodiscard]] er::matrix_view<const Scalar> hidden(std::size_t i) const;

  /// Adds the gradients of a loss to `gradient_sum`, but for the head's, given its gradients with
  /// respect to head_input() and to hidden(i), for i = 0, 1, ... as far as there are any; a view
  /// without data is zero. `w` is that of the last forward pass. Fails where shapes differ or the
  /// decoder is for inference.
  void backward(const pages& w, er::matrix_view<const Scalar> head_input_gradient,
                std::span<const er::matrix_view<const Scalar>> hidden_gradients,
                weights& gradient_sum);

  /// Of the last forward pass, for each block and input: its mean magnitude; or, of input_levels,
  /// the factor of its step on the way to two levels fewer (er::projection_factor).
  [[nodiscard]] std::span<const double> noted_of_inputs() const noexcept { return noted_; }

  /// Where the time went.
  [[nodiscard]] step_clock& clock() noexcept { return clock_; }
  [[nodiscard]] const step_clock& clock() const noexcept { return clock_; }
  [[nodiscard]] const multiplier<Scalar>& products() const noexcept { return multiply_; }

 private:
  using matrix = basic_matrix<Scalar>;
  using vector = Eigen::Array<Scalar, Eigen::Dynamic, 1>;

  /// One block's states that its gradient needs.
  struct block_states {
    matrix attention_input;  ///< n, as quantized
    matrix raw_heads;        ///< queries and keys before their norms; Qwen3
    matrix qkv;              ///< after norms, turning and quantization: queries, keys, values
    matrix probabilities;    ///< [sequence][head][query] x key
    matrix mixed;            ///< the attention's output before Wo, as quantized
    matrix between;          ///< x after the attention
    matrix feed_input;       ///< n, as quantized
    matrix gate_up;
    matrix product;                           ///< silu(gate) * up, as quantized
    vector attention_factor, feed_factor;     ///< 1 / rms of each token
    vector head_factor;                       ///< 1 / rms of each token's heads; Qwen3
    std::array<matrix, inputs_of_block> raw;  ///< inputs before they were quantized by steps
    std::array<normed_outputs<Scalar>, inputs_of_block> normed;  ///< with layer norms
  };
  /// Where a block's weights lie in it.
  struct block_offsets {
    std::size_t attention_norm, qkv, bias, head_norms, output, feed_norm, gate_up, down,
        input_steps;
  };

  static factor<Scalar> weight(const Scalar* at, std::size_t out, std::size_t in) noexcept {
    return {at, out, in, in, 1};
  }
  block_states& states_of(std::size_t block) noexcept {
    return blocks_[use_ == pass::training ? block : 0];
  }
  void fill_turns(const Scalar* divisors);
  void set_positions(std::span<const std::uint32_t> positions);
  void quantize_input(std::size_t block, input_of which, const Scalar* w, matrix& input);
  void quantize_input_backward(const block_states& s, input_of which, const Scalar* w, Scalar* sums,
                               matrix& gradient);
  void quantize_head_input();
  void quantize_cache(matrix& qkv) const;
  [[nodiscard]] output_widths widths_of(input_of which) const noexcept;
  void norm_product(block_states& s, input_of which, matrix& out);
  void add_branch(block_states& s, input_of which, const matrix& input, const Scalar* w, bool again,
                  matrix& sum);
  const matrix& branch_gradient(const block_states& s, input_of which);
  /// streams_[i + 1] from streams_[i], or where `again` is set the states alone.
  void block_forward(std::size_t i, const Scalar* w, bool again);
  void block_backward(std::size_t i, const Scalar* w, Scalar* sums);
  void linear_backward(const factor<Scalar>& out_gradient, const matrix& input, const Scalar* w,
                       Scalar* sums, matrix& input_gradient);
  void norm_heads(block_states& s, const Scalar* weight) const;
  void norm_heads_backward(const block_states& s, const Scalar* weight, Scalar* weight_gradient);
  void turn_heads(matrix& qkv, Scalar direction) const;
  void attention(block_states& s);
  void attention_backward(const block_states& s);

  shape shape_;
  std::size_t sequences_, length_, tokens_;
  pass use_;
  block_offsets at_{};
  state_quantization quantization_;
  std::vector<std::int32_t> ids_;
  std::vector<std::uint32_t> positions_;
  matrix cosines_, sines_;  ///< position x pair
  std::vector<matrix> streams_;
  std::vector<block_states> blocks_;
  matrix output_input_;
  vector output_factor_;
  matrix stream_gradient_, normed_gradient_, qkv_gradient_, mixed_gradient_, gate_up_gradient_,
      product_gradient_;
  matrix score_gradient_;   ///< of one head and sequence
  matrix branch_gradient_;  ///< before a layer norm
  std::vector<double> noted_;
  std::vector<Scalar> room_;  ///< of a block's weights
  multiplier<Scalar> multiply_;
  step_clock clock_;
};

using decoder = basic_decoder<float>;

extern template class basic_decoder<float>;
extern template class basic_decoder<double>;

}  // namespace qad
