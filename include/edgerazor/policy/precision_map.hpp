// SPDX-License-Identifier: Apache-2.0
/// Precision maps: which groups of a matrix are kept at the higher precision (int4 in the paper),
/// the others at the lower (ternary). The five of EdgeRazor (Python), and the one its packer uses
/// at 2.79 bits.
///
/// A map is called with the matrix, the columns of a group (0: the whole row) and a mask of
/// rows * ceil(cols / group) entries, row-major, and writes 1 (higher) or 0 (lower) to each. It
/// fails where the mask has another size. A map that doesn't read values accepts a view whose data
/// is null.
///
/// Where a proportion p of n groups is asked for, floor(n * p) are taken, in double and as written:
/// p = 0.29 of 100 is 28, since 100 * 0.29 < 29. The published models were trained with these
/// counts.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/extent.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/granularity.hpp>
#include <edgerazor/policy/groups.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Fills a mask with 1 for groups of higher and 0 for groups of lower precision. `M::reads_values`
/// says whether it looks at the weights or only at the shape.
template <class M>
concept precision_map = requires(const M& map, matrix_view<const float> weights, std::size_t group,
                                 std::span<std::uint8_t> high) {
  { M::reads_values } -> std::convertible_to<bool>;
  map(weights, group, high);
};

/// A map that gives all groups of a row the same precision: `map.row_is_high(r)`. Such a matrix
/// packs into two.
template <class M>
concept row_precision_map = precision_map<M> && requires(const M& map, std::size_t row) {
  { map.row_is_high(row) } -> std::same_as<bool>;
};

/// Two policies that may share a matrix: both have the same groups, within rows.
template <class A, class B>
concept mixable_quantizers = row_quantizer<A> && row_quantizer<B> &&
                             std::same_as<typename A::granularity, typename B::granularity>;

/// The same of policies with or without zeros.
template <class A, class B>
concept mixable_policies = row_group_policy<A> && row_group_policy<B> &&
                           std::same_as<typename A::granularity, typename B::granularity>;

namespace detail::policy {
/// Groups in a row; fails where the mask has another size than rows * groups.
inline std::size_t mask_columns(const matrix_view<const float>& weights, std::size_t group,
                                std::span<const std::uint8_t> high) {
  const std::size_t columns = group == 0 ? weights.cols : group;
  const std::size_t groups = weights.cols == 0 ? 0 : (weights.cols - 1) / columns + 1;
  if (core::checked_product(weights.rows, groups) != high.size()) {
    core::fail("precision map: a mask of " + std::to_string(high.size()) + " entries for " +
               core::shape_text(weights.rows, groups) + " groups");
  }
  return groups;
}

/// floor(count * proportion), at most count. Fails unless 0 <= proportion <= 1.
inline std::size_t part_of(std::size_t count, double proportion) {
  if (!(proportion >= 0 && proportion <= 1)) {
    core::fail("precision map: proportion " + std::to_string(proportion) + ", expected 0 to 1");
  }
  return std::min(count, static_cast<std::size_t>(static_cast<double>(count) * proportion));
}

template <class Map>
void mark_rows(const Map& map, const matrix_view<const float>& weights, std::size_t group,
               std::span<std::uint8_t> high) {
  const std::size_t groups = mask_columns(weights, group, high);
  for (std::size_t r = 0; r < weights.rows; ++r)
    std::fill_n(high.begin() + static_cast<std::ptrdiff_t>(r * groups), groups,
                std::uint8_t{map.row_is_high(r)});
}

/// Sample variance (n - 1 in the denominator) of one group, in double; 0 for a single element. Not
/// finite where an element isn't.
inline double variance(std::span<const float> group) noexcept {
  if (group.size() < 2) return group.empty() || is_finite(group[0]) ? 0.0 : HUGE_VAL;
  const double count = static_cast<double>(group.size());
  double sum = 0, squares = 0;
  for (const float x : group) sum += x;
  const double mean = sum / count;
  for (const float x : group) squares += (x - mean) * (x - mean);
  return squares / (count - 1);
}
}  // namespace detail::policy

