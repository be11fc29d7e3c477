// SPDX-License-Identifier: Apache-2.0
/// Rows of features, worked in double: products, distances, and sums of multiples of rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// sum of a b. The rows have the same size.
[[nodiscard]] EDGERAZOR_FUNCTION double dot(const input_row& a, const input_row& b) noexcept;

/// share * sum of (s - t)^2, and upstream times its gradient in s where `out` has data; it may
/// overwrite either row.
EDGERAZOR_FUNCTION double squared_distance(const input_row& student, const input_row& teacher,
                                           double share, double upstream,
                                           const output_row& out) noexcept;

/// 1 - cos(s, t), and upstream times its gradient in s where `out` has data; it may overwrite
/// either row. A row of zeros has cosine 0 and no gradient.
EDGERAZOR_FUNCTION double cosine_distance(const input_row& student, const input_row& teacher,
                                          double upstream, const output_row& out) noexcept;

/// to[i] += factor * row[i].
EDGERAZOR_FUNCTION void add_multiple(double factor, const input_row& row, double* to) noexcept;

/// out += sum over k of factors[k] * rows[k], of rows of the same size.
EDGERAZOR_FUNCTION void add_multiples(std::span<const double> factors,
                                      std::span<const input_row> rows,
                                      const output_row& out) noexcept;

/// Sum over columns of the unbiased variance over rows. `rows` rows like `first`, `stride` elements
/// apart; those whose `mask` is 0 are left out. 0 of fewer than two rows.
[[nodiscard]] EDGERAZOR_FUNCTION double summed_variance(
    const input_row& first, std::size_t rows, std::size_t stride,
    std::span<const std::uint8_t> mask) noexcept;

/// sum of a b over floats, in float.
[[nodiscard]] EDGERAZOR_FUNCTION float float_dot(const float* a, const float* b,
                                                 std::size_t size) noexcept;
/// to += factor * from, in float.
EDGERAZOR_FUNCTION void float_add_multiple(float factor, const float* from, std::size_t size,
                                           float* to) noexcept;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/features_impl.hpp>
#endif
