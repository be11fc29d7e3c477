// SPDX-License-Identifier: Apache-2.0
/// What functions that quantize a matrix may be told beside the policy.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/policy/granularity.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Options of `fake_quantize`, `straight_through_clipped`, `initial_scales` and their kin, for
/// policies whose groups stay within a row.
///
///     fake_quantize<int8<>>(x, out, {}, {.group = 64, .rows = row_range{0, 16}})
struct quantize_options {
  /// Groups of a size known at run time: they take the place of the policy's granularity, whatever
  /// that is. Not given: the policy's own.
  std::optional<column_group> group{};
  /// The rows that are read, checked and written; no others are, so threads may share a matrix.
  /// Not given: all. Fails where they are not rows of the matrix, naming both.
  std::optional<row_range> rows{};
};

namespace detail::policy {
/// The groups in force.
template <class Q>
  requires row_granularity<typename Q::granularity>
[[nodiscard]] column_group groups_of(const quantize_options& options) {
  return options.group.value_or(column_group{Q::granularity::group});
}

/// The rows in force of a matrix `rows x cols`. Fails where they are none of it.
[[nodiscard]] inline row_range rows_of(const quantize_options& options, std::size_t rows,
                                       std::size_t cols, const char* function) {
  const row_range chosen = options.rows.value_or(row_range{0, rows});
  if (chosen.begin > chosen.end || chosen.end > rows) {
    core::fail(std::string{function} + ": rows " + std::to_string(chosen.begin) + " to " +
               std::to_string(chosen.end) + " of a matrix of " + core::shape_text(rows, cols));
  }
  return chosen;
}
}  // namespace detail::policy

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
