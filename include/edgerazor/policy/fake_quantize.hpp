// SPDX-License-Identifier: Apache-2.0
/// Quantize and dequantize at once: what a weight, an activation or a cached key becomes, still as
/// a real number. For trainers, and for measuring what a policy costs before anything is packed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/group_loops.hpp>
#include <edgerazor/policy/groups.hpp>
#include <edgerazor/policy/quantize_options.hpp>
#include <edgerazor/policy/quantizer.hpp>
#include <edgerazor/policy/vector_group.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// An element type that results are written to.
template <class T>
concept writable_element = real_element<T> && !std::is_const_v<T>;

namespace detail::policy {
template <real_element U>
inline constexpr float largest_finite = std::is_same_v<U, float16>    ? 65504.0f
                                        : std::is_same_v<U, bfloat16> ? 0x1.fep127f
                                                                      : 0x1.fffffep127f;

/// Groups that a policy quantizes, asked about in order.
struct every_group {
  constexpr bool operator()() const noexcept { return true; }
};

/// Fails where a group's values, the largest level times the scale, leave the range of U, or a
/// rounded scale that of its type. Scales are of the size of the weights, and the sum of
/// 2^40 weights below 2^80 is finite, so only larger weights need the check (from 2^6 on where
/// float16 is one of the types), and those whose largest alone has a scale out of range: a factor
/// is the policy's. No scale is smaller than that of a zero, which shows an epsilon or a factor
/// that is NaN, infinite or too large.
template <quantizer Q, real_element U, class Grouping, real_element T, class Chosen = every_group>
void check_scales(const Grouping& grouping, const matrix_view<T>& in, row_range rows, float largest,
                  const Q& policy, Chosen chosen = {}) {
  constexpr bool narrow = std::is_same_v<U, float16> || (requires {
                            Q::rounds_scale;
                          } && std::is_same_v<typename Q::scale_type, float16>);
  constexpr float top_level = static_cast<float>(std::max(Q::max_level, -Q::min_level));
  const float zero = 0, least = value_scale<Q>(scale_of(policy, {&zero, 1}));
  if (!is_finite(least) || least < 0 || least * top_level > largest_finite<U>) {
    core::fail("fake_quantize: the policy gives a zero the scale " + std::to_string(least) +
               ", expected a finite one of at least 0 within the output's range");
  }
  const float most = value_scale<Q>(scale_of(policy, {&largest, 1}));
  if (largest < (narrow ? 0x1p6f : 0x1p80f) && most * top_level <= largest_finite<U>) return;
  visit_groups(grouping, in, rows, [&](const group_place& place, std::span<const float> values) {
    if (!chosen()) return;
    if (value_scale<Q>(scale_of(policy, values)) * top_level <= largest_finite<U>) return;
    core::fail("fake_quantize: the scale of the group at row " + std::to_string(place.row) +
               ", column " + std::to_string(place.col) + " is out of the output's range");
  });
}

template <real_element T, real_element U>
void check_shapes(const matrix_view<T>& in, const matrix_view<U>& out, const char* function) {
  if (in.rows != out.rows || in.cols != out.cols) {
    core::fail(std::string{function} + ": input is " + core::shape_text(in.rows, in.cols) +
               ", output is " + core::shape_text(out.rows, out.cols));
  }
}

/// The same of groups with zeros: the values are those of codes from 0 to the largest.
template <zero_quantizer Q, real_element U, class Grouping, real_element T,
          class Chosen = every_group>
void check_scales(const Grouping& grouping, const matrix_view<T>& in, row_range rows, float,
                  const Q& policy, Chosen chosen = {}) {
  constexpr float top = static_cast<float>((1 << Q::bits) - 1);
  visit_groups(grouping, in, rows, [&](const group_place& place, std::span<const float> values) {
    if (!chosen()) return;
    const group_fit fit = stored_fit<Q>(fit_of(policy, values));
    const float ends[] = {value_of<Q::zero>(0, fit.scale, fit.zero),
                          value_of<Q::zero>(top, fit.scale, fit.zero)};
    // A comparison with NaN is false.
    if (is_finite(fit.scale) && fit.scale >= 0 && is_finite(fit.zero) &&
        ends[0] >= -largest_finite<U> && ends[0] <= largest_finite<U> &&
        ends[1] >= -largest_finite<U> && ends[1] <= largest_finite<U>)
      return;
    core::fail("fake_quantize: the scale or zero of the group at row " + std::to_string(place.row) +
               ", column " + std::to_string(place.col) + " is out of the output's range");
  });
}

/// The same of groups with levels of their own.
template <table_quantizer Q, real_element U, class Grouping, real_element T,
          class Chosen = every_group>
void check_scales(const Grouping& grouping, const matrix_view<T>& in, row_range rows, float,
                  const Q& policy, Chosen chosen = {}) {
  visit_groups(grouping, in, rows, [&](const group_place& place, std::span<const float> values) {
    if (!chosen()) return;
    const table_fit fit = fit_of(policy, values);
    const float scale = value_scale<Q>(fit.scale);
    const int top = std::max(fit.levels.back(), static_cast<std::int8_t>(-fit.levels.front()));
    if (is_finite(scale) && scale >= 0 && scale * static_cast<float>(top) <= largest_finite<U>)
      return;
    core::fail("fake_quantize: the scale of the group at row " + std::to_string(place.row) +
               ", column " + std::to_string(place.col) + " is out of the output's range");
  });
}

template <group_policy Q, class Grouping, real_element T, real_element U>
void fake_quantize_rows(const Grouping& grouping, const matrix_view<T>& in,
                        const matrix_view<U>& out, row_range rows, const Q& policy,
                        const char* what) {
  check_scales<Q, U>(grouping, in, rows, check_finite(in, rows, what), policy);
  visit_groups(grouping, in, rows, [&](const group_place& place, std::span<const float> values) {
    const auto fit = fit_of(policy, values);
    for_each_piece(place, out.cols,
                   [&](std::size_t r, std::size_t c, std::size_t n, std::size_t i) {
                     write_values<Q>(values.data() + i, n, fit, out.data + r * out.stride + c);
                   });
  });
}
}  // namespace detail::policy

