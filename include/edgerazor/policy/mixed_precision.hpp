// SPDX-License-Identifier: Apache-2.0
/// Fake quantization at two precisions: a map chooses for each group between a higher and a lower
/// policy.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/precision_map.hpp>
#include <edgerazor/policy/straight_through.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Two policies that may share a matrix: both have the same groups, within rows.
template <class A, class B>
concept mixable_quantizers = row_quantizer<A> && row_quantizer<B> &&
                             std::same_as<typename A::granularity, typename B::granularity>;

/// The mask a map gives for a matrix of any element type, one entry per group in row-major order.
/// Where the map reads values, 16-bit elements are copied to floats first.
template <precision_map Map, real_element T>
[[nodiscard]] std::vector<std::uint8_t> precision_mask(const matrix_view<T>& in, const Map& map,
                                                       column_group group) {
  std::vector<std::uint8_t> high(in.rows * groups_per_row(group, in.cols));
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    map(matrix_view<const float>{in.data, in.rows, in.cols, in.stride}, group.columns, high);
  } else if constexpr (Map::reads_values) {
    std::vector<float> values;
    const std::span<const float> all =
        detail::policy::group_values(in, {0, 0, in.rows * in.cols}, values);
    map(matrix_view<const float>{all.data(), in.rows, in.cols}, group.columns, high);
  } else {
    map(matrix_view<const float>{nullptr, in.rows, in.cols}, group.columns, high);
  }
  return high;
}
template <row_granularity Granularity, precision_map Map, real_element T>
[[nodiscard]] std::vector<std::uint8_t> precision_mask(const matrix_view<T>& in, const Map& map) {
  return precision_mask(in, map, column_group{Granularity::group});
}

namespace detail::policy {
template <real_element T>
void check_mask(column_group group, const matrix_view<T>& in, std::span<const std::uint8_t> mask,
                const char* function) {
  const std::size_t groups = groups_per_row(group, in.cols);
  if (mask.size() == in.rows * groups) return;
  core::fail(std::string{function} + ": the mask has " + std::to_string(mask.size()) +
             " entries, expected one for each of " + core::shape_text(in.rows, groups) + " groups");
}

template <quantizer High, quantizer Low, real_element T, real_element U>
void fake_quantize_mixed_rows(column_group group, const matrix_view<T>& in,
                              const matrix_view<U>& out, std::span<const std::uint8_t> mask,
                              row_range rows, const High& high, const Low& low) {
  check_shapes(in, out);
  check_rows(in, rows, "fake_quantize_mixed");
  check_mask(group, in, mask, "fake_quantize_mixed");
  const float largest = check_finite(in, rows);
  check_scales<High, U>(group, in, rows, largest, high);
  check_scales<Low, U>(group, in, rows, largest, low);

  const std::uint8_t* next = mask.data() + rows.begin * groups_per_row(group, in.cols);
  for_each_group(group, in, rows, [&](group_place place, std::span<const float> values) {
    U* to = out.data + place.row * out.stride + place.col;
    if (*next++ != 0) {
      write_values<High>(values.data(), values.size(), scale_of(high, values), to);
    } else {
      write_values<Low>(values.data(), values.size(), scale_of(low, values), to);
    }
  });
}

template <quantizer High, quantizer Low, real_element T>
void straight_through_mixed_rows(column_group group, const matrix_view<T>& weights,
                                 const matrix_view<const float>& grad_out,
                                 const matrix_view<float>& grad_in,
                                 std::span<const std::uint8_t> mask, row_range rows,
                                 const High& high, const Low& low) {
  check_gradients(weights, grad_out, grad_in, rows, "straight_through_clipped_mixed");
  check_mask(group, weights, mask, "straight_through_clipped_mixed");
  check_finite(weights, rows);
  const std::uint8_t* next = mask.data() + rows.begin * groups_per_row(group, weights.cols);
  for_each_group(group, weights, rows, [&](group_place place, std::span<const float> values) {
    const float* from = grad_out.data + place.row * grad_out.stride + place.col;
    float* to = grad_in.data + place.row * grad_in.stride + place.col;
    if (*next++ != 0) {
      straight_through_clipped(high, values, from, to);
    } else {
      straight_through_clipped(low, values, from, to);
    }
  });
}
}  // namespace detail::policy

