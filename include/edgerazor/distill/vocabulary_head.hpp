// SPDX-License-Identifier: Apache-2.0
/// The head of a model, from hidden states to some columns of the logits and back: what losses need
/// that never hold all logits.
#pragma once

#include <concepts>
#include <cstddef>

#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/row/features.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// logits = H W^T with W `vocabulary x hidden`, for columns [first, first + out.cols):
///
///     logits(H, first, out)         out = H W_part^T                         H: tokens x hidden, out: tokens x part
///     backward(G, first, H, dH)     dH += G W_part, and W's own gradient, if it keeps one, += G^T H
template <class Head>
concept vocabulary_head = requires(const Head& head, matrix_view<const float> in, std::size_t first,
                                   matrix_view<float> out) {
  { head.rows() } -> std::convertible_to<std::size_t>;
  { head.cols() } -> std::convertible_to<std::size_t>;
  head.logits(in, first, out);
  head.backward(in, first, in, out);
};

/// A float head in the caller's memory. Plain loops over rows; a host with a matrix library has a
/// faster one in ten lines.
struct dense_head {
  matrix_view<const float> weights;  ///< vocabulary x hidden
  matrix_view<float> gradient = {};  ///< of the same shape; data == nullptr: not wanted

  [[nodiscard]] std::size_t rows() const noexcept { return weights.rows; }
  [[nodiscard]] std::size_t cols() const noexcept { return weights.cols; }

  void logits(matrix_view<const float> hidden, std::size_t first,
              matrix_view<float> out) const noexcept {
    for (std::size_t v = 0; v < out.cols; ++v) {
      const float* row = weights.row(first + v).data();
      for (std::size_t t = 0; t < hidden.rows; ++t)
        out.row(t)[v] = detail::row::float_dot(hidden.row(t).data(), row, weights.cols);
    }
  }
  void backward(matrix_view<const float> logit_gradient, std::size_t first,
                matrix_view<const float> hidden,
                matrix_view<float> hidden_gradient) const noexcept {
    using detail::row::float_add_multiple;
    for (std::size_t v = 0; v < logit_gradient.cols; ++v) {
      const float* row = weights.row(first + v).data();
      for (std::size_t t = 0; t < logit_gradient.rows; ++t) {
        const float g = logit_gradient.row(t)[v];
        if (g == 0) continue;
        if (hidden_gradient.data != nullptr)
          float_add_multiple(g, row, weights.cols, hidden_gradient.row(t).data());
        if (gradient.data != nullptr) {
          float_add_multiple(g, hidden.row(t).data(), weights.cols, gradient.row(first + v).data());
        }
      }
    }
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
