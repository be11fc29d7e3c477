// SPDX-License-Identifier: Apache-2.0
/// Learned step size quantization (LSQ, Esser et al., arXiv 1902.08153): the scale of each group is
/// a parameter that the optimizer trains beside the weights.
///
/// With v = w / s, levels n = min_level, p = max_level, and g the gradient of the loss for a
/// quantized weight:
///
///     value        level(w, s) * s
///     grad w       g where n < v < p, else 0                                     (eq. 5)
///     grad s       r * sum of g * d over the group                               (eq. 3)
///     d            level - v where n < v < p, n where v <= n, p where v >= p
///     r            1 / sqrt(weights in the group * p)                            (section 2.2)
///     initial s    2 mean|w| / sqrt(p)                                           (section 2.1)
///
/// The paper has one scale a layer; here it is one for each group of a policy's granularity.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/groups.hpp>
#include <edgerazor/policy/mean.hpp>
#include <edgerazor/policy/quantize_options.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The levels and groups of another policy, whose scale rule gives way to learned scales:
/// `learned_step<int4<>>`, `learned_step<ternary<per_group<64>>>`. As a quantizer of its own (for
/// `fake_quantize`, `pack`) its rule is the initial scale.
///
/// Learned scales are the caller's, `rows x groups_per_row` floats in row-major order, beside which
/// the optimizer keeps its moments. A scale below `epsilon` (which an optimizer's step may leave,
/// even negative) counts as epsilon, and has the gradient of one that is epsilon.
template <row_quantizer Levels>
struct learned_step {
  using granularity = typename Levels::granularity;
  using scale_type = typename Levels::scale_type;
  static constexpr int min_level = Levels::min_level;
  static constexpr int max_level = Levels::max_level;
  static constexpr int level_step = detail::policy::level_step<Levels>;
  static constexpr auto levels = detail::policy::rule_of<Levels>();
  static_assert(max_level > 0);

  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// The initial scale, 2 mean|w| / sqrt(max_level). Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    return std::max(
        detail::core::quotient(2 * mean_magnitude(group),
                               detail::core::square_root(static_cast<float>(max_level))),
        epsilon);
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return Levels::level(weight, scale);
  }
  /// The factor of a scale's gradient, 1 / sqrt(count * max_level), for a group of `count` weights.
  [[nodiscard]] static float gradient_scale(std::size_t count) noexcept {
    return detail::core::quotient(
        1.0f, detail::core::square_root(static_cast<float>(count) * static_cast<float>(max_level)));
  }
};

namespace detail::policy {
template <class Policy>
inline constexpr bool is_learned_step = false;
template <class Levels>
inline constexpr bool is_learned_step<learned_step<Levels>> = true;
template <class Levels>
inline constexpr bool is_learned_step<as_stored<learned_step<Levels>>> = true;
}  // namespace detail::policy

/// `learned_step<...>`, or `as_stored` of one.
template <class Policy>
concept learned_quantizer = detail::policy::is_learned_step<Policy>;

namespace detail::policy {
/// Fails where the scales are not one for each group.
template <real_element T>
void check_scale_count(column_group group, const matrix_view<T>& weights, std::size_t count,
                       const char* function) {
  const std::size_t groups = groups_per_row(group, weights.cols);
  if (core::checked_product(weights.rows, groups) == count) return;
  core::fail(std::string{function} + ": " + std::to_string(count) +
             " scales, expected one for each of " + core::shape_text(weights.rows, groups) +
             " groups");
}

/// Fails where one of the rows' scales is NaN or infinite.
inline void check_finite_scales(std::span<const float> scales, std::size_t groups, row_range rows,
                                const char* function) {
  for (std::size_t i = rows.begin * groups; i < rows.end * groups; ++i) {
    if (magnitude_bits(scales[i]) < infinity_bits<float>) continue;
    core::fail(std::string{function} + ": the scale of row " + std::to_string(i / groups) +
               ", group " + std::to_string(i % groups) + " is not finite");
  }
}
}  // namespace detail::policy

