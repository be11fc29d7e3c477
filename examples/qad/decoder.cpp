// SPDX-License-Identifier: Apache-2.0
#include "decoder.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../support/shape_text.hpp"
#include <edgerazor/core/contract.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace qad {

namespace {

using Eigen::Index;

Index index(std::size_t i) { return static_cast<Index>(i); }

template <class Scalar>
factor<Scalar> all_of(const basic_matrix<Scalar>& m) {
  const auto rows = static_cast<std::size_t>(m.rows()), cols = static_cast<std::size_t>(m.cols());
  return {m.data(), rows, cols, cols, 1};
}

/// Rows [row, row + rows), columns [col, col + cols).
template <class Scalar>
factor<Scalar> part_of(const basic_matrix<Scalar>& m, std::size_t row, std::size_t rows,
                       std::size_t col, std::size_t cols) {
  const auto step = static_cast<std::size_t>(m.cols());
  return {m.data() + row * step + col, rows, cols, step, 1};
}

template <class Scalar>
using row_array = Eigen::Map<Eigen::Array<Scalar, 1, Eigen::Dynamic>>;
template <class Scalar>
using const_row = Eigen::Map<const Eigen::Array<Scalar, 1, Eigen::Dynamic>>;

/// out = x factor * weight with factor = 1 / sqrt(mean(x^2) + epsilon), for each token.
template <class Scalar>
void rms_norm(const basic_matrix<Scalar>& x, const Scalar* weight, Scalar epsilon,
              basic_matrix<Scalar>& out, Eigen::Array<Scalar, Eigen::Dynamic, 1>& factors) {
  const const_row<Scalar> w(weight, x.cols());
  for (Index t = 0; t < x.rows(); ++t) {
    factors[t] = 1 / std::sqrt(x.row(t).squaredNorm() / static_cast<Scalar>(x.cols()) + epsilon);
    out.row(t).array() = x.row(t).array() * factors[t] * w;
  }
}

/// With y = x factor: dx += factor (g - y mean(g * y)), g = dout * weight; dweight += sum of dout *
/// y over the tokens.
template <class Scalar>
void rms_norm_backward(const basic_matrix<Scalar>& x,
                       const Eigen::Array<Scalar, Eigen::Dynamic, 1>& factors, const Scalar* weight,
                       const basic_matrix<Scalar>& out_gradient, basic_matrix<Scalar>& x_gradient,
                       Scalar* weight_gradient) {
  const const_row<Scalar> w(weight, x.cols());
  row_array<Scalar> dw(weight_gradient, x.cols());
  for (Index t = 0; t < x.rows(); ++t) {
    const auto y = x.row(t).array() * factors[t];
    const auto out = out_gradient.row(t).array();
    const Scalar mean = (out * w * y).sum() / static_cast<Scalar>(x.cols());
    dw += out * y;
    x_gradient.row(t).array() += factors[t] * (out * w - y * mean);
  }
}

/// In place; er::quantize_activations and er::kv_cache hold the same numbers. Fails where one is
/// not finite.
void quantize_groups(er::matrix_view<float> states, std::size_t group) {
  er::fake_quantize<er::int8<>>(states, states, {}, {.group = group});
}

}  // namespace

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
  for (std::size_t i = 0; i < s.layers; ++i) {
    const auto offset = [&](const char* name) {
      return find_weight(layout, "blk." + std::to_string(i) + "." + name + ".weight").offset;
    };
    offsets_.push_back({offset("attn_norm"), offset("attn_q"), offset("attn_output"),
                        offset("ffn_norm"), offset("ffn_gate"), offset("ffn_down")});
  }
  output_norm_ = layout.back().offset;

  const Index pairs = index(s.head_size / 2);
  cosines_.resize(index(length), pairs);
  sines_.resize(index(length), pairs);
  for (Index i = 0; i < pairs; ++i) {
    const double frequency =
        std::pow(static_cast<double>(s.rope_base),
                 -2.0 * static_cast<double>(i) / static_cast<double>(s.head_size));
    for (Index p = 0; p < index(length); ++p) {
      cosines_(p, i) = static_cast<Scalar>(std::cos(static_cast<double>(p) * frequency));
      sines_(p, i) = static_cast<Scalar>(std::sin(static_cast<double>(p) * frequency));
    }
  }

  const auto room = [this](std::size_t cols) { return matrix(index(tokens_), index(cols)); };
  const std::size_t qkv = s.query_size() + 2 * s.kv_size();
  for (std::size_t i = 0; i <= s.layers; ++i) streams_.push_back(room(s.hidden));
  for (std::size_t i = 0; i < (use == pass::training ? s.layers : 1); ++i) {
    blocks_.push_back({room(s.hidden), room(qkv), matrix(index(tokens_ * s.heads), index(length)),
                       room(s.query_size()), room(s.hidden), room(s.hidden),
                       room(2 * s.feed_forward), room(s.feed_forward), vector(index(tokens_)),
                       vector(index(tokens_))});
  }
  output_input_ = room(s.hidden);
  logits_ = room(s.vocabulary);
  output_factor_.resize(index(tokens_));
  ids_.resize(tokens_);
  if (use == pass::inference) return;
  stream_gradient_ = room(s.hidden);
  normed_gradient_ = room(s.hidden);
  qkv_gradient_ = room(qkv);
  mixed_gradient_ = room(s.query_size());
  gate_up_gradient_ = room(2 * s.feed_forward);
  product_gradient_ = room(s.feed_forward);
  score_gradient_.resize(index(length), index(length));
}