/// out[r][c] = level(in[r][c]) * scale of its group, in float32 and rounded once to the output's
/// type; the scale itself is not rounded to `Policy::scale_type` (storing is a different act;
/// `as_stored` does both). A level of 0 gives +0. Of a policy with zeros (zero.hpp) the value is
/// scale * (code - z), or scale * code + m, each operation rounded.
///
/// Input and output are `rows x cols` in any of float, float16, bfloat16, and may be the same
/// memory of the same type, or memory that doesn't overlap. Fails, before anything is written,
/// where the shapes differ (naming both), where a weight is NaN or infinite (naming row and
/// column), where a value would leave the output's range. float rows with groups within rows need
/// no memory; else one group is copied (for per_tensor the matrix).
template <group_policy Policy, real_element T, writable_element U>
void fake_quantize(matrix_view<T> in, matrix_view<U> out, const Policy& policy = {}) {
  const detail::policy::grouped_by<typename Policy::granularity> grouping;
  detail::policy::check_shapes(in, out, "fake_quantize");
  detail::policy::fake_quantize_rows(grouping, in, out, row_range{0, in.rows}, policy, "weight");
}

/// The same for some of the rows, or with groups of a size known at run time: what quantized layers
/// make of their inputs, and attention of its keys and values. Rows are tokens then.
///
///     fake_quantize<int8<>>(x, out, {}, {.group = 64});         // as quantize_activations
///     fake_quantize<int8<>>(x, out, {}, {.group = 0});          // one scale per token
///     fake_quantize<int8<>>(k, out, {}, {.group = head_size});  // as kv_cache
///
/// with k of tokens x (kv_heads * head_size).
/// Where a head's columns have several groups of which the last is shorter, give rows of one head
/// each: `matrix_view{k, tokens * kv_heads, head_size}`. The gradient passes unchanged
/// (`straight_through`): the largest magnitude is a level, nothing is clipped. A NaN is refused
/// here, where `quantize_activations` lets it pass.
template <row_group_policy Policy, real_element T, writable_element U>
void fake_quantize(matrix_view<T> in, matrix_view<U> out, const Policy& policy,
                   const quantize_options& options) {
  detail::policy::check_shapes(in, out, "fake_quantize");
  const row_range rows = detail::policy::rows_of(options, in.rows, in.cols, "fake_quantize");
  detail::policy::fake_quantize_rows(detail::policy::groups_of<Policy>(options), in, out, rows,
                                     policy, options.group ? "value" : "weight");
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
