// SPDX-License-Identifier: Apache-2.0
/// Granularity: which weights share one scale.
///
///     per_tensor          all of the matrix
///     per_channel         one row (an output feature); per_token is the same for activations,
///                         whose rows are tokens
///     per_group<N>        N consecutive columns of a row; the last group of a row holds the
///                         columns that are left
///     per_flat_group<N>   N consecutive elements of the flattened matrix, across row ends; zeros
///                         complete the last one
///
/// EdgeRazor (Python) cuts a row into groups where N divides the columns, and falls back to the
/// flattened matrix where it does not: `per_group` and `per_flat_group` are these two, by name, and
/// agree where N divides the columns.
#pragma once

#include <concepts>
#include <cstddef>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/extent.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct per_tensor {
  static constexpr bool within_row = false;
};

struct per_channel {
  static constexpr bool within_row = true;
  static constexpr std::size_t group = 0;  ///< 0: the whole row
};

using per_token = per_channel;

template <std::size_t N>
struct per_group {
  static_assert(N > 0, "per_group: a group holds at least one element");
  static constexpr bool within_row = true;
  static constexpr std::size_t group = N;
};

template <std::size_t N>
struct per_flat_group {
  static_assert(N > 0, "per_flat_group: a group holds at least one element");
  static constexpr bool within_row = false;
  static constexpr std::size_t group = N;
};

/// `per_group` whose size is known at run time only: `columns` consecutive columns of a row share a
/// scale, the last group of a row holds those that are left; 0 for the whole row. From any integer;
/// a negative one is refused.
struct column_group {
  std::size_t columns = 0;

  constexpr column_group() = default;
  template <std::integral Columns>
  constexpr column_group(Columns count) noexcept(!std::signed_integral<Columns>)
      : columns(detail::core::extent(count, "column_group: columns")) {}
};

/// Says which weights share a scale.
template <class G>
concept granularity_policy = requires {
  { G::within_row } -> std::convertible_to<bool>;
};

/// No group runs over the end of a row, so rows can be quantized one by one, on any thread.
template <class G>
concept row_granularity = granularity_policy<G> && G::within_row && requires {
  { G::group } -> std::convertible_to<std::size_t>;
};

/// Columns that share a scale in a row of `cols` columns, the last group of the row excepted.
/// Fails where `cols` is negative.
template <std::integral Cols>
[[nodiscard]] constexpr std::size_t group_columns(column_group group,
                                                  Cols cols) noexcept(!std::signed_integral<Cols>) {
  const std::size_t all = detail::core::extent(cols, "group_columns: cols");
  return group.columns == 0 || group.columns > all ? all : group.columns;
}
template <row_granularity G, std::integral Cols>
[[nodiscard]] constexpr std::size_t group_columns(Cols cols) noexcept(!std::signed_integral<Cols>) {
  return group_columns(column_group{G::group}, cols);
}

/// Groups, that is scales, in a row of `cols` columns: ceil(cols / group). Fails where `cols` is
/// negative.
template <std::integral Cols>
[[nodiscard]] constexpr std::size_t groups_per_row(column_group group, Cols cols) noexcept(
    !std::signed_integral<Cols>) {
  const std::size_t all = detail::core::extent(cols, "groups_per_row: cols"),
                    columns = group_columns(group, all);
  return columns == 0 ? 0 : (all - 1) / columns + 1;
}
template <row_granularity G, std::integral Cols>
[[nodiscard]] constexpr std::size_t groups_per_row(Cols cols) noexcept(
    !std::signed_integral<Cols>) {
  return groups_per_row(column_group{G::group}, cols);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
