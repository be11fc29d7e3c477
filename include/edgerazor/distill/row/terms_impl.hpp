// SPDX-License-Identifier: Apache-2.0
/// The passes over a row that terms.hpp promises.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

#include <edgerazor/distill/row/comparison_impl.hpp>
#include <edgerazor/distill/row/kl_passes_impl.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/pass_sums.hpp>
#include <edgerazor/distill/row/terms.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

EDGERAZOR_FUNCTION term_sums sum_terms(const divergence_term& term, const logit_pair& rows,
                                       const logit_statistics& seen) noexcept {
  const loops& by = loops_of(rows.by);
  const pair_scale scale{seen};
  term_sums sums;
  for_each_pair(
      rows, std::max(rows.student.size, rows.teacher.size), by,
      [&](std::size_t, std::size_t count, const double* student, const double* teacher) noexcept {
        const term_sums part = by.sum_term(term, student, teacher, count, scale);
        sums.value += part.value;
        sums.slope += part.slope;
      });
  return sums;
}

EDGERAZOR_FUNCTION void term_gradient(const divergence_term& term, const logit_pair& rows,
                                      const logit_statistics& seen, const term_sums& sums,
                                      double factor, const output_row& out) noexcept {
  const loops& by = loops_of(rows.by);
  const pair_scale scale{seen};
  const bool infinite = std::isinf(sums.value);
  const term_slopes all{.slopes = sums.slope, .factor = factor * rows.inverse_temperature};
  for_each_pair(rows, rows.student.size, by,
                [&](std::size_t first, std::size_t count, const double* student,
                    const double* teacher) noexcept {
                  double gradient[block_cols] = {};
                  if (!infinite)
                    by.term_gradient(term, student, teacher, count, scale, all, gradient);
                  out.store(first, std::min(count, rows.student.size - first), gradient);
                });
}

/// True where floats hold the mixtures of the term: neither part of one is next to nothing, beside
/// which the rounding of the other would show.
[[nodiscard]] inline bool suits_floats(const divergence_term& term) noexcept {
  if (term.kind == term_kind::kl_blend) return false;  // kl_row has floats for it
  return term.kind == term_kind::total_variation || (term.a >= 0x1p-10 && term.a <= 1 - 0x1p-10);
}

/// term_row in float; nothing where that is not enough.
inline std::optional<double> term_row_in_float(const divergence_term& term, const logit_pair& rows,
                                               double factor, const output_row& out) noexcept {
  kl_passes<float> passes{rows};
  pass_sums seen{rows.inverse_temperature};
  passes.observe_teacher(seen);
  passes.expect_infinities(seen);
  kept_exponentials<float> kept{room_for_exponentials(rows, out)};
  passes.observe_student(seen, kept);
  if (!float_is_enough(seen) || passes.guarded() || rows.student.size != rows.teacher.size)
    return std::nullopt;
  return passes.term(seen, kept, term, factor, out);
}

EDGERAZOR_FUNCTION double term_row(const divergence_term& term, const logit_pair& rows,
                                   double factor, const output_row& out) noexcept {
  if (starts_in_float(rows) && suits_floats(term)) {
    if (const auto value = term_row_in_float(term, rows, factor, out)) return *value;
  }
  const logit_statistics seen = row_statistics(rows, false);
  const term_sums sums = sum_terms(term, rows, seen);
  if (out) term_gradient(term, rows, seen, sums, factor, out);
  return sums.value;
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