/// The initial scales of a matrix: `scales[r * groups + g]` of group g of row r. Fails where there
/// are not `rows x groups_per_row` of them, or a weight isn't finite, before anything is written.
template <learned_quantizer Policy, real_element T>
void initial_scales(matrix_view<T> weights, std::span<float> scales, const Policy& policy = {},
                    const quantize_options& options = {}) {
  const column_group group = detail::policy::groups_of<Policy>(options);
  const row_range rows =
      detail::policy::rows_of(options, weights.rows, weights.cols, "initial_scales");
  detail::policy::check_scale_count(group, weights, scales.size(), "initial_scales");
  detail::policy::check_finite(weights, rows);
  float* next = scales.data() + rows.begin * groups_per_row(group, weights.cols);
  detail::policy::visit_groups(
      group, weights, rows, [&](const detail::policy::group_place&, std::span<const float> values) {
        *next++ = detail::policy::scale_of(policy, values);
      });
}

/// out[r][c] = level(in[r][c], s) * s with the learned scales. Conditions as for `fake_quantize`;
/// fails also where the scales are not one for each group, or not finite, before anything is
/// written. float rows need no memory, else one group is copied.
template <learned_quantizer Policy, real_element T, writable_element U>
void fake_quantize(matrix_view<T> in, std::span<const float> scales, matrix_view<U> out,
                   const Policy& policy = {}, const quantize_options& options = {}) {
  constexpr float top_level = static_cast<float>(std::max(Policy::max_level, -Policy::min_level));
  detail::policy::check_shapes(in, out, "fake_quantize");
  const column_group group = detail::policy::groups_of<Policy>(options);
  const row_range rows = detail::policy::rows_of(options, in.rows, in.cols, "fake_quantize");
  const std::size_t groups = groups_per_row(group, in.cols);
  detail::policy::check_scale_count(group, in, scales.size(), "fake_quantize");
  detail::policy::check_finite_scales(scales, groups, rows, "fake_quantize");
  detail::policy::check_finite(in, rows);
  for (std::size_t i = rows.begin * groups; i < rows.end * groups; ++i) {
    const float unit = detail::policy::value_scale<Policy>(std::max(scales[i], policy.epsilon));
    if (unit * top_level <= detail::policy::largest_finite<U>) continue;
    detail::core::fail("fake_quantize: the scale of row " + std::to_string(i / groups) +
                       ", group " + std::to_string(i % groups) + " is out of the output's range");
  }
  const float* next = scales.data() + rows.begin * groups;
  detail::policy::visit_groups(
      group, in, rows,
      [&](const detail::policy::group_place& place, std::span<const float> values) {
        detail::policy::write_values<Policy>(values.data(), values.size(),
                                             std::max(*next++, policy.epsilon),
                                             out.data + place.row * out.stride + place.col);
      });
}

/// The backward of that: from the gradients for the quantized weights those for the weights
/// (`grad_in`, may be `grad_out`) and those for the scales, both written, not added. A NaN among
/// the gradients gives NaN in the gradient of its group's scale. Sums are taken in double, with the
/// same bits on every instruction set. Fails, before anything is written,
/// where shapes or the number of scales differ, or a weight or a scale isn't finite.
template <learned_quantizer Policy, real_element T>
void learned_step_backward(matrix_view<T> weights, std::span<const float> scales,
                           matrix_view<const float> grad_out, matrix_view<float> grad_in,
                           std::span<float> grad_scales, const Policy& policy = {},
                           const quantize_options& options = {}) {
  constexpr const char* function = "learned_step_backward";
  detail::policy::check_gradients(weights, grad_out, grad_in, function);
  const column_group group = detail::policy::groups_of<Policy>(options);
  const row_range rows = detail::policy::rows_of(options, weights.rows, weights.cols, function);
  const std::size_t groups = groups_per_row(group, weights.cols);
  detail::policy::check_scale_count(group, weights, scales.size(), function);
  detail::policy::check_finite_scales(scales, groups, rows, function);
  if (grad_scales.size() != scales.size()) {
    detail::core::fail("learned_step_backward: " + std::to_string(scales.size()) + " scales, " +
                       std::to_string(grad_scales.size()) + " gradients of scales");
  }
  detail::policy::check_finite(weights, rows);
  std::size_t next = rows.begin * groups;
  detail::policy::visit_groups(
      group, weights, rows,
      [&](const detail::policy::group_place& place, std::span<const float> values) {
        const double sum = detail::policy::learned_step_gradient<Policy>(
            values, std::max(scales[next], policy.epsilon),
            grad_out.data + place.row * grad_out.stride + place.col,
            grad_in.data + place.row * grad_in.stride + place.col);
        grad_scales[next++] =
            static_cast<float>(sum * static_cast<double>(Policy::gradient_scale(values.size())));
      });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
