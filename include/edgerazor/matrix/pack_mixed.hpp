// SPDX-License-Identifier: Apache-2.0
/// Quantize and pack at two precisions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <type_traits>

#include <edgerazor/core/buffer.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/matrix/mixed_matrix.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/finite.hpp>
#include <edgerazor/policy/precision_map.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
template <quantizer Policy>
void require_levels(const Policy&, const format& fmt) {
  if (holds_levels<Policy>(codec_of(fmt.code)) && fmt.zero == zero_kind::none) return;
  core::fail("mixed matrix: levels " + std::to_string(Policy::min_level) + " to " +
             std::to_string(Policy::max_level) + " do not fit " + fmt.name());
}
template <table_quantizer Policy>
void require_levels(const Policy&, const format& fmt) {
  if (holds_levels<Policy>(codec_of(fmt.code)) && fmt.zero == zero_kind::none) return;
  core::fail("mixed matrix: a policy with levels of the group does not fit " + fmt.name());
}
template <zero_quantizer Policy>
void require_levels(const Policy&, const format& fmt) {
  if (holds_levels<Policy>(codec_of(fmt.code)) && fmt.zero == Policy::zero) return;
  core::fail("mixed matrix: a policy of " + std::to_string(Policy::bits) +
             " bits with a zero of the group does not fit " + fmt.name());
}
}  // namespace detail::matrix

template <real_element T, class Visit>
void mixed_matrix::for_each_selection(std::size_t first_row, const matrix_view<const T>& weights,
                                      Visit&& visit) const {
  for (const segment& part : *segments_) {
    const auto begin = std::lower_bound(part.rows.begin(), part.rows.end(), first_row);
    const auto end = std::lower_bound(begin, part.rows.end(), first_row + weights.rows);
    if (begin == end) continue;
    const auto row_of = [begin, first_row](std::size_t i) {
      return begin[static_cast<std::ptrdiff_t>(i)] - first_row;
    };
    const detail::matrix::row_selection<T, decltype(row_of)> source{
        weights, first_row, part.col_begin, static_cast<std::size_t>(end - begin), row_of};
    visit(part, static_cast<std::size_t>(begin - part.rows.begin()), source);
  }
}

template <real_element T, class WithRule>
void mixed_matrix::pack_rows_by(std::size_t first_row, matrix_view<const T> weights,
                                const WithRule& with_rule) {
  if (weights.cols != cols_ || first_row > rows_ || weights.rows > rows_ - first_row ||
      storage_.size() == 0) {
    detail::core::fail("mixed matrix: " + detail::core::shape_text(weights.rows, weights.cols) +
                       " weights from row " + std::to_string(first_row) +
                       " on do not fit an owned matrix of " +
                       detail::core::shape_text(rows_, cols_));
  }
  if (high_.two_level || low_.two_level) {
    detail::core::fail("mixed matrix: " + (high_.two_level ? high_ : low_).name() +
                       " has statistics of 16 rows, which pack_levels makes");
  }
  for (const bool is_high : {true, false}) {
    with_rule(is_high, [&](const auto& rule) {
      detail::matrix::require_levels(rule, is_high ? high_ : low_);
    });
  }
  detail::core::buffer<float> scales;
  for_each_selection(first_row, weights, [&](const segment& part, std::size_t, const auto& source) {
    with_rule(part.high, [&](const auto& rule) {
      detail::matrix::append_scales(rule, part.layout, source, scales);
    });
  });
  const float* next = scales.data();
  for_each_selection(
      first_row, weights, [&](const segment& part, std::size_t first, const auto& source) {
        with_rule(part.high, [&](const auto& rule) {
          detail::matrix::write_rows(rule, part.layout, data(part), first, source, next);
          next += source.count * part.layout.groups() *
                  detail::matrix::fit_numbers<std::remove_cvref_t<decltype(rule)>>;
        });
      });
}

template <group_policy High, group_policy Low, real_element T>
void mixed_matrix::pack_rows(std::size_t first_row, matrix_view<const T> weights, const High& high,
                             const Low& low) {
  pack_rows_by(first_row, weights, [&](bool is_high, const auto& use) {
    if (is_high) {
      use(high);
    } else {
      use(low);
    }
  });
}

/// Quantizes each group by `High` or `Low` as the map says, and packs. Both policies have the same
/// granularity. Fails as `pack` does.
template <row_group_policy High, mixable_policies<High> Low, class HighCodec = default_codec<High>,
          class LowCodec = default_codec<Low>, real_element T, precision_map Map>
[[nodiscard]] mixed_matrix pack_mixed(matrix_view<T> weights, const Map& map, const High& high = {},
                                      const Low& low = {}) {
  if constexpr (Map::reads_values)
    detail::policy::check_finite(weights, {0, weights.rows}, "weight");
  mixed_matrix result(
      packed_matrix<High, HighCodec>::fmt, packed_matrix<Low, LowCodec>::fmt, weights.rows,
      weights.cols, detail::policy::mask_of(weights, map, column_group{High::granularity::group}));
  result.pack_rows(0, matrix_view<const std::remove_const_t<T>>{weights}, high, low);
  return result;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
