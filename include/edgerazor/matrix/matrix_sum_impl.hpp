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

/// Of a mixed matrix with rows by that map, where it is known.
[[nodiscard]] inline part_format format_of(const matrix_part& part,
                                           const part_format::row_map& map = {}) {
  part_format fmt;
  if (const packed_view* const packed = part.packed()) {
    fmt = packed->layout().fmt();
  } else if (const mixed_matrix* const mixed = part.mixed()) {
    fmt = mixed->high();
    fmt.type = matrix_format::kind::mixed;
    fmt.second = mixed->low();
    fmt.map = map;
  } else if (const dense_view* const dense = part.dense()) {
    fmt.element = dense->element;
  } else {
    fmt.type = matrix_format::kind::sparse;
  }
  return fmt;
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION matrix_format matrix_sum::fmt() const {
  matrix_format result;
  result.type = matrix_format::kind::sum;
  for (const stage& s : stages_) {
    result.stages.push_back({s.kind, s.from});
    if (s.kind != input_stage::projected) continue;
    result.stages.back().rank = s.matrix.rows();
    result.stages.back().matrix = detail::matrix::format_of(s.matrix);
  }
  for (const part& p : parts_)
    result.parts.push_back({detail::matrix::format_of(p.matrix, p.map), p.input});
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
  const bool scaled = first.kind == input_stage::scaled,
             projected = first.kind == input_stage::projected;
  const std::string what = scaled ? "scaled_columns" : projected ? "low_rank" : "permuted_columns";
  if (projected && first.matrix.rows() != cols_) {
    detail::core::fail("low_rank: U of " + detail::core::shape_text(rows_, cols_) + " and V of " +
                       detail::core::shape_text(first.matrix.rows(), first.matrix.cols()));
  }
  if (projected && !first.matrix.packed() && !first.matrix.dense())
    detail::core::fail("low_rank: expected a V that is packed or of real numbers");
  if (projected && cols_ > matrix_format::largest_rank) {
    detail::core::fail("low_rank: expected a rank of at most " +
                       std::to_string(matrix_format::largest_rank) + ", got " +
                       std::to_string(cols_));
  }
  if (const std::size_t count = scaled ? first.factors.size() : first.columns.size();
      !projected && count != cols_) {
    detail::core::fail(what + ": " + std::to_string(count) + (scaled ? " factors" : " indices") +
                       " for a part of " + detail::core::shape_text(rows_, cols_));
  }
  if (first.kind == input_stage::permuted && !detail::matrix::is_permutation(first.columns)) {
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
  if (projected) cols_ = first.matrix.cols();
}

EDGERAZOR_FUNCTION matrix_part low_rank::only_part(const matrix_sum& v) {
  if (v.parts().size() != 1 || !v.stages().empty())
    detail::core::fail("low_rank: expected a V that is one matrix, not a sum");
  return v.parts()[0].matrix;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
