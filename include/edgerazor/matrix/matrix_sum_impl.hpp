// SPDX-License-Identifier: Apache-2.0
/// What matrix_sum.hpp declares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/matrix/matrix_sum.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::matrix {
EDGERAZOR_FUNCTION bool is_permutation(std::span<const std::uint32_t> columns) {
  std::vector<bool> seen(columns.size());
  for (const std::uint32_t c : columns) {
    if (c >= columns.size() || seen[c]) return false;
    seen[c] = true;
  }
  return true;
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION matrix_format matrix_sum::fmt() const {
  matrix_format result;
  result.type = matrix_format::kind::sum;
  for (const stage& s : stages_) result.stages.push_back({s.kind, s.from});
  for (const part& p : parts_) {
    part_format fmt;
    if (const packed_view* const packed = p.matrix.packed()) {
      fmt = packed->layout().fmt();
    } else if (const mixed_matrix* const mixed = p.matrix.mixed()) {
      fmt = mixed->high();
      fmt.type = matrix_format::kind::mixed;
      fmt.second = mixed->low();
      fmt.map = p.map;
    } else if (const dense_view* const dense = p.matrix.dense()) {
      fmt.element = dense->element;
    } else {
      fmt.type = matrix_format::kind::sparse;
    }
    result.parts.push_back({fmt, p.input});
  }
  const bool one = stages_.empty() && parts_.size() == 1 && !parts_[0].matrix.sparse();
  return one ? matrix_format{result.parts[0].fmt} : result;
}

EDGERAZOR_FUNCTION void matrix_sum::append(const matrix_sum& other) {
  if (other.rows_ != rows_ || other.cols_ != cols_) {
    detail::core::fail("sum_of: a part of " + detail::core::shape_text(other.rows_, other.cols_) +
                       " and one of " + detail::core::shape_text(rows_, cols_));
  }
  if (std::max(parts_.size() + other.parts_.size(), stages_.size() + other.stages_.size()) >
      matrix_format::most) {
    detail::core::fail("sum_of: more than " + std::to_string(matrix_format::most) +
                       " matrices or input stages");
  }
  const std::size_t before = stages_.size();
  const auto moved = [before](std::size_t input) { return input == 0 ? 0 : input + before; };
  const std::vector<stage> more_stages = other.stages_;  // which may be these
  const std::vector<part> more_parts = other.parts_;
  for (stage s : more_stages) {
    s.from = moved(s.from);
    stages_.push_back(s);
  }
  for (part p : more_parts) {
    p.input = moved(p.input);
    parts_.push_back(p);
  }
}

EDGERAZOR_FUNCTION void matrix_sum::precede(const stage& first) {
  const bool scaled = first.kind == input_stage::scaled;
  const std::string what = scaled ? "scaled_columns" : "permuted_columns";
  if (const std::size_t count = scaled ? first.factors.size() : first.columns.size();
      count != cols_) {
    detail::core::fail(what + ": " + std::to_string(count) + (scaled ? " factors" : " indices") +
                       " for a part of " + detail::core::shape_text(rows_, cols_));
  }
  if (!scaled && !detail::matrix::is_permutation(first.columns)) {
    detail::core::fail(what + ": expected each column from 0 to " + std::to_string(cols_ - 1) +
                       " once");
  }
  if (stages_.size() == matrix_format::most) {
    detail::core::fail(what + ": more than " + std::to_string(matrix_format::most) +
                       " input stages");
  }
  for (stage& s : stages_) ++s.from;
  for (part& p : parts_) ++p.input;
  stages_.insert(stages_.begin(), first);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