/// Rows 0, n, 2n, ... (EdgeRazor (Python) ..._static_row_wise_sparse with proportion 1/n): n = 8 is
/// the paper's 1.88 bits, n = 2 its 2.79 bits, as trained. n = 0: no row.
struct every_nth_row {
  static constexpr bool reads_values = false;
  std::size_t n = 8;

  constexpr every_nth_row() = default;
  /// Fails where n is negative.
  template <std::integral Count>
  constexpr explicit every_nth_row(Count count)
      : n(detail::core::extent(count, "every_nth_row: n")) {}

  [[nodiscard]] constexpr bool row_is_high(std::size_t row) const noexcept {
    return n != 0 && row % n == 0;
  }
  void operator()(matrix_view<const float> weights, std::size_t group,
                  std::span<std::uint8_t> high) const {
    detail::policy::mark_rows(*this, weights, group, high);
  }
};

/// Rows r with r % modulus < below: {8, 4} is what the packer of EdgeRazor (Python) takes for
/// 2.79 bits, though it trains `every_nth_row{2}`. Same proportion, other rows.
struct rows_modulo {
  static constexpr bool reads_values = false;
  std::size_t modulus = 8;
  std::size_t below = 4;

  constexpr rows_modulo() = default;
  /// Fails where one of the two is negative.
  template <std::integral Modulus, std::integral Below>
  constexpr rows_modulo(Modulus period, Below limit)
      : modulus(detail::core::extent(period, "rows_modulo: modulus")),
        below(detail::core::extent(limit, "rows_modulo: below")) {}

  [[nodiscard]] constexpr bool row_is_high(std::size_t row) const noexcept {
    return modulus != 0 && row % modulus < below;
  }
  void operator()(matrix_view<const float> weights, std::size_t group,
                  std::span<std::uint8_t> high) const {
    detail::policy::mark_rows(*this, weights, group, high);
  }
};

/// The first floor(groups per row * proportion) groups of every row (EdgeRazor (Python)
/// ..._static_column_wise).
struct leading_columns {
  static constexpr bool reads_values = false;
  double proportion = 0.125;

  void operator()(matrix_view<const float> weights, std::size_t group,
                  std::span<std::uint8_t> high) const {
    const std::size_t groups = detail::policy::mask_columns(weights, group, high);
    const std::size_t leading = detail::policy::part_of(groups, proportion);
    for (std::size_t i = 0; i < high.size(); ++i) high[i] = i % groups < leading;
  }
};

/// The first floor(groups * proportion) groups of the matrix, in row-major order
/// (EdgeRazor (Python) ..._static).
struct leading_blocks {
  static constexpr bool reads_values = false;
  double proportion = 0.125;

  void operator()(matrix_view<const float> weights, std::size_t group,
                  std::span<std::uint8_t> high) const {
    detail::policy::mask_columns(weights, group, high);
    const std::size_t leading = detail::policy::part_of(high.size(), proportion);
    for (std::size_t i = 0; i < high.size(); ++i) high[i] = i < leading;
  }
};

/// Of every hundred groups in row-major order the first floor(100 * proportion) (EdgeRazor (Python)
/// ..._static_sparse).
struct leading_blocks_of_hundred {
  static constexpr bool reads_values = false;
  double proportion = 0.125;

  void operator()(matrix_view<const float> weights, std::size_t group,
                  std::span<std::uint8_t> high) const {
    detail::policy::mask_columns(weights, group, high);
    const std::size_t leading = detail::policy::part_of(100, proportion);
    for (std::size_t i = 0; i < high.size(); ++i) high[i] = i % 100 < leading;
  }
};

/// The floor(groups * proportion) groups of largest sample variance, but not fewer than `at_least`
/// (EdgeRazor (Python) ..._mp_int1_58_int4_dynamic with 0, and ..._mp_int4_int8_dynamic, for
/// activations, with 1). Of equal variances the earlier group is taken. Fails where data is null,
/// and where a group holds a NaN or an infinity, naming it; allocates.
struct largest_variance {
  static constexpr bool reads_values = true;
  double proportion = 0.125;
  std::size_t at_least = 0;