/// As `fake_quantize`, each group by `high` where its entry of the mask isn't 0, else by `low`. The
/// mask has one entry for each group of the whole matrix in row-major order, as `precision_mask`
/// gives it: a trainer whose map depends on the shape alone computes it once.
///
///     const auto mask = precision_mask(w, every_nth_row{8}, column_group{64});
///     fake_quantize_mixed<int4<>, ternary<>>(w, out, mask, column_group{64});
///
/// The range of rows, and without a `column_group` the policies' own granularity, are as for
/// `fake_quantize`. Fails as that does, and where the mask has another size, before anything is
/// written. float rows need no memory; else one group is copied.
template <quantizer High, quantizer Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask,
                         column_group group, row_range rows, const High& high = {},
                         const Low& low = {}) {
  detail::policy::fake_quantize_mixed_rows(group, in, out, mask, rows, high, low);
}
template <quantizer High, quantizer Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask,
                         column_group group, const High& high = {}, const Low& low = {}) {
  detail::policy::fake_quantize_mixed_rows(group, in, out, mask, row_range{0, in.rows}, high, low);
}
template <row_quantizer High, mixable_quantizers<High> Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask,
                         row_range rows, const High& high = {}, const Low& low = {}) {
  detail::policy::fake_quantize_mixed_rows(column_group{High::granularity::group}, in, out, mask,
                                           rows, high, low);
}
template <row_quantizer High, mixable_quantizers<High> Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask,
                         const High& high = {}, const Low& low = {}) {
  fake_quantize_mixed<High, Low>(in, out, mask, row_range{0, in.rows}, high, low);
}

/// The same with the mask that a map gives now: the paper's weights at 1.88 bits, and the
/// reference's activations of which a part p (at least one group) is int8 and the others int4:
///
///     fake_quantize_mixed<int4<>, ternary<>>(w, out, every_nth_row{8});
///     fake_quantize_mixed<int8<>, int4<>>(x, out, largest_variance{p, 1});
///
/// Allocates the mask.
template <row_quantizer High, mixable_quantizers<High> Low, precision_map Map, real_element T,
          writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, const Map& map,
                         const High& high = {}, const Low& low = {}) {
  const row_range rows{0, in.rows};
  detail::policy::check_shapes(in, out);
  detail::policy::check_finite(in, rows);
  const std::vector<std::uint8_t> mask = precision_mask<typename High::granularity>(in, map);
  fake_quantize_mixed<High, Low>(in, out, mask, rows, high, low);
}

/// The clipped straight-through estimator of `fake_quantize_mixed`: the gradient passes where the
/// clamp of the group's policy didn't move the weight, and is zero outside. `weights` are the ones
/// quantized; `grad_in` may be `grad_out`. Fails, before anything is written, where shapes differ,
/// the mask has another size or a weight isn't finite.
template <quantizer High, quantizer Low, real_element T>
void straight_through_clipped_mixed(matrix_view<T> weights, matrix_view<const float> grad_out,
                                    matrix_view<float> grad_in, std::span<const std::uint8_t> mask,
                                    column_group group, row_range rows, const High& high = {},
                                    const Low& low = {}) {
  detail::policy::straight_through_mixed_rows(group, weights, grad_out, grad_in, mask, rows, high,
                                              low);
}
template <quantizer High, quantizer Low, real_element T>
void straight_through_clipped_mixed(matrix_view<T> weights, matrix_view<const float> grad_out,
                                    matrix_view<float> grad_in, std::span<const std::uint8_t> mask,
                                    column_group group, const High& high = {},
                                    const Low& low = {}) {
  detail::policy::straight_through_mixed_rows(group, weights, grad_out, grad_in, mask,
                                              row_range{0, weights.rows}, high, low);
}
template <row_quantizer High, mixable_quantizers<High> Low, real_element T>
void straight_through_clipped_mixed(matrix_view<T> weights, matrix_view<const float> grad_out,
                                    matrix_view<float> grad_in, std::span<const std::uint8_t> mask,
                                    row_range rows, const High& high = {}, const Low& low = {}) {
  detail::policy::straight_through_mixed_rows(column_group{High::granularity::group}, weights,
                                              grad_out, grad_in, mask, rows, high, low);
}
template <row_quantizer High, mixable_quantizers<High> Low, real_element T>
void straight_through_clipped_mixed(matrix_view<T> weights, matrix_view<const float> grad_out,
                                    matrix_view<float> grad_in, std::span<const std::uint8_t> mask,
                                    const High& high = {}, const Low& low = {}) {
  straight_through_clipped_mixed<High, Low>(weights, grad_out, grad_in, mask,
                                            row_range{0, weights.rows}, high, low);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
