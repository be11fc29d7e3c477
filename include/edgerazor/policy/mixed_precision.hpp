// SPDX-License-Identifier: Apache-2.0
/// Fake quantization at two precisions: a map chooses for each group between a higher and a lower
/// policy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/quantize_options.hpp>
#include <edgerazor/policy/straight_through.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
template <real_element T>
void check_mask(column_group group, const matrix_view<T>& in, std::span<const std::uint8_t> mask,
                const char* function) {
  const std::size_t groups = groups_per_row(group, in.cols);
  if (core::checked_product(in.rows, groups) == mask.size()) return;
  core::fail(std::string{function} + ": the mask has " + std::to_string(mask.size()) +
             " entries, expected one for each of " + core::shape_text(in.rows, groups) + " groups");
}
}  // namespace detail::policy

/// As `fake_quantize`, each group by `high` where its entry of the mask isn't 0, else by `low`. The
/// mask has one entry for each group of the whole matrix in row-major order, as `precision_mask`
/// gives it: a trainer whose map depends on the shape alone computes it once.
///
///     const auto mask = precision_mask(w, every_nth_row{8}, 64);
///     fake_quantize_mixed<int4<>, ternary<>>(w, out, mask, {}, {}, {.group = 64});
///
/// Fails as `fake_quantize` does, and where the mask has another size, before anything is written.
/// float rows need no memory; else one group is copied.
template <row_group_policy High, mixable_policies<High> Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask,
                         const High& high = {}, const Low& low = {},
                         const quantize_options& options = {}) {
  namespace policy = detail::policy;
  policy::check_shapes(in, out, "fake_quantize_mixed");
  const row_range rows = policy::rows_of(options, in.rows, in.cols, "fake_quantize_mixed");
  const column_group group = policy::groups_of<High>(options);
  policy::check_mask(group, in, mask, "fake_quantize_mixed");
  const float largest = policy::check_finite(in, rows);
  const std::uint8_t* next = mask.data() + rows.begin * groups_per_row(group, in.cols);
  policy::check_scales<High, U>(group, in, rows, largest, high,
                                [at = next]() mutable { return *at++ != 0; });
  policy::check_scales<Low, U>(group, in, rows, largest, low,
                               [at = next]() mutable { return *at++ == 0; });
  policy::visit_groups(
      group, in, rows, [&](const policy::group_place& place, std::span<const float> values) {
        U* to = out.data + place.row * out.stride + place.col;
        if (*next++ != 0) {
          policy::write_values<High>(values.data(), values.size(), policy::fit_of(high, values),
                                     to);
        } else {
          policy::write_values<Low>(values.data(), values.size(), policy::fit_of(low, values), to);
        }
      });
}

/// The same with the mask that a map gives now: the paper's weights at 1.88 bits, and the
/// activations of EdgeRazor (Python) of which a part p (at least one group) is int8 and the others
/// int4:
///
///     fake_quantize_mixed<int4<>, ternary<>>(w, out, every_nth_row{8});
///     fake_quantize_mixed<int8<>, int4<>>(x, out, largest_variance{p, 1});
///
/// A map that reads values is asked about the whole matrix, also where the options name rows.
/// Allocates the mask.
template <row_group_policy High, mixable_policies<High> Low, precision_map Map, real_element T,
          writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, const Map& map,
                         const High& high = {}, const Low& low = {},
                         const quantize_options& options = {}) {
  detail::policy::check_shapes(in, out, "fake_quantize_mixed");
  if constexpr (Map::reads_values) detail::policy::check_finite(in);
  const detail::core::buffer<std::uint8_t> mask =
      detail::policy::mask_of(in, map, detail::policy::groups_of<High>(options));
  fake_quantize_mixed<High, Low>(in, out, std::span<const std::uint8_t>{mask}, high, low, options);
}

/// The clipped straight-through estimator of `fake_quantize_mixed`: the gradient passes where the
/// clamp of the group's policy didn't move the weight, and is zero outside. `weights` are the ones
/// quantized, mask and options those they were quantized with; `grad_in` may be `grad_out`. Fails,
/// before anything is written, where shapes differ, the mask has another size or a weight isn't
/// finite.
template <row_quantizer High, mixable_quantizers<High> Low, real_element T>
void straight_through_clipped_mixed(matrix_view<T> weights, matrix_view<const float> grad_out,
                                    matrix_view<float> grad_in, std::span<const std::uint8_t> mask,
                                    const High& high = {}, const Low& low = {},
                                    const quantize_options& options = {}) {
  namespace policy = detail::policy;
  constexpr const char* function = "straight_through_clipped_mixed";
  policy::check_gradients(weights, grad_out, grad_in, function);
  const row_range rows = policy::rows_of(options, weights.rows, weights.cols, function);
  const column_group group = policy::groups_of<High>(options);
  policy::check_mask(group, weights, mask, function);
  policy::check_finite(weights, rows);
  const std::uint8_t* next = mask.data() + rows.begin * groups_per_row(group, weights.cols);
  policy::visit_groups(
      group, weights, rows, [&](const policy::group_place& place, std::span<const float> values) {
        const float* from = grad_out.data + place.row * grad_out.stride + place.col;
        float* to = grad_in.data + place.row * grad_in.stride + place.col;
        if (*next++ != 0) {
          policy::pass_within_levels(policy::levels_of<High>, values,
                                     policy::scale_of(high, values), from, to);
        } else {
          policy::pass_within_levels(policy::levels_of<Low>, values, policy::scale_of(low, values),
                                     from, to);
        }
      });
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
