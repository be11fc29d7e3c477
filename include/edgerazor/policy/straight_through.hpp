// SPDX-License-Identifier: Apache-2.0
/// The straight-through estimator: gradients of fake quantization for trainers. Rounding, whose
/// derivative is zero almost everywhere, is taken to be the identity (arXiv 1308.3432); scales are
/// taken to be constants.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/groups.hpp>
#include <edgerazor/policy/quantize_options.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The plain estimator, the one the paper trains with: grad_in = grad_out. The two may be the same
/// memory. Fails where their sizes differ.
inline void straight_through(std::span<const float> grad_out, std::span<float> grad_in) {
  if (grad_out.size() != grad_in.size()) {
    detail::core::fail("straight_through: " + std::to_string(grad_out.size()) + " gradients in, " +
                       std::to_string(grad_in.size()) + " out");
  }
  if (!grad_out.empty())
    std::memmove(grad_in.data(), grad_out.data(), grad_out.size() * sizeof(float));
}

namespace detail::policy {
template <real_element T>
void check_gradients(const matrix_view<T>& weights, const matrix_view<const float>& grad_out,
                     const matrix_view<float>& grad_in, const char* function) {
  if (weights.rows != grad_out.rows || weights.cols != grad_out.cols ||
      weights.rows != grad_in.rows || weights.cols != grad_in.cols) {
    core::fail(std::string{function} + ": weights are " +
               core::shape_text(weights.rows, weights.cols) + ", gradients " +
               core::shape_text(grad_out.rows, grad_out.cols) + " and " +
               core::shape_text(grad_in.rows, grad_in.cols));
  }
}

template <quantizer Policy, class Grouping, real_element T>
void straight_through_rows(const Grouping& grouping, const matrix_view<T>& weights,
                           const matrix_view<const float>& grad_out,
                           const matrix_view<float>& grad_in, row_range rows,
                           const Policy& policy) {
  check_finite(weights, rows);
  visit_groups(grouping, weights, rows,
               [&](const group_place& place, std::span<const float> values) {
                 const float scale = scale_of(policy, values);
                 for_each_piece(place, weights.cols,
                                [&](std::size_t r, std::size_t c, std::size_t n, std::size_t i) {
                                  pass_within_levels(levels_of<Policy>, values.subspan(i, n), scale,
                                                     grad_out.data + r * grad_out.stride + c,
                                                     grad_in.data + r * grad_in.stride + c);
                                });
               });
}
}  // namespace detail::policy

/// The clipped estimator for one group: the gradient passes where the clamp didn't move the weight,
/// and is zero outside. The gradients may be the same memory. Fails where the three sizes differ or
/// a weight isn't finite. Precondition: !weights.empty().
template <quantizer Policy>
void straight_through_clipped(std::span<const float> weights, std::span<const float> grad_out,
                              std::span<float> grad_in, const Policy& policy = {}) {
  if (weights.size() != grad_out.size() || weights.size() != grad_in.size()) {
    detail::core::fail("straight_through_clipped: " + std::to_string(weights.size()) +
                       " weights, gradients " + std::to_string(grad_out.size()) + " and " +
                       std::to_string(grad_in.size()));
  }
  detail::policy::check_finite(matrix_view<const float>{weights});
  detail::policy::pass_within_levels(detail::policy::levels_of<Policy>, weights,
                                     detail::policy::scale_of(policy, weights), grad_out.data(),
                                     grad_in.data());
}

/// The clipped estimator for a matrix `rows x cols`: `weights` are the ones `fake_quantize` was
/// given, in any element type; `grad_in` may be `grad_out`. Fails, before anything is written,
/// where shapes differ or a weight isn't finite. A NaN among the gradients passes, or is cut with
/// its weight.
template <quantizer Policy, real_element T>
void straight_through_clipped(matrix_view<T> weights, matrix_view<const float> grad_out,
                              matrix_view<float> grad_in, const Policy& policy = {}) {
  const detail::policy::grouped_by<typename Policy::granularity> grouping;
  detail::policy::check_gradients(weights, grad_out, grad_in, "straight_through_clipped");
  detail::policy::straight_through_rows(grouping, weights, grad_out, grad_in,
                                        row_range{0, weights.rows}, policy);
}

/// The same for some of the rows, or with groups of a size known at run time, as `fake_quantize`
/// was told.
template <row_quantizer Policy, real_element T>
void straight_through_clipped(matrix_view<T> weights, matrix_view<const float> grad_out,
                              matrix_view<float> grad_in, const Policy& policy,
                              const quantize_options& options) {
  detail::policy::check_gradients(weights, grad_out, grad_in, "straight_through_clipped");
  const row_range rows =
      detail::policy::rows_of(options, weights.rows, weights.cols, "straight_through_clipped");
  detail::policy::straight_through_rows(detail::policy::groups_of<Policy>(options), weights,
                                        grad_out, grad_in, rows, policy);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
