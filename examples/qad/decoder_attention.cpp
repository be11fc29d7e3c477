// SPDX-License-Identifier: Apache-2.0
/// A decoder's attention, and what happens to queries and keys before, forward and backward.
#include <algorithm>
#include <cmath>

#include "decoder.hpp"
#include "matrix_parts.hpp"

namespace qad {

/// Each head of query and key: x f weight with f = 1 / rms(x).
template <class Scalar>
void basic_decoder<Scalar>::norm_heads(block_states& s, const Scalar* weight) const {
  const std::size_t size = shape_.head_size, heads = shape_.heads + shape_.kv_heads;
  const Scalar epsilon = static_cast<Scalar>(shape_.norm_epsilon);
  for (std::size_t t = 0; t < tokens_; ++t) {
    for (std::size_t h = 0; h < heads; ++h) {
      row_array<Scalar> head(&s.qkv(index(t), index(h * size)), index(size));
      row_array<Scalar> raw(&s.raw_heads(index(t), index(h * size)), index(size));
      const const_row<Scalar> w(weight + (h < shape_.heads ? 0 : size), index(size));
      raw = head;
      Scalar& factor = s.head_factor[index(t * heads + h)];
      factor = 1 / std::sqrt(raw.square().sum() / static_cast<Scalar>(size) + epsilon);
      head = raw * factor * w;
    }
  }
}

/// qkv_gradient_ in place; see rms_norm_backward.
template <class Scalar>
void basic_decoder<Scalar>::norm_heads_backward(const block_states& s, const Scalar* weight,
                                                Scalar* weight_gradient) {
  const std::size_t size = shape_.head_size, heads = shape_.heads + shape_.kv_heads;
  for (std::size_t t = 0; t < tokens_; ++t) {
    for (std::size_t h = 0; h < heads; ++h) {
      row_array<Scalar> gradient(&qkv_gradient_(index(t), index(h * size)), index(size));
      const const_row<Scalar> raw(&s.raw_heads(index(t), index(h * size)), index(size));
      const std::size_t own = h < shape_.heads ? 0 : size;
      const const_row<Scalar> w(weight + own, index(size));
      const Scalar factor = s.head_factor[index(t * heads + h)];
      const Scalar mean = (gradient * w * raw).sum() * factor / static_cast<Scalar>(size);
      row_array<Scalar>(weight_gradient + own, index(size)) += gradient * raw * factor;
      gradient = factor * (gradient * w - raw * factor * mean);
    }
  }
}

/// Turns queries and keys; direction -1 turns back, which is the transpose.
template <class Scalar>
void basic_decoder<Scalar>::turn_heads(matrix& qkv, Scalar direction) const {
  const std::size_t pairs = shape_.rope_pairs(), heads = shape_.heads + shape_.kv_heads;
  const bool halves = shape_.arch != llm::architecture::llama;
  for (std::size_t t = 0; t < tokens_; ++t) {
    const Scalar* const cosines = &cosines_(index(positions_[t]), 0);
    const Scalar* const sines = &sines_(index(positions_[t]), 0);
    Scalar* head = &qkv(index(t), 0);
    for (std::size_t h = 0; h < heads; ++h, head += shape_.head_size) {
      for (std::size_t i = 0; i < pairs; ++i) {
        Scalar& a = head[halves ? i : 2 * i];
        Scalar& b = head[halves ? i + pairs : 2 * i + 1];
        const Scalar x = a, y = b, sine = direction * sines[i];
        a = x * cosines[i] - y * sine;
        b = x * sine + y * cosines[i];
      }
    }
  }
}

/// mixed = softmax(queries keys^T / sqrt(head size)) values over the tokens of each query's text up
/// to its own.
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
        Scalar* const begin = scores + t * length_;
        const std::size_t position = positions_[first + t];
        row_array<Scalar> seen(begin + t - position, index(position + 1));
        seen = ((seen - seen.maxCoeff()) * scale).exp();
        seen *= 1 / seen.sum();
        std::fill(begin, begin + t - position, Scalar{0});
        std::fill(begin + t + 1, begin + length_, Scalar{0});
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
  const std::size_t step = shape_.qkv_size();
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
        const std::size_t position = positions_[first + t];
        Scalar* const begin = &score_gradient_(index(t), 0);
        const const_row<Scalar> p(probabilities.data + t * length_ + t - position,
                                  index(position + 1));
        row_array<Scalar> gradient(begin + t - position, index(position + 1));
        const Scalar mean = (p * gradient).sum();
        gradient = p * (gradient - mean) * scale;
        std::fill(begin, begin + t - position, Scalar{0});
        std::fill(begin + t + 1, begin + length_, Scalar{0});
      }
      multiply_(all_of(score_gradient_), key, &qkv_gradient_(index(first), index(head * size)),
                step, result::written, skip::above_diagonal_of_left);
      multiply_(all_of(score_gradient_).transposed(), query,
                &qkv_gradient_(index(first), index(key_at)), step, sum,
                skip::below_diagonal_of_left);
    }
  }
}

template void basic_decoder<float>::norm_heads(block_states&, const float*) const;
template void basic_decoder<float>::norm_heads_backward(const block_states&, const float*, float*);
template void basic_decoder<float>::turn_heads(matrix&, float) const;
template void basic_decoder<float>::attention(block_states&);
template void basic_decoder<float>::attention_backward(const block_states&);
template void basic_decoder<double>::norm_heads(block_states&, const double*) const;
template void basic_decoder<double>::norm_heads_backward(const block_states&, const double*,
                                                         double*);
template void basic_decoder<double>::turn_heads(matrix&, double) const;
template void basic_decoder<double>::attention(block_states&);
template void basic_decoder<double>::attention_backward(const block_states&);

}  // namespace qad
