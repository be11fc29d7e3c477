// SPDX-License-Identifier: Apache-2.0
/// The rows that kl_row.hpp promises.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>

#include <edgerazor/distill/row/comparison_impl.hpp>
#include <edgerazor/distill/row/kl_passes_impl.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/pass_sums.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Statistics of both rows, and the origin and mean of their slopes.
struct observed_rows {
  logit_statistics seen;
  pair_slopes slopes;
};

/// In double, with what may be known of the teacher. E_t is there if `forward` asks for it.
[[nodiscard]] inline observed_rows observe_rows(const logit_pair& rows,
                                                const logit_statistics& known,
                                                bool forward) noexcept {
  kl_passes<double> passes{rows};
  pass_sums sums{known, rows.inverse_temperature};
  if (sums.teacher_sum == 0) passes.observe_teacher(sums);
  passes.expect_infinities(sums);
  kept_exponentials<double> none;
  passes.observe_student(sums, none);
  logit_statistics seen = sums.statistics();
  // Not about the references: where those are many nats apart, u - mean would cancel.
  const pair_slopes slopes{.student_origin = sums.student_origin,
                           .teacher_origin = sums.teacher_origin,
                           .mean = sums.student_excess / sums.student_sum};
  const bool close = are_close(sums);
  if (!close && !forward) return {seen, slopes};
  // References that stand for the same logit leave no common part in u.
  if (const double apart = sums.log_ratio() - sums.shift(); close && std::fabs(apart) > 1e-9)
    seen.student_reference += apart / rows.inverse_temperature;
  const difference_sums differences = sum_differences(rows, pair_scale{seen}.by);
  if (close) seen.student_sum = seen.teacher_sum + differences.sum;
  seen.difference = differences.sum;
  seen.student_excess = differences.student_excess;
  seen.teacher_excess = differences.teacher_excess;
  return {seen, slopes};
}

/// kl_row in float; nothing where that is not enough.
inline std::optional<kl_divergences> kl_row_in_float(const logit_pair& rows,
                                                     const logit_statistics& known,
                                                     const kl_blend& blend,
                                                     const output_row& out) noexcept {
  kl_passes<float> passes{rows};
  pass_sums seen{known, rows.inverse_temperature};
  if (seen.teacher_sum == 0) passes.observe_teacher(seen);
  passes.expect_infinities(seen);
  kept_exponentials<float> kept{room_for_exponentials(rows, out)};
  passes.observe_student(seen, kept);
  if (!float_is_enough(seen)) return std::nullopt;
  if (are_near(seen)) {
    if (passes.guarded() || rows.student.size != rows.teacher.size) return std::nullopt;
    return passes.near_rows(seen, kept, blend, out);
  }
  if (out) {
    passes.gradient(seen, kept, blend, out);
  } else {
    passes.observe_forward(seen);
  }
  return kl_divergences{seen.forward_kl(), seen.reverse_kl()};
}

EDGERAZOR_FUNCTION logit_statistics teacher_statistics(const input_row& teacher, std::size_t cols,
                                                       double inverse_temperature,
                                                       const loops* by) noexcept {
  const logit_pair rows{teacher, teacher, inverse_temperature, by};
  pass_sums result{inverse_temperature};
  if (cols < float_cols) {
    kl_passes<double>{rows}.observe_teacher(result);
  } else {
    kl_passes<float>{rows}.observe_teacher(result);
  }
  return result.statistics();
}

EDGERAZOR_FUNCTION logit_statistics row_statistics(const logit_pair& rows, bool forward) noexcept {
  return observe_rows(rows, {}, forward).seen;
}

EDGERAZOR_FUNCTION kl_divergences kl_row(const logit_pair& rows, const logit_statistics& known,
                                         const kl_blend& blend, const output_row& out) noexcept {
  const bool is_long = std::max(rows.student.size, rows.teacher.size) >= float_cols;
  if (starts_in_float(rows)) {
    if (const auto result = kl_row_in_float(rows, known, blend, out)) return *result;
  }
  // What float has seen of a long row's teacher is not enough here.
  const observed_rows both = observe_rows(rows, is_long ? logit_statistics{} : known, false);
  return compare_rows(rows, both.seen, both.slopes, blend, out);
}

EDGERAZOR_FUNCTION void kl_gradient(const logit_pair& rows, const logit_statistics& whole,
                                    const kl_blend& blend, const output_row& out) noexcept {
  compare_rows(rows, whole, slopes_from_references(whole), blend, out);
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
