// SPDX-License-Identifier: Apache-2.0
/// The head of a model for the library's losses, which never see all of its logits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "product.hpp"
#include <edgerazor/core/views.hpp>

namespace qad {

namespace er = edgerazor;

/// logits = H W^T for some columns, and back: an er::vocabulary_head. Products go through W in
/// place, a few tokens at a time: W^T would have to be packed. Refers to all it is made of; one
/// thread at a time.
template <class Scalar>
class basic_head {
 public:
  /// `weights`: vocabulary x hidden; `gradient`, of the same shape, is added to; null: not wanted.
  basic_head(const Scalar* weights, std::size_t vocabulary, std::size_t hidden,
             multiplier<Scalar>& multiply, Scalar* gradient = nullptr)
      : weights_(weights),
        gradient_(gradient),
        rows_(vocabulary),
        cols_(hidden),
        multiply_(&multiply) {}

  [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }

  /// out = hidden W_part^T, the part being columns [first, first + out.cols).
  void logits(er::matrix_view<const Scalar> hidden, std::size_t first,
              er::matrix_view<Scalar> out) const {
    for (std::size_t token = 0; token < hidden.rows; token += tokens_) {
      const std::size_t count = std::min(tokens_, hidden.rows - token);
      turned_.resize(out.cols * count);
      const factor<Scalar> inputs{hidden.row(token).data(), count, cols_, hidden.stride, 1};
      (*multiply_)(part(first, out.cols), inputs.transposed(), turned_.data(), count,
                   result::written);
      constexpr std::size_t tile = 16;
      for (std::size_t begin = 0; begin < out.cols; begin += tile) {
        const std::size_t end = std::min(out.cols, begin + tile);
        for (std::size_t t = 0; t < count; ++t) {
          Scalar* const row = out.row(token + t).data();
          for (std::size_t v = begin; v < end; ++v) row[v] = turned_[v * count + t];
        }
      }
    }
  }

  /// hidden_gradient += G W_part where it has data, and the head's own gradient += G^T hidden.
  void backward(er::matrix_view<const Scalar> logit_gradient, std::size_t first,
                er::matrix_view<const Scalar> hidden,
                er::matrix_view<Scalar> hidden_gradient) const {
    const factor<Scalar> g{logit_gradient.data, logit_gradient.rows, logit_gradient.cols,
                           logit_gradient.stride, 1};
    if (hidden_gradient.data != nullptr) {
      (*multiply_)(g, part(first, g.cols), hidden_gradient.data, hidden_gradient.stride,
                   result::added);
    }
    if (gradient_ != nullptr) {
      const factor<Scalar> inputs{hidden.data, hidden.rows, cols_, hidden.stride, 1};
      (*multiply_)(g.transposed(), inputs, gradient_ + first * cols_, cols_, result::added);
    }
  }

 private:
  static constexpr std::size_t tokens_ = 128;

  [[nodiscard]] factor<Scalar> part(std::size_t first, std::size_t count) const noexcept {
    return {weights_ + first * cols_, count, cols_, cols_, 1};
  }

  const Scalar* weights_;
  Scalar* gradient_;
  std::size_t rows_, cols_;
  multiplier<Scalar>* multiply_;
  mutable std::vector<Scalar> turned_;
};

}  // namespace qad
