// SPDX-License-Identifier: Apache-2.0
#include "decoder.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "../support/shape_text.hpp"
#include "matrix_parts.hpp"
#include "output_norm.hpp"
#include "rms_norm.hpp"
#include <edgerazor/core/contract.hpp>

namespace qad {

using Eigen::Index;

template <class Scalar>
basic_decoder<Scalar>::basic_decoder(const shape& s, std::size_t sequences, std::size_t length,
                                     pass use)
    : shape_(s), sequences_(sequences), length_(length), tokens_(sequences * length), use_(use) {
  const std::vector<weight_entry> layout = weight_layout(s);
  if (tokens_ == 0 || length > s.context) {
    throw std::invalid_argument("decoder: " + std::to_string(sequences) + " sequences of " +
                                std::to_string(length) + " tokens; expected some, of at most " +
                                std::to_string(s.context) + " tokens");
  }
  const auto offset = [&](const char* name) {
    return find_weight(layout, std::string{"blk.0."} + name).offset - block_offset(s, 0);
  };
  at_ = {.attention_norm = offset("attn_norm.weight"),
         .qkv = offset("attn_q.weight"),
         .bias = s.biases ? offset("attn_q.bias") : 0,
         .head_norms = s.has_head_norms() ? offset("attn_q_norm.weight") : 0,
         .output = offset("attn_output.weight"),
         .feed_norm = offset("ffn_norm.weight"),
         .gate_up = offset("ffn_gate.weight"),
         .down = offset("ffn_down.weight"),
         .input_steps = 0};
  const bool steps =
      std::ranges::any_of(s.beside, [](const beside_entry& e) { return e.name == input_steps; });
  if (steps) at_.input_steps = offset(input_steps);
  noted_.resize(s.layers * inputs_of_block);
  cosines_.resize(index(length), index(s.rope_pairs()));
  sines_.resize(index(length), index(s.rope_pairs()));
  if (!s.rope_divisors) fill_turns(nullptr);

  const auto room = [this](std::size_t cols) { return matrix(index(tokens_), index(cols)); };
  const std::size_t qkv = s.qkv_size();
  const std::size_t normed_heads = s.has_head_norms() ? s.heads + s.kv_heads : 0;
  for (std::size_t i = 0; i <= s.layers; ++i) streams_.push_back(room(s.hidden));
  for (std::size_t i = 0; i < (use == pass::training ? s.layers : 1); ++i) {
    blocks_.push_back({.attention_input = room(s.hidden),
                       .raw_heads = room(normed_heads * s.head_size),
                       .qkv = room(qkv),
                       .probabilities = matrix(index(tokens_ * s.heads), index(length)),
                       .mixed = room(s.query_size()),
                       .between = room(s.hidden),
                       .feed_input = room(s.hidden),
                       .gate_up = room(2 * s.feed_forward),
                       .product = room(s.feed_forward),
                       .attention_factor = vector(index(tokens_)),
                       .feed_factor = vector(index(tokens_)),
                       .head_factor = vector(index(tokens_ * normed_heads)),
                       .raw = {},
                       .normed = {}});
    for (std::size_t j = 0; j < inputs_of_block; ++j) {
      const output_widths parts = widths_of(static_cast<input_of>(j));
      const std::array in{s.hidden, s.query_size(), s.hidden, s.feed_forward};
      block_states& states = blocks_.back();
      if (steps) states.raw[j] = room(in[j]);
      if (s.output_norms)
        states.normed[j] = {room(parts[0] + parts[1] + parts[2]), room(parts.size())};
    }
  }
  output_input_ = room(s.hidden);
  output_factor_.resize(index(tokens_));
  ids_.resize(tokens_);
  positions_.resize(tokens_);
  if (use == pass::inference) return;
  stream_gradient_ = room(s.hidden);
  normed_gradient_ = room(s.hidden);
  qkv_gradient_ = room(qkv);
  mixed_gradient_ = room(s.query_size());
  gate_up_gradient_ = room(2 * s.feed_forward);
  product_gradient_ = room(s.feed_forward);
  score_gradient_.resize(index(length), index(length));
  if (s.output_norms) branch_gradient_ = room(s.hidden);
}

template <class Scalar>
void basic_decoder<Scalar>::fill_turns(const Scalar* divisors) {
  const double size = static_cast<double>(2 * shape_.rope_pairs());
  for (Index i = 0; i < cosines_.cols(); ++i) {
    double frequency =
        std::pow(shape_.rope_base, -2.0 * static_cast<double>(i) / size) / shape_.rope_factor;
    if (divisors != nullptr) frequency /= static_cast<double>(divisors[i]);
    for (Index p = 0; p < cosines_.rows(); ++p) {
      cosines_(p, i) = static_cast<Scalar>(std::cos(static_cast<double>(p) * frequency));
      sines_(p, i) = static_cast<Scalar>(std::sin(static_cast<double>(p) * frequency));
    }
  }
}

template <class Scalar>
er::matrix_view<const Scalar> basic_decoder<Scalar>::head_input() const noexcept {
  return {output_input_.data(), tokens_, shape_.hidden};
}

template <class Scalar>
basic_head<Scalar> basic_decoder<Scalar>::head(const pages& w, weights* gradient_sum) {
  const std::size_t tied = 0, own = block_offset(shape_, shape_.layers) + shape_.hidden;
  const Scalar* const at = shape_.tied_head ? w.embedding() : w.tail() + shape_.hidden;
  return {at, shape_.vocabulary, shape_.hidden, multiply_,
          gradient_sum == nullptr
              ? nullptr
              : gradient_sum->values().data() + (shape_.tied_head ? tied : own)};
}

template <class Scalar>
er::matrix_view<const Scalar> basic_decoder<Scalar>::hidden(std::size_t i) const {
  if (i > shape_.layers)
    throw std::invalid_argument("decoder: hidden states " + std::to_string(i) + " of a model of " +
                                std::to_string(shape_.layers) + " blocks");
  return {streams_[i].data(), tokens_, shape_.hidden};
}

template <class Scalar>
output_widths basic_decoder<Scalar>::widths_of(input_of which) const noexcept {
  switch (which) {
    case input_of::qkv:
      return {shape_.query_size(), shape_.kv_size(), shape_.kv_size()};
    case input_of::gate_up:
      return {shape_.feed_forward, shape_.feed_forward, 0};
    default:
      return {shape_.hidden, 0, 0};
  }
}

template <class Scalar>
void basic_decoder<Scalar>::norm_product(block_states& s, input_of which, matrix& out) {
  if (!shape_.output_norms) return;
  normed_outputs<Scalar>& n = s.normed[static_cast<std::size_t>(which)];
  output_norm(widths_of(which), out, n);
  n.values = out;
}

/// sum += input W^T, or its layer norm.
template <class Scalar>
void basic_decoder<Scalar>::add_branch(block_states& s, input_of which, const matrix& input,
                                       const Scalar* w, bool again, matrix& sum) {
  const auto factors = weight(w, shape_.hidden, static_cast<std::size_t>(input.cols()));
  if (!shape_.output_norms) {
    if (!again)
      multiply_(all_of(input), factors.transposed(), sum.data(), shape_.hidden, result::added);
    return;
  }
  normed_outputs<Scalar>& n = s.normed[static_cast<std::size_t>(which)];
  multiply_(all_of(input), factors.transposed(), n.values.data(), shape_.hidden, result::written);
  output_norm(widths_of(which), n.values, n);
  if (!again) sum += n.values;
}

/// Of the product that add_branch adds, from that of the sum.
template <class Scalar>
auto basic_decoder<Scalar>::branch_gradient(const block_states& s, input_of which)
    -> const matrix& {
  if (!shape_.output_norms) return stream_gradient_;
  branch_gradient_ = stream_gradient_;
  output_norm_backward(s.normed[static_cast<std::size_t>(which)], widths_of(which),
                       branch_gradient_);
  return branch_gradient_;
}

template <class Scalar>
void basic_decoder<Scalar>::block_forward(std::size_t i, const Scalar* w, bool again) {
  const std::size_t hidden = shape_.hidden, qkv_size = shape_.qkv_size(),
                    wide = shape_.feed_forward;
  const Scalar epsilon = static_cast<Scalar>(shape_.norm_epsilon);
  block_states& s = states_of(i);
  clock_.enter(step_part::norms);
  rms_norm(streams_[i], w + at_.attention_norm, epsilon, s.attention_input, s.attention_factor);
  clock_.enter(step_part::states);
  quantize_input(i, input_of::qkv, w, s.attention_input);
  clock_.enter(step_part::linear);
  multiply_(all_of(s.attention_input), weight(w + at_.qkv, qkv_size, hidden).transposed(),
            s.qkv.data(), qkv_size, result::written);
  clock_.enter(step_part::norms);
  norm_product(s, input_of::qkv, s.qkv);
  if (shape_.biases) s.qkv.array().rowwise() += const_row<Scalar>(w + at_.bias, index(qkv_size));
  if (shape_.has_head_norms()) norm_heads(s, w + at_.head_norms);
  turn_heads(s.qkv, 1);
  clock_.enter(step_part::states);
  quantize_cache(s.qkv);
  clock_.enter(step_part::attention);
  attention(s);
  clock_.enter(step_part::states);
  quantize_input(i, input_of::output, w, s.mixed);
  clock_.enter(step_part::linear);
  s.between = streams_[i];
  add_branch(s, input_of::output, s.mixed, w + at_.output, false, s.between);

  clock_.enter(step_part::norms);
  rms_norm(s.between, w + at_.feed_norm, epsilon, s.feed_input, s.feed_factor);
  clock_.enter(step_part::states);
  quantize_input(i, input_of::gate_up, w, s.feed_input);
  clock_.enter(step_part::linear);
  multiply_(all_of(s.feed_input), weight(w + at_.gate_up, 2 * wide, hidden).transposed(),
            s.gate_up.data(), 2 * wide, result::written);
  norm_product(s, input_of::gate_up, s.gate_up);
  clock_.enter(step_part::gates);
  for (Index t = 0; t < index(tokens_); ++t) {
    const auto gate = s.gate_up.row(t).head(index(wide)).array(),
               up = s.gate_up.row(t).tail(index(wide)).array();
    s.product.row(t).array() = gate / (1 + (-gate).exp()) * up;
  }
  clock_.enter(step_part::states);
  quantize_input(i, input_of::down, w, s.product);
  clock_.enter(step_part::linear);
  if (!again) streams_[i + 1] = s.between;
  add_branch(s, input_of::down, s.product, w + at_.down, again, streams_[i + 1]);
  clock_.leave();
}

template <class Scalar>
void basic_decoder<Scalar>::set_positions(std::span<const std::uint32_t> positions) {
  if (!positions.empty() && positions.size() != tokens_) {
    throw std::invalid_argument("decoder: " + std::to_string(positions.size()) +
                                " positions, expected " + std::to_string(tokens_));
  }
  for (std::size_t t = 0; t < tokens_; ++t) {
    const auto place = static_cast<std::uint32_t>(t % length_);
    const std::uint32_t next = place == 0 ? 0 : positions_[t - 1] + 1;
    positions_[t] = positions.empty() ? place : positions[t];
    if (positions_[t] == 0 || positions_[t] == next) continue;
    throw std::invalid_argument("decoder: token " + std::to_string(t) + " has the position " +
                                std::to_string(positions_[t]) + ", expected 0" +
                                (next == 0 ? "" : " or " + std::to_string(next)));
  }
}

template <class Scalar>
void basic_decoder<Scalar>::forward(const pages& w, std::span<const std::int32_t> tokens,
                                    const state_quantization& states,
                                    std::span<const std::uint32_t> positions) {
  if (tokens.size() != tokens_) {
    throw std::invalid_argument("decoder: " + std::to_string(tokens.size()) + " tokens, expected " +
                                std::to_string(tokens_));
  }
  set_positions(positions);
  quantization_ = states;
  if (shape_.rope_divisors) {
    const std::size_t head = shape_.tied_head ? 0 : shape_.vocabulary * shape_.hidden;
    fill_turns(w.tail() + shape_.hidden + head);
  }
  const std::size_t hidden = shape_.hidden;
  std::copy(tokens.begin(), tokens.end(), ids_.begin());
  for (std::size_t t = 0; t < tokens_; ++t) {
    if (tokens[t] < 0 || static_cast<std::size_t>(tokens[t]) >= shape_.vocabulary) {
      throw std::invalid_argument("decoder: token " + std::to_string(tokens[t]) +
                                  " is outside of the vocabulary of " +
                                  std::to_string(shape_.vocabulary));
    }
    const Scalar* const row = w.embedding() + static_cast<std::size_t>(tokens[t]) * hidden;
    std::copy(row, row + hidden, &streams_[0](index(t), 0));
  }
  for (std::size_t i = 0; i < shape_.layers; ++i) {
    clock_.enter(step_part::weights);
    const Scalar* const block = w.block(i, room_);
    block_forward(i, block, false);
  }
  clock_.enter(step_part::norms);
  rms_norm(streams_.back(), w.tail(), static_cast<Scalar>(shape_.norm_epsilon), output_input_,
           output_factor_);
  clock_.enter(step_part::states);
  quantize_head_input();
  clock_.leave();
}

/// d(input) = d(out) W, dW += d(out)^T input.
template <class Scalar>
void basic_decoder<Scalar>::linear_backward(const factor<Scalar>& out_gradient, const matrix& input,
                                            const Scalar* w, Scalar* sums, matrix& input_gradient) {
  const std::size_t in = static_cast<std::size_t>(input.cols());
  clock_.enter(step_part::linear);
  multiply_(out_gradient.transposed(), all_of(input), sums, in, result::added);
  multiply_(out_gradient, weight(w, out_gradient.cols, in), input_gradient.data(), in,
            result::written);
}

/// stream_gradient_ from that of the block's output to that of its input.
template <class Scalar>
void basic_decoder<Scalar>::block_backward(std::size_t i, const Scalar* w, Scalar* sums) {
  const std::size_t wide = shape_.feed_forward;
  const block_states& s = states_of(i);
  linear_backward(all_of(branch_gradient(s, input_of::down)), s.product, w + at_.down,
                  sums + at_.down, product_gradient_);
  quantize_input_backward(s, input_of::down, w, sums, product_gradient_);
  clock_.enter(step_part::gates);
  for (Index t = 0; t < index(tokens_); ++t) {
    const auto gate = s.gate_up.row(t).head(index(wide)).array(),
               up = s.gate_up.row(t).tail(index(wide)).array();
    const auto out = product_gradient_.row(t).array();
    auto gate_gradient = gate_up_gradient_.row(t).head(index(wide)).array();
    auto up_gradient = gate_up_gradient_.row(t).tail(index(wide)).array();
    up_gradient = 1 / (1 + (-gate).exp());  // sigma; d silu(g) = sigma (1 + g (1 - sigma))
    gate_gradient = out * up * up_gradient * (1 + gate * (1 - up_gradient));
    up_gradient *= out * gate;
  }
  if (shape_.output_norms) {
    output_norm_backward(s.normed[static_cast<std::size_t>(input_of::gate_up)],
                         widths_of(input_of::gate_up), gate_up_gradient_);
  }
  linear_backward(all_of(gate_up_gradient_), s.feed_input, w + at_.gate_up, sums + at_.gate_up,
                  normed_gradient_);
  quantize_input_backward(s, input_of::gate_up, w, sums, normed_gradient_);
  clock_.enter(step_part::norms);
  rms_norm_backward(s.between, s.feed_factor, w + at_.feed_norm, normed_gradient_, stream_gradient_,
                    sums + at_.feed_norm);

  linear_backward(all_of(branch_gradient(s, input_of::output)), s.mixed, w + at_.output,
                  sums + at_.output, mixed_gradient_);
  quantize_input_backward(s, input_of::output, w, sums, mixed_gradient_);
  clock_.enter(step_part::attention);
  attention_backward(s);
  clock_.enter(step_part::norms);
  turn_heads(qkv_gradient_, -1);
  if (shape_.has_head_norms()) norm_heads_backward(s, w + at_.head_norms, sums + at_.head_norms);
  if (shape_.biases) {  // a token after the other: the order of Eigen's sums goes by alignment
    row_array<Scalar> bias(sums + at_.bias, qkv_gradient_.cols());
    for (Index t = 0; t < index(tokens_); ++t) bias += qkv_gradient_.row(t).array();
  }
  if (shape_.output_norms) {
    output_norm_backward(s.normed[static_cast<std::size_t>(input_of::qkv)],
                         widths_of(input_of::qkv), qkv_gradient_);
  }
  linear_backward(all_of(qkv_gradient_), s.attention_input, w + at_.qkv, sums + at_.qkv,
                  normed_gradient_);
  quantize_input_backward(s, input_of::qkv, w, sums, normed_gradient_);
  clock_.enter(step_part::norms);
  rms_norm_backward(streams_[i], s.attention_factor, w + at_.attention_norm, normed_gradient_,
                    stream_gradient_, sums + at_.attention_norm);
  clock_.leave();
}

template <class Scalar>
void basic_decoder<Scalar>::backward(
    const pages& w, er::matrix_view<const Scalar> head_input_gradient,
    std::span<const er::matrix_view<const Scalar>> hidden_gradients, weights& gradient_sum) {
  const std::size_t hidden = shape_.hidden;
  if (use_ == pass::inference)
    throw std::invalid_argument(
        "decoder: a backward pass of a decoder that was made for inference");
  if (head_input_gradient.rows != tokens_ || head_input_gradient.cols != hidden ||
      hidden_gradients.size() > shape_.layers + 1) {
    throw std::invalid_argument(
        "decoder: gradients of the head's input " +
        shape_text(head_input_gradient.rows, head_input_gradient.cols) + ", and of " +
        std::to_string(hidden_gradients.size()) + " hidden states, do not fit the model's " +
        shape_text(tokens_, hidden) + " and " + std::to_string(shape_.layers + 1));
  }
  const auto add_hidden_gradient = [&](std::size_t i) {
    if (i >= hidden_gradients.size() || hidden_gradients[i].data == nullptr) return;
    const er::matrix_view<const Scalar>& g = hidden_gradients[i];
    if (g.rows != tokens_ || g.cols != hidden) {
      throw std::invalid_argument("decoder: the gradient of hidden states " + std::to_string(i) +
                                  " is " + shape_text(g.rows, g.cols) + ", expected " +
                                  shape_text(tokens_, hidden));
    }
    for (std::size_t t = 0; t < tokens_; ++t) {
      stream_gradient_.row(index(t)).array() += const_row<Scalar>(g.row(t).data(), index(hidden));
    }
  };
  Scalar* const sums = gradient_sum.values().data();

  for (std::size_t t = 0; t < tokens_; ++t) {
    normed_gradient_.row(index(t)).array() =
        const_row<Scalar>(head_input_gradient.row(t).data(), index(hidden));
  }
  stream_gradient_.setZero();
  rms_norm_backward(streams_.back(), output_factor_, w.tail(), normed_gradient_, stream_gradient_,
                    sums + block_offset(shape_, shape_.layers));
  for (std::size_t i = shape_.layers; i-- > 0;) {
    add_hidden_gradient(i + 1);
    clock_.enter(step_part::weights);
    const Scalar* const block = w.block(i, room_);
    if (use_ == pass::recomputed && i + 1 < shape_.layers) block_forward(i, block, true);
    block_backward(i, block, sums + block_offset(shape_, i));
  }
  add_hidden_gradient(0);
  for (std::size_t t = 0; t < tokens_; ++t) {
    row_array<Scalar>(sums + static_cast<std::size_t>(ids_[t]) * hidden, index(hidden)) +=
        stream_gradient_.row(index(t)).array();
  }
}

template class basic_decoder<float>;
template class basic_decoder<double>;

}  // namespace qad
