// SPDX-License-Identifier: Apache-2.0
/// Granularity: which weights share one scale.
///
///     per_tensor          all of the matrix
///     per_channel         one row (an output feature); per_token is the same for activations, whose rows are tokens
///     per_group<N>        N consecutive columns of a row; the last group of a row holds the columns that are left
///     per_flat_group<N>   N consecutive elements of the flattened matrix, across row ends; zeros complete the last one
///
/// The reference cuts a row into groups where N divides the columns, and falls back to the
/// flattened matrix where it does not: `per_group` and `per_flat_group` are these two, by name, and
/// agree where N divides the columns.
#pragma once

#include <concepts>
#include <cstddef>

#include <edgerazor/core/config.hpp>

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
/// scale, the last group of a row holds those that are left; 0 for the whole row. Where a function
/// takes one, it replaces the policy's own granularity.
struct column_group {
  std::size_t columns = 0;
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
[[nodiscard]] constexpr std::size_t group_columns(column_group group, std::size_t cols) noexcept {
  return group.columns == 0 || group.columns > cols ? cols : group.columns;
}
template <row_granularity G>
[[nodiscard]] constexpr std::size_t group_columns(std::size_t cols) noexcept {
  return group_columns(column_group{G::group}, cols);
}

/// Groups, that is scales, in a row of `cols` columns: ceil(cols / group).
[[nodiscard]] constexpr std::size_t groups_per_row(column_group group, std::size_t cols) noexcept {
  const std::size_t columns = group_columns(group, cols);
  return columns == 0 ? 0 : (cols - 1) / columns + 1;
}
template <row_granularity G>
[[nodiscard]] constexpr std::size_t groups_per_row(std::size_t cols) noexcept {
  return groups_per_row(column_group{G::group}, cols);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
