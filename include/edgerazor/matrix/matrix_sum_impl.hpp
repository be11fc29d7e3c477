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
  for (const stage& s : *stages_) {
    result.stages.push_back({s.kind, s.from, s.block});
    if (s.kind != input_stage::projected) continue;
    result.stages.back().size = s.matrix.rows();
    result.stages.back().matrix = detail::matrix::format_of(s.matrix);
  }
  for (const part& p : *parts_)
    result.parts.push_back({detail::matrix::format_of(p.matrix, p.map), p.input});
  const bool one = stages_->empty() && parts_->size() == 1 && !(*parts_)[0].matrix.sparse();
  return one ? matrix_format{result.parts[0].fmt} : result;
}

EDGERAZOR_FUNCTION void matrix_sum::append(const matrix_sum& other) {
  if (other.rows_ != rows_ || other.cols_ != cols_) {
    detail::core::fail("sum_of: a part of " + detail::core::shape_text(other.rows_, other.cols_) +
                       " and one of " + detail::core::shape_text(rows_, cols_));
  }
  if (std::max(parts_->size() + other.parts_->size(), stages_->size() + other.stages_->size()) >
      matrix_format::most) {
    detail::core::fail("sum_of: more than " + std::to_string(matrix_format::most) +
                       " matrices or input stages");
  }
  const std::size_t before = stages_->size();
  const auto moved = [before](std::size_t input) { return input == 0 ? 0 : input + before; };
  const std::vector<stage> more_stages = *other.stages_;  // which may be these
  const std::vector<part> more_parts = *other.parts_;
  for (stage s : more_stages) {
    s.from = moved(s.from);
    stages_->push_back(s);
  }
  for (part p : more_parts) {
    p.input = moved(p.input);
    parts_->push_back(p);
  }
}

namespace detail::matrix {
[[nodiscard]] inline std::string word_of(input_stage kind) {
  switch (kind) {
    case input_stage::scaled:
      return "scaled_columns";
    case input_stage::permuted:
      return "permuted_columns";
    case input_stage::rotated:
      return "rotated";
    case input_stage::projected:
      break;
  }
  return "low_rank";
}

/// Fails where a stage does not fit what takes its result, of that shape.
inline void require_stage(const matrix_sum::stage& stage, std::size_t rows, std::size_t cols) {
  const std::string what = word_of(stage.kind), shape = core::shape_text(rows, cols);
  const auto require_numbers = [&](std::size_t count, const char* name) {
    if (count != cols)
      core::fail(what + ": " + std::to_string(count) + name + " for a part of " + shape);
  };
  switch (stage.kind) {
    case input_stage::scaled:
      return require_numbers(stage.factors.size(), " factors");
    case input_stage::permuted:
      require_numbers(stage.columns.size(), " indices");
      if (is_permutation(stage.columns)) return;
      core::fail(what + ": expected each column from 0 to " + std::to_string(cols - 1) + " once");
    case input_stage::rotated:
      if (stage.block != 0 && cols % stage.block == 0) return;
      core::fail(what + ": blocks of " + std::to_string(stage.block) + " columns for a part of " +
                 shape);
    case input_stage::projected:
      break;
  }
  if (stage.matrix.rows() != cols) {
    core::fail(what + ": U of " + shape + " and V of " +
               core::shape_text(stage.matrix.rows(), stage.matrix.cols()));
  }
  if (!stage.matrix.packed() && !stage.matrix.dense())
    core::fail(what + ": expected a V that is packed or of real numbers");
  if (cols > matrix_format::largest_rank) {
    core::fail(what + ": expected a rank of at most " +
               std::to_string(matrix_format::largest_rank) + ", got " + std::to_string(cols));
  }
}
}  // namespace detail::matrix

EDGERAZOR_FUNCTION void matrix_sum::precede(const stage& first) {
  detail::matrix::require_stage(first, rows_, cols_);
  if (stages_->size() == matrix_format::most) {
    detail::core::fail(detail::matrix::word_of(first.kind) + ": more than " +
                       std::to_string(matrix_format::most) + " input stages");
  }
  stage own = first;  // which may be one of these
  own.from = 0;
  for (stage& s : *stages_) ++s.from;
  for (part& p : *parts_) ++p.input;
  stages_->insert(stages_->begin(), own);
  if (own.kind == input_stage::projected) cols_ = own.matrix.cols();
}

EDGERAZOR_FUNCTION matrix_part low_rank::only_part(const matrix_sum& v) {
  if (v.parts().size() != 1 || !v.stages().empty())
    detail::core::fail("low_rank: expected a V that is one matrix, not a sum");
  return v.parts()[0].matrix;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
