/// Fake quantization at two precisions: a map chooses for each group between a higher and a lower policy.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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

namespace detail {
template <row_quantizer High, mixable_quantizers<High> Low, real_element T, real_element U>
void fake_quantize_mixed_rows(const matrix_view<T>& in, const matrix_view<U>& out, std::span<const std::uint8_t> mask,
                              row_range rows, const High& high, const Low& low) {
  using granularity = typename High::granularity;
  check_shapes(in, out);
  check_rows(in, rows);
  const std::size_t groups = groups_per_row<granularity>(in.cols);
  if (mask.size() != in.rows * groups) {
    fail("fake_quantize_mixed: the mask has " + std::to_string(mask.size()) + " entries, expected one for each of " +
         shape_text(in.rows, groups) + " groups");
  }
  const float largest = check_finite(in, rows);
  check_scales<High, U>(in, rows, largest, high);
  check_scales<Low, U>(in, rows, largest, low);

  const std::uint8_t* next = mask.data() + rows.begin * groups;
  for_each_group<granularity>(in, rows, [&](group_place place, std::span<const float> values) {
    U* to = out.data + place.row * out.stride + place.col;
    if (*next++ != 0) {
      write_values<High>(values.data(), values.size(), high.scale(values), to);
    } else {
      write_values<Low>(values.data(), values.size(), low.scale(values), to);
    }
  });
}
}  // namespace detail

/// As `fake_quantize`, each group by `high` where its entry of the mask isn't 0, else by `low`. The mask has one entry
/// for each group in row-major order, as `precision_mask` gives it: a trainer whose map depends on the shape alone
/// computes it once.
///
///     const auto mask = precision_mask<per_group<64>>(w, every_nth_row{8});
///     fake_quantize_mixed<int4<per_group<64>>, ternary<per_group<64>>>(w, out, mask);
///
/// Fails as `fake_quantize` does, and where the mask has another size, before anything is written. float rows need no
/// memory; else one group is copied.
template <row_quantizer High, mixable_quantizers<High> Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask,
                         const High& high = {}, const Low& low = {}) {
  detail::fake_quantize_mixed_rows(in, out, mask, row_range{0, in.rows}, high, low);
}

/// The same for the rows of a range only; the mask is the whole matrix's. No other row is read, checked or written.
template <row_quantizer High, mixable_quantizers<High> Low, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, std::span<const std::uint8_t> mask, row_range rows,
                         const High& high = {}, const Low& low = {}) {
  detail::fake_quantize_mixed_rows(in, out, mask, rows, high, low);
}

/// The same with the mask that a map gives now: the paper's weights at 1.88 bits, and the reference's activations of
/// which a part p (at least one group) is int8 and the others int4:
///
///     fake_quantize_mixed<int4<>, ternary<>>(w, out, every_nth_row{8});
///     fake_quantize_mixed<int8<>, int4<>>(x, out, largest_variance{p, 1});
///
/// Allocates the mask.
template <row_quantizer High, mixable_quantizers<High> Low, precision_map Map, real_element T, writable_element U>
void fake_quantize_mixed(matrix_view<T> in, matrix_view<U> out, const Map& map, const High& high = {},
                         const Low& low = {}) {
  const row_range rows{0, in.rows};
  detail::check_shapes(in, out);
  check_finite(in, rows);
  const std::vector<std::uint8_t> mask = precision_mask<typename High::granularity>(in, map);
  detail::fake_quantize_mixed_rows(in, out, mask, rows, high, low);
}

}  // namespace edgerazor::inline v0
