// SPDX-License-Identifier: Apache-2.0
/// The passes in double over both rows, column by column.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Calls visit(first, count, student, teacher) for the blocks of both rows, where count is that of
/// whole vectors. Columns past a row's end are impossible in it; those past both ends add nothing.
template <class Visit>
void for_each_pair(const logit_pair& rows, std::size_t cols, const loops& by,
                   Visit&& visit) noexcept {
  for_each_block(cols, [&](std::size_t first, std::size_t count) {
    double buffers[2][block_cols];
    const double* s = rows.student.block(first, count, by.lanes, buffers[0]);
    const double* t = rows.teacher.block(first, count, by.lanes, buffers[1]);
    visit(first, whole_vectors(count, by), s, t);
  });
}

/// D, E_s and E_t of all columns, seen through these references.
[[nodiscard]] inline difference_sums sum_differences(const logit_pair& rows,
                                                     const logit_scaling& scaling) noexcept {
  const loops& by = loops_of(rows.by);
  difference_sums sums;
  for_each_pair(
      rows, std::max(rows.student.size, rows.teacher.size), by,
      [&](std::size_t, std::size_t count, const double* student, const double* teacher) noexcept {
        const difference_sums part = by.compare(student, teacher, count, pair_scale{scaling});
        sums.sum += part.sum;
        sums.student_excess += part.student_excess;
        sums.teacher_excess += part.teacher_excess;
      });
  return sums;
}

/// The mean of u seen from the references, of which statistics of all columns are enough.
[[nodiscard]] inline pair_slopes slopes_from_references(const logit_statistics& seen) noexcept {
  const logit_scaling by = pair_scale{seen}.by;
  return {.student_origin = by.student_reference,
          .teacher_origin = by.teacher_reference,
          .mean = (seen.difference + seen.student_excess) / seen.student_sum};
}

/// Both divergences, and the gradient of their blend, in double, with `slopes` of which origin and
/// mean are set. The reverse part of a row whose KL(q||p) is infinite has no direction and is left
/// out.
inline kl_divergences compare_rows(const logit_pair& rows, const logit_statistics& seen,
                                   pair_slopes slopes, const kl_blend& blend,
                                   const output_row& out) noexcept {
  const loops& by = loops_of(rows.by);
  const pair_scale scale{seen};
  const bool directed = !std::isinf(slopes.mean);
  // d KL(q||p) / ds = q (u - sum of q u) / T        d KL(p||q) / ds = (q - p) / T
  if (!directed) slopes.mean = 0;
  slopes.forward = blend.forward * rows.inverse_temperature;
  slopes.reverse = directed ? blend.reverse * rows.inverse_temperature : 0;
  const std::size_t cols = std::max(rows.student.size, rows.teacher.size);
  kl_divergences result;
  for_each_pair(rows, cols, by,
                [&](std::size_t first, std::size_t count, const double* student,
                    const double* teacher) noexcept {
                  double gradient[block_cols];
                  const kl_divergences part = by.compare_blend(student, teacher, count, scale,
                                                               slopes, out ? gradient : nullptr);
                  result.forward += part.forward;
                  result.reverse += part.reverse;
                  const std::size_t end = std::min({first + count, cols, out.size});
                  if (out && first < end) out.store(first, end - first, gradient);
                });
  return result;
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
