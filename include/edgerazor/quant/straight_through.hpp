/// The straight-through estimator: gradients of fake quantization for trainers. Rounding, whose derivative is zero
/// almost everywhere, is taken to be the identity (arXiv 1308.3432); scales are taken to be constants.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/quant/finite.hpp>
#include <edgerazor/quant/groups.hpp>
#include <edgerazor/quant/quantizer.hpp>

namespace edgerazor::inline v0 {

/// The plain estimator, the one the paper trains with: grad_in = grad_out. The two may be the same memory. Fails where
/// their sizes differ.
inline void straight_through(std::span<const float> grad_out, std::span<float> grad_in) {
  if (grad_out.size() != grad_in.size()) {
    fail("straight_through: " + std::to_string(grad_out.size()) + " gradients in, " + std::to_string(grad_in.size()) +
         " out");
  }
  if (!grad_out.empty()) std::memmove(grad_in.data(), grad_out.data(), grad_out.size() * sizeof(float));
}

/// True where rounding alone gives a level of the policy: min_level <= round_half_even(w / scale) <= max_level. There
/// the clamp is the identity too. A rounding error in the scale can't put a group's largest weight outside.
template <quantizer Q>
[[nodiscard]] constexpr bool within_levels(float weight, float scale) noexcept {
  const int level = round_to_level<Q::min_level - 1, Q::max_level + 1>(weight / scale);
  return level >= Q::min_level && level <= Q::max_level;
}

/// The clipped estimator for one group: the gradient passes where the clamp didn't move the weight, and is zero
/// outside. All three have the group's size; the gradients may be the same memory. Precondition: !weights.empty(),
/// finite.
template <quantizer Q>
void straight_through_clipped(const Q& policy, std::span<const float> weights, const float* grad_out,
                              float* grad_in) noexcept {
  const float scale = policy.scale(weights);
  for (std::size_t i = 0; i < weights.size(); ++i)
    grad_in[i] = within_levels<Q>(weights[i], scale) ? grad_out[i] : 0.0f;
}

/// The clipped estimator for a matrix `rows x cols`: `weights` are the ones `fake_quantize` was given, in any element
/// type; `grad_in` may be `grad_out`. Fails, before anything is written, where shapes differ or a weight isn't finite.
template <quantizer Policy, real_element T>
void straight_through_clipped(matrix_view<T> weights, matrix_view<const float> grad_out, matrix_view<float> grad_in,
                              const Policy& policy = {}) {
  if (weights.rows != grad_out.rows || weights.cols != grad_out.cols || weights.rows != grad_in.rows ||
      weights.cols != grad_in.cols) {
    fail("straight_through_clipped: weights are " + shape_text(weights.rows, weights.cols) + ", gradients " +
         shape_text(grad_out.rows, grad_out.cols) + " and " + shape_text(grad_in.rows, grad_in.cols));
  }
  const row_range rows{0, weights.rows};
  check_finite(weights, rows);
  detail::for_each_group<typename Policy::granularity>(
      weights, rows, [&](detail::group_place place, std::span<const float> values) {
        const float scale = policy.scale(values);
        detail::for_each_piece(place, weights.cols, [&](std::size_t r, std::size_t c, std::size_t n, std::size_t i) {
          for (std::size_t j = 0; j < n; ++j) {
            const bool inside = within_levels<Policy>(values[i + j], scale);
            grad_in.data[r * grad_in.stride + c + j] = inside ? grad_out.data[r * grad_out.stride + c + j] : 0.0f;
          }
        });
      });
}

}  // namespace edgerazor::inline v0