template <class Scalar>
er::matrix_view<Scalar> basic_decoder<Scalar>::logits() noexcept {
  return {logits_.data(), tokens_, shape_.vocabulary};
}

template <class Scalar>
er::matrix_view<const Scalar> basic_decoder<Scalar>::hidden(std::size_t i) const {
  if (i > shape_.layers)
    throw std::invalid_argument("decoder: hidden states " + std::to_string(i) + " of a model of " +
                                std::to_string(shape_.layers) + " blocks");
  return {streams_[i].data(), tokens_, shape_.hidden};
}

template <class Scalar>
factor<Scalar> basic_decoder<Scalar>::weight(const weights& w, std::size_t offset, std::size_t out,
                                             std::size_t in) {
  return {w.values().data() + offset, out, in, in, 1};
}

/// Turns queries and keys; direction -1 turns back, which is the transpose.
template <class Scalar>
void basic_decoder<Scalar>::turn_heads(matrix& qkv, Scalar direction) const {
  const std::size_t pairs = shape_.head_size / 2, heads = shape_.heads + shape_.kv_heads;
  for (std::size_t t = 0; t < tokens_; ++t) {
    const Scalar* const cosines = &cosines_(index(t % length_), 0);
    const Scalar* const sines = &sines_(index(t % length_), 0);
    Scalar* head = &qkv(index(t), 0);
    for (std::size_t h = 0; h < heads; ++h, head += 2 * pairs) {
      for (std::size_t i = 0; i < pairs; ++i) {
        const Scalar x = head[2 * i], y = head[2 * i + 1], sine = direction * sines[i];
        head[2 * i] = x * cosines[i] - y * sine;
        head[2 * i + 1] = x * sine + y * cosines[i];
      }
    }
  }
}

/// mixed = softmax(queries keys^T / sqrt(head size)) values over the positions up to each query's
/// own.
template <class Scalar>
void basic_decoder<Scalar>::attention(block_states& s) {
  const std::size_t size = shape_.head_size, key_column = shape_.query_size();
  const std::size_t value_column = key_column + shape_.kv_size(),
                    shared = shape_.heads / shape_.kv_heads;
  const Scalar scale = 1 / std::sqrt(static_cast<Scalar>(size));
  for (std::size_t sequence = 0; sequence < sequences_; ++sequence) {
    const std::size_t first = sequence * length_;
    for (std::size_t head = 0; head < shape_.heads; ++head) {
      const auto query = part_of(s.qkv, first, length_, head * size, size);
      const auto key = part_of(s.qkv, first, length_, key_column + head / shared * size, size);
      const auto value = part_of(s.qkv, first, length_, value_column + head / shared * size, size);
      const std::size_t row = (sequence * shape_.heads + head) * length_;
      Scalar* const scores = &s.probabilities(index(row), 0);
      multiply_(query, key.transposed(), scores, length_, result::written,
                skip::above_diagonal_of_result);
      for (std::size_t t = 0; t < length_; ++t) {
        row_array<Scalar> seen(scores + t * length_, index(t + 1));
        seen = ((seen - seen.maxCoeff()) * scale).exp();
        seen *= 1 / seen.sum();
        std::fill(scores + t * length_ + t + 1, scores + (t + 1) * length_, Scalar{0});
      }
      multiply_(part_of(s.probabilities, row, length_, 0, length_), value,
                &s.mixed(index(first), index(head * size)), shape_.query_size(), result::written,
                skip::above_diagonal_of_left);
    }
  }
}

