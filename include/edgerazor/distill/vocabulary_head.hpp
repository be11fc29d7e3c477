// SPDX-License-Identifier: Apache-2.0
/// The head of a model, from hidden states to some columns of the logits and back: what losses need
/// that never hold all logits.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/views.hpp>

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

namespace detail::distill {

template <class Arch>
[[nodiscard]] float dot(const float* a, const float* b, std::size_t size) noexcept {
  using reals = xsimd::batch<float, Arch>;
  reals sums[4] = {reals{0.0f}, reals{0.0f}, reals{0.0f}, reals{0.0f}};
  std::size_t i = 0;
  for (; i + 4 * reals::size <= size; i += 4 * reals::size) {
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = i + k * reals::size;
      sums[k] = xsimd::fma(reals::load_unaligned(a + at), reals::load_unaligned(b + at), sums[k]);
    }
  }
  float sum = xsimd::reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

/// to += factor * from.
template <class Arch>
void add_multiple(float factor, const float* from, std::size_t size, float* to) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const reals factors{factor};
  std::size_t i = 0;
  for (; i + reals::size <= size; i += reals::size) {
    xsimd::fma(factors, reals::load_unaligned(from + i), reals::load_unaligned(to + i))
        .store_unaligned(to + i);
  }
  for (; i < size; ++i) to[i] += factor * from[i];
}

}  // namespace detail::distill

/// A float head in the caller's memory. Plain loops over rows; a host with a matrix library has a
/// faster one in ten lines.
template <class Arch = xsimd::default_arch>
struct basic_dense_head {
  matrix_view<const float> weights;  ///< vocabulary x hidden
  matrix_view<float> gradient = {};  ///< of the same shape; data == nullptr: not wanted

  [[nodiscard]] std::size_t rows() const noexcept { return weights.rows; }
  [[nodiscard]] std::size_t cols() const noexcept { return weights.cols; }

  void logits(matrix_view<const float> hidden, std::size_t first,
              matrix_view<float> out) const noexcept {
    for (std::size_t v = 0; v < out.cols; ++v) {
      const float* row = weights.data + (first + v) * weights.stride;
      for (std::size_t t = 0; t < hidden.rows; ++t) {
        out.data[t * out.stride + v] =
            detail::distill::dot<Arch>(hidden.data + t * hidden.stride, row, weights.cols);
      }
    }
  }
  void backward(matrix_view<const float> logit_gradient, std::size_t first,
                matrix_view<const float> hidden,
                matrix_view<float> hidden_gradient) const noexcept {
    for (std::size_t v = 0; v < logit_gradient.cols; ++v) {
      const float* row = weights.data + (first + v) * weights.stride;
      for (std::size_t t = 0; t < logit_gradient.rows; ++t) {
        const float g = logit_gradient.data[t * logit_gradient.stride + v];
        if (g == 0) continue;
        if (hidden_gradient.data != nullptr) {
          detail::distill::add_multiple<Arch>(g, row, weights.cols,
                                              hidden_gradient.data + t * hidden_gradient.stride);
        }
        if (gradient.data != nullptr) {
          detail::distill::add_multiple<Arch>(g, hidden.data + t * hidden.stride, weights.cols,
                                              gradient.data + (first + v) * gradient.stride);
        }
      }
    }
  }
};
using dense_head = basic_dense_head<>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
