/// Fake quantization at two precisions: a map chooses for each group between a higher and a lower policy.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <edgerazor/quant/fake_quantize.hpp>
#include <edgerazor/quant/precision_map.hpp>

namespace edgerazor::inline v0 {

/// Two policies that may share a matrix: both have the same groups, within rows.
template <class A, class B>
concept mixable_quantizers =
    row_quantizer<A> && row_quantizer<B> && std::same_as<typename A::granularity, typename B::granularity>;

/// The mask a map gives for a matrix of any element type, one entry per group in row-major order. Where the map reads
/// values, 16-bit elements are copied to floats first.
template <row_granularity Granularity, precision_map Map, real_element T>
[[nodiscard]] std::vector<std::uint8_t> precision_mask(const matrix_view<T>& in, const Map& map) {
  std::vector<std::uint8_t> high(in.rows * groups_per_row<Granularity>(in.cols));
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    map(matrix_view<const float>{in.data, in.rows, in.cols, in.stride}, Granularity::group, high);
  } else if constexpr (Map::reads_values) {
    std::vector<float> values;
    const std::span<const float> all = detail::group_values(in, {0, 0, in.rows * in.cols}, values);
    map(matrix_view<const float>{all.data(), in.rows, in.cols}, Granularity::group, high);
  } else {
    map(matrix_view<const float>{nullptr, in.rows, in.cols}, Granularity::group, high);
  }
  return high;
}

/// As `fake_quantize`, each group by `high` or `low` as the map says: the paper's weights at 1.88 bits, and the
/// reference's activations of which a part p (at least one group) is int8 and the others int4:
///
///     fake_quantize_mixed<int4<>, ternary<>>(w, out, every_nth_row{8});
///     fake_quantize_mixed<int8<>, int4<>>(x, out, largest_variance{p, 1});
///
/// Fails as `fake_quantize` does, before anything is written. Allocates the mask.
template <row_quantizer High, mixable_quantizers<High> Low, precision_map Map, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, const Map& map, const High& high = {},
                         const Low& low = {}) {
  using granularity = typename High::granularity;
  const row_range rows{0, in.rows};
  detail::check_shapes(in, out);
  const float largest = check_finite(in, rows);
  detail::check_scales<High, U>(in, rows, largest, high);
  detail::check_scales<Low, U>(in, rows, largest, low);

  const std::vector<std::uint8_t> mask = precision_mask<granularity>(in, map);
  const std::uint8_t* next = mask.data();
  detail::for_each_group<granularity>(in, rows, [&](detail::group_place place, std::span<const float> values) {
    U* to = out.data + place.row * out.stride + place.col;
    if (*next++ != 0) {
      detail::write_values<High>(values.data(), values.size(), high.scale(values), to);
    } else {
      detail::write_values<Low>(values.data(), values.size(), low.scale(values), to);
    }
  });
}

}  // namespace edgerazor::inline v0