/// qkv_gradient_ from mixed_gradient_. With P the probabilities, O = P V and S = Q K^T / sqrt(head
/// size): dP = dO V^T, dV = P^T dO, dS = P * (dP - rowsum(P * dP)), dQ = dS K / sqrt(head size), dK
/// = dS^T Q / sqrt(head size).
template <class Scalar>
void basic_decoder<Scalar>::attention_backward(const block_states& s) {
  const std::size_t size = shape_.head_size, key_column = shape_.query_size();
  const std::size_t value_column = key_column + shape_.kv_size(),
                    shared = shape_.heads / shape_.kv_heads;
  const std::size_t step = value_column + shape_.kv_size();
  const Scalar scale = 1 / std::sqrt(static_cast<Scalar>(size));
  for (std::size_t sequence = 0; sequence < sequences_; ++sequence) {
    const std::size_t first = sequence * length_;
    for (std::size_t head = 0; head < shape_.heads; ++head) {
      const result sum = head % shared == 0 ? result::written : result::added;
      const std::size_t key_at = key_column + head / shared * size,
                        value_at = value_column + head / shared * size;
      const auto query = part_of(s.qkv, first, length_, head * size, size);
      const auto key = part_of(s.qkv, first, length_, key_at, size);
      const auto value = part_of(s.qkv, first, length_, value_at, size);
      const auto out = part_of(mixed_gradient_, first, length_, head * size, size);
      const std::size_t row = (sequence * shape_.heads + head) * length_;
      const auto probabilities = part_of(s.probabilities, row, length_, 0, length_);

      multiply_(probabilities.transposed(), out, &qkv_gradient_(index(first), index(value_at)),
                step, sum, skip::below_diagonal_of_left);
      multiply_(out, value.transposed(), score_gradient_.data(), length_, result::written,
                skip::above_diagonal_of_result);
      for (std::size_t t = 0; t < length_; ++t) {
        const const_row<Scalar> p(probabilities.data + t * length_, index(t + 1));
        row_array<Scalar> gradient(&score_gradient_(index(t), 0), index(t + 1));
        const Scalar mean = (p * gradient).sum();
        gradient = p * (gradient - mean) * scale;
        std::fill(gradient.data() + t + 1, gradient.data() + length_, Scalar{0});
      }
      multiply_(all_of(score_gradient_), key, &qkv_gradient_(index(first), index(head * size)),
                step, result::written, skip::above_diagonal_of_left);
      multiply_(all_of(score_gradient_).transposed(), query,
                &qkv_gradient_(index(first), index(key_at)), step, sum,
                skip::below_diagonal_of_left);
    }
  }
}

template <class Scalar>
void basic_decoder<Scalar>::forward(const weights& w, std::span<const std::int32_t> tokens,
                                    const state_quantization& states) {
  if (tokens.size() != tokens_) {
    throw std::invalid_argument("decoder: " + std::to_string(tokens.size()) + " tokens, expected " +
                                std::to_string(tokens_));
  }
  const std::size_t hidden = shape_.hidden, query_size = shape_.query_size(),
                    kv_size = shape_.kv_size();
  const std::size_t qkv_size = query_size + 2 * kv_size, wide = shape_.feed_forward;
  const Scalar epsilon = static_cast<Scalar>(shape_.norm_epsilon);
  const Scalar* const all = w.values().data();
  const auto quantize_input = [&](matrix& input) {
    if constexpr (std::is_same_v<Scalar, float>) {
      if (states.activation_group != 0) {
        quantize_groups({input.data(), tokens_, static_cast<std::size_t>(input.cols())},
                        states.activation_group);
      }
    }
  };

  std::copy(tokens.begin(), tokens.end(), ids_.begin());
  for (std::size_t t = 0; t < tokens_; ++t) {
    if (tokens[t] < 0 || static_cast<std::size_t>(tokens[t]) >= shape_.vocabulary) {
      throw std::invalid_argument("decoder: token " + std::to_string(tokens[t]) +
                                  " is outside of the vocabulary of " +
                                  std::to_string(shape_.vocabulary));
    }
    const Scalar* const row = all + static_cast<std::size_t>(tokens[t]) * hidden;
    std::copy(row, row + hidden, &streams_[0](index(t), 0));
  }
  for (std::size_t i = 0; i < shape_.layers; ++i) {
    block_states& s = states_of(i);
    const block_offsets& at = offsets_[i];
    rms_norm(streams_[i], all + at.attention_norm, epsilon, s.attention_input, s.attention_factor);
    quantize_input(s.attention_input);
    multiply_(all_of(s.attention_input), weight(w, at.qkv, qkv_size, hidden).transposed(),
              s.qkv.data(), qkv_size, result::written);
    turn_heads(s.qkv, 1);
    if constexpr (std::is_same_v<Scalar, float>) {
      if (states.cache) {
        quantize_groups({s.qkv.data() + query_size, tokens_, 2 * kv_size, qkv_size},
                        shape_.head_size);
      }
    }
    attention(s);
    quantize_input(s.mixed);
    s.between = streams_[i];
    multiply_(all_of(s.mixed), weight(w, at.output, hidden, query_size).transposed(),
              s.between.data(), hidden, result::added);

    rms_norm(s.between, all + at.feed_norm, epsilon, s.feed_input, s.feed_factor);
    quantize_input(s.feed_input);
    multiply_(all_of(s.feed_input), weight(w, at.gate_up, 2 * wide, hidden).transposed(),
              s.gate_up.data(), 2 * wide, result::written);
    for (Index t = 0; t < index(tokens_); ++t) {
      const auto gate = s.gate_up.row(t).head(index(wide)).array(),
                 up = s.gate_up.row(t).tail(index(wide)).array();
      s.product.row(t).array() = gate / (1 + (-gate).exp()) * up;
    }
    quantize_input(s.product);
    streams_[i + 1] = s.between;
    multiply_(all_of(s.product), weight(w, at.down, hidden, wide).transposed(),
              streams_[i + 1].data(), hidden, result::added);
  }
  rms_norm(streams_.back(), all + output_norm_, epsilon, output_input_, output_factor_);
  quantize_input(output_input_);
  multiply_(all_of(output_input_), weight(w, 0, shape_.vocabulary, hidden).transposed(),
            logits_.data(), shape_.vocabulary, result::written);
}

