// SPDX-License-Identifier: Apache-2.0
/// How an any_matrix is filled, by the default rules of the codecs.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <variant>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/default_rule.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/finite.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
/// The smallest magnitude that becomes infinity as an element of that type.
[[nodiscard]] constexpr float beyond_range(scale_kind element) noexcept {
  return element == scale_kind::float16    ? 65520.0f
         : element == scale_kind::bfloat16 ? 0x1.ffp127f
                                           : std::numeric_limits<float>::infinity();
}

/// Names what all_below() found.
template <real_element T>
[[noreturn]] void refuse_rows(const matrix_view<const T>& source, std::size_t first_row,
                              const matrix_format& fmt) {
  const float largest = policy::check_finite(source, {0, source.rows}, "weight", first_row);
  core::fail("any_matrix: a weight of magnitude " + std::to_string(largest) +
             " is out of the range of " + fmt.name());
}
}  // namespace detail::matrix

template <real_element To, real_element T>
void any_matrix::put_rows(std::size_t first_row, const matrix_view<const T>& source) noexcept {
  To* to = reinterpret_cast<To*>(storage_.data()) + first_row * cols();
  for (std::size_t r = 0; r < source.rows; ++r, to += cols())
    detail::core::convert_elements(source.row(r).data(), cols_, to);
}

template <real_element T>
void any_matrix::pack_real_rows(std::size_t first_row, const matrix_view<const T>& source) {
  if (auto* mixed = std::get_if<mixed_matrix>(&*content_)) {
    mixed->pack_rows_by(first_row, source, [&](bool is_high, const auto& use) {
      detail::matrix::with_default_rule(is_high ? fmt_->first : fmt_->second, use);
    });
    return;
  }
  if (storage_.size() == 0 || source.cols != cols_ || first_row > rows_ ||
      source.rows > rows_ - first_row) {
    detail::core::fail("any_matrix: " + detail::core::shape_text(source.rows, source.cols) +
                       " weights from row " + std::to_string(first_row) +
                       " on do not fit an owned matrix of " +
                       detail::core::shape_text(rows_, cols_));
  }
  if (fmt_->first.two_level) {
    detail::core::fail("any_matrix: " + fmt_->name() +
                       " has statistics of 16 rows, which pack_levels makes");
  }
  if (const auto* packed = std::get_if<packed_view>(&*content_)) {
    detail::matrix::with_default_rule(fmt_->first, [&](const auto& rule) {
      detail::matrix::pack_rows(rule, packed->layout(), storage_.data(), first_row, source);
    });
    return;
  }
  for (std::size_t r = 0; r < source.rows; ++r) {
    if (!detail::policy::all_below(source.row(r).data(), cols_,
                                   detail::matrix::beyond_range(fmt_->element)))
      detail::matrix::refuse_rows(source, first_row, fmt_);
  }
  switch (fmt_->element) {
    case scale_kind::float32:
      return put_rows<float>(first_row, source);
    case scale_kind::float16:
      return put_rows<float16>(first_row, source);
    case scale_kind::bfloat16:
      return put_rows<bfloat16>(first_row, source);
  }
}

EDGERAZOR_FUNCTION void any_matrix::pack_rows(std::size_t first_row,
                                              matrix_view<const float> weights) {
  pack_real_rows(first_row, weights);
}
EDGERAZOR_FUNCTION void any_matrix::pack_rows(std::size_t first_row,
                                              matrix_view<const float16> weights) {
  pack_real_rows(first_row, weights);
}
EDGERAZOR_FUNCTION void any_matrix::pack_rows(std::size_t first_row,
                                              matrix_view<const bfloat16> weights) {
  pack_real_rows(first_row, weights);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