  constexpr largest_variance() = default;
  constexpr largest_variance(double part) noexcept : proportion(part) {}
  /// Fails where the least number is negative.
  template <std::integral Count>
  constexpr largest_variance(double part, Count least)
      : proportion(part), at_least(detail::core::extent(least, "largest_variance: at_least")) {}

  void operator()(matrix_view<const float> weights, std::size_t group,
                  std::span<std::uint8_t> high) const {
    const std::size_t groups = detail::policy::mask_columns(weights, group, high),
                      count = high.size();
    if (count != 0 && weights.data == nullptr)
      detail::core::fail("largest_variance: a view without data");
    const std::size_t columns = group == 0 ? weights.cols : group;
    const std::size_t chosen =
        std::min(std::max(at_least, detail::policy::part_of(count, proportion)), count);

    detail::core::buffer<double> variances(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t first = i % groups * columns;
      variances[i] = detail::policy::variance(
          weights.row(i / groups).subspan(first, std::min(columns, weights.cols - first)));
      // A double holds the variance of any finite floats.
      if ((std::bit_cast<std::uint64_t>(variances[i]) >> 52 & 0x7ff) == 0x7ff) {
        detail::core::fail("largest_variance: the group at row " + std::to_string(i / groups) +
                           ", column " + std::to_string(first) +
                           " holds a NaN or an infinity, expected finite values");
      }
    }
    detail::core::buffer<std::size_t> order(count);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>(chosen);
    std::nth_element(order.begin(), middle, order.end(), [&](std::size_t a, std::size_t b) {
      return variances[a] > variances[b] || (variances[a] == variances[b] && a < b);
    });
    std::fill(high.begin(), high.end(), std::uint8_t{0});
    std::for_each(order.begin(), middle, [&](std::size_t i) { high[i] = 1; });
  }
};

namespace detail::policy {
[[nodiscard]] inline std::size_t mask_size(std::size_t rows, std::size_t cols, column_group group) {
  return core::size_product("precision map", rows, groups_per_row(group, cols));
}
/// See precision_mask; `high` is of mask_size() entries.
template <precision_map Map, real_element T>
void fill_mask(const matrix_view<T>& in, const Map& map, column_group group,
               std::span<std::uint8_t> high) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    map(matrix_view<const float>{in.data, in.rows, in.cols, in.stride}, group.columns, high);
  } else if constexpr (Map::reads_values) {
    if (in.data == nullptr && !high.empty()) core::fail("precision map: a view without data");
    core::buffer<float> values;
    const std::span<const float> all = group_values(in, whole(in), values);
    map(matrix_view<const float>{all.data(), in.rows, in.cols}, group.columns, high);
  } else {
    map(matrix_view<const float>{nullptr, in.rows, in.cols}, group.columns, high);
  }
}
/// The same in memory of the library's own.
template <precision_map Map, real_element T>
[[nodiscard]] core::buffer<std::uint8_t> mask_of(const matrix_view<T>& in, const Map& map,
                                                 column_group group) {
  core::buffer<std::uint8_t> high(mask_size(in.rows, in.cols, group));
  fill_mask(in, map, group, high);
  return high;
}
}  // namespace detail::policy

/// The mask a map gives for a matrix of any element type, one entry per group in row-major order:
/// rows * groups_per_row entries, 1 for the higher precision. Where the map reads values, 16-bit
/// elements are copied to floats first; else the view's data may be null. Fails as the map does.
template <precision_map Map, real_element T>
[[nodiscard]] std::vector<std::uint8_t> precision_mask(const matrix_view<T>& in, const Map& map,
                                                       column_group group) {
  const std::size_t size = detail::policy::mask_size(in.rows, in.cols, group);
  detail::core::expect_memory(size);
  std::vector<std::uint8_t> high(size);
  detail::policy::fill_mask(in, map, group, high);
  return high;
}
template <row_granularity Granularity, precision_map Map, real_element T>
[[nodiscard]] std::vector<std::uint8_t> precision_mask(const matrix_view<T>& in, const Map& map) {
  return precision_mask(in, map, column_group{Granularity::group});
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