template <class Scalar>
void basic_decoder<Scalar>::backward(
    const weights& w, er::matrix_view<const Scalar> logits_gradient,
    std::span<const er::matrix_view<const Scalar>> hidden_gradients, weights& gradient_sum) {
  const std::size_t hidden = shape_.hidden, wide = shape_.feed_forward;
  if (use_ == pass::inference)
    throw std::invalid_argument(
        "decoder: a backward pass of a decoder that was made for inference");
  if (logits_gradient.rows != tokens_ || logits_gradient.cols != shape_.vocabulary ||
      hidden_gradients.size() > shape_.layers + 1) {
    throw std::invalid_argument(
        "decoder: gradients of logits " + shape_text(logits_gradient.rows, logits_gradient.cols) +
        ", and of " + std::to_string(hidden_gradients.size()) +
        " hidden states, do not fit the model's " + shape_text(tokens_, shape_.vocabulary) +
        " and " + std::to_string(shape_.layers + 1));
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
  const Scalar* const all = w.values().data();
  Scalar* const sums = gradient_sum.values().data();
  // d(input) = d(out) W, dW += d(out)^T input.
  const auto linear_backward = [&](const factor<Scalar>& out_gradient, const matrix& input,
                                   std::size_t offset, matrix& input_gradient) {
    const std::size_t in = static_cast<std::size_t>(input.cols());
    multiply_(out_gradient.transposed(), all_of(input), sums + offset, in, result::added);
    multiply_(out_gradient, weight(w, offset, out_gradient.cols, in), input_gradient.data(), in,
              result::written);
  };

  linear_backward({logits_gradient.data, tokens_, shape_.vocabulary, logits_gradient.stride, 1},
                  output_input_, 0, normed_gradient_);
  stream_gradient_.setZero();
  rms_norm_backward(streams_.back(), output_factor_, all + output_norm_, normed_gradient_,
                    stream_gradient_, sums + output_norm_);
  for (std::size_t i = shape_.layers; i-- > 0;) {
    const block_states& s = blocks_[i];
    const block_offsets& at = offsets_[i];
    add_hidden_gradient(i + 1);
    linear_backward(all_of(stream_gradient_), s.product, at.down, product_gradient_);
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
    linear_backward(all_of(gate_up_gradient_), s.feed_input, at.gate_up, normed_gradient_);
    rms_norm_backward(s.between, s.feed_factor, all + at.feed_norm, normed_gradient_,
                      stream_gradient_, sums + at.feed_norm);

    linear_backward(all_of(stream_gradient_), s.mixed, at.output, mixed_gradient_);
    attention_backward(s);
    turn_heads(qkv_gradient_, -1);
    linear_backward(all_of(qkv_gradient_), s.attention_input, at.qkv, normed_gradient_);
    rms_norm_backward(streams_[i], s.attention_factor, all + at.attention_norm, normed_gradient_,
                      stream_gradient_, sums + at.attention_norm);
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
