// SPDX-License-Identifier: Apache-2.0
/// A packed (or mixed, or dense) matrix as the head of a fused loss.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/vocabulary_head.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>
#include <edgerazor/product/gemm.hpp>
#include <edgerazor/product/row_lookup.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Logits of a quantized head as its dequantized rows give them: each is dequantized once for all
/// tokens of a block, into `row`, the caller's memory of W.cols() floats. The gradient with respect
/// to the weights is the straight-through one, of the dequantized matrix, and goes to `gradient`
/// (vocabulary x hidden) where that isn't null. A matrix that owns its bytes is referred to and has
/// to live as long; a view or a composition is kept.
///
///     std::vector<float> row(head.cols());
///     er::fused_head<er::entropy_aware_kl>{}(hidden, er::packed_head{head, row}, ...);
template <weight_matrix W>
class packed_head {
 public:
  packed_head(const W& weights, std::span<float> row, matrix_view<float> gradient = {})
      : weights_(weights), row_(row), gradient_(gradient) {
    if (row.size() != weights.cols()) {
      detail::core::fail("packed_head: a row of " + std::to_string(row.size()) +
                         " floats for a matrix of " +
                         detail::core::shape_text(weights.rows(), weights.cols()));
    }
    if (gradient.data != nullptr &&
        (gradient.rows != weights.rows() || gradient.cols != weights.cols())) {
      detail::core::fail(
          "packed_head: weights are " + detail::core::shape_text(weights.rows(), weights.cols()) +
          ", the gradient " + detail::core::shape_text(gradient.rows, gradient.cols));
    }
  }

  [[nodiscard]] std::size_t rows() const noexcept { return weights_.rows(); }
  [[nodiscard]] std::size_t cols() const noexcept { return weights_.cols(); }

  void logits(matrix_view<const float> hidden, std::size_t first, matrix_view<float> out) const {
    for (std::size_t v = 0; v < out.cols; ++v) {
      dense(first + v).logits(hidden, 0, {out.data + v, out.rows, 1, out.stride});
    }
  }
  void backward(matrix_view<const float> logit_gradient, std::size_t first,
                matrix_view<const float> hidden, matrix_view<float> hidden_gradient) const {
    for (std::size_t v = 0; v < logit_gradient.cols; ++v) {
      dense_head row = dense(first + v);
      if (gradient_.data != nullptr)
        row.gradient = gradient_.rows_between(first + v, first + v + 1);
      row.backward({logit_gradient.data + v, logit_gradient.rows, 1, logit_gradient.stride}, 0,
                   hidden, hidden_gradient);
    }
  }

 private:
  [[nodiscard]] dense_head dense(std::size_t v) const {
    look_up_row(weights_, v, row_);
    return {{row_.data(), 1, row_.size()}};
  }

  // A view may be a temporary one: what it refers to lasts, it need not.
  std::conditional_t<detail::matrix::refers<W>, const W, const W&> weights_;
  std::span<float> row_;
  matrix_view<float> gradient_;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
