// SPDX-License-Identifier: Apache-2.0
/// Student and teacher column by column, in vectors of doubles: p, q and what they differ by, with
/// nothing that cancels, however close the two are, however high the temperature, however far the
/// logits from 0.
///
/// A logit's reference is subtracted before anything else and never meets a logarithm: (x - r) / T
/// keeps its digits where x / T and ln sum e^(x / T) are both large.
///
/// A column is impossible in a row if its logit is minus infinity; every other one is possible,
/// however far its probability has underflowed. A row that holds NaN has the sum NaN, and so are
/// all its probabilities.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/exp_impl.hpp>
#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/kl_sums_impl.hpp>
#include <edgerazor/distill/row/rows.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// The references of a pair of rows, and the sums seen through them: S_s, S_t and ln(S_s / S_t).
struct pair_scale {
  logit_scaling by;
  double student_sum = 1, teacher_sum = 1, log_ratio = 0;

  pair_scale(const logit_scaling& scaling) noexcept : by(scaling) {}
  explicit pair_scale(const logit_statistics& seen) noexcept
      : by{seen.inverse_temperature, set(seen.student_reference), set(seen.teacher_reference)},
        student_sum(seen.student_sum),
        teacher_sum(seen.teacher_sum),
        log_ratio(seen.log_ratio()) {}

 private:
  static double set(double reference) noexcept {
    return reference == logit_statistics::unset ? 0 : reference;
  }
};

/// e^x - 1 - x for |x| <= small_difference, to x^14 / 14! and so to the last digit, in two chains.
[[nodiscard]] inline doubles precise_excess(const doubles& x) noexcept {
  const doubles square = x * x;
  doubles even = xsimd::fma(square, doubles{1.0 / 87178291200}, doubles{1.0 / 479001600});
  doubles odd = xsimd::fma(square, doubles{1.0 / 6227020800}, doubles{1.0 / 39916800});
  for (const double coefficient : {1.0 / 3628800, 1.0 / 40320, 1.0 / 720, 1.0 / 24, 0.5})
    even = xsimd::fma(even, square, doubles{coefficient});
  for (const double coefficient : {1.0 / 362880, 1.0 / 5040, 1.0 / 120, 1.0 / 6})
    odd = xsimd::fma(odd, square, doubles{coefficient});
  return square * xsimd::fma(odd, x, even);
}
/// The same to a relative 1e-9, by x^9 / 9!.
[[nodiscard]] inline doubles brief_excess(const doubles& x) noexcept {
  const doubles square = x * x;
  doubles even = xsimd::fma(square, doubles{1.0 / 40320}, doubles{1.0 / 720});
  doubles odd = xsimd::fma(square, doubles{1.0 / 362880}, doubles{1.0 / 5040});
  for (const double coefficient : {1.0 / 24, 0.5})
    even = xsimd::fma(even, square, doubles{coefficient});
  for (const double coefficient : {1.0 / 120, 1.0 / 6})
    odd = xsimd::fma(odd, square, doubles{coefficient});
  return square * xsimd::fma(odd, x, even);
}

/// probability * x, of which impossible columns have 0, be x infinite, and possible ones infinity
/// where x is.
[[nodiscard]] inline doubles expected(const doubles& probability,
                                      const xsimd::batch_bool<double, xsimd::default_arch>& absent,
                                      const doubles& x) noexcept {
  const doubles least{std::numeric_limits<double>::min()};
  return xsimd::select(probability < least, least, probability) *
         xsimd::select(absent, doubles{0.0}, x);
}
/// from * (e^x - 1 - x) with `to` = from * e^x: what a column adds to the divergence of `to` from
/// `from`. Never negative.
[[nodiscard]] inline doubles divergence_gap(
    const doubles& from, const doubles& to,
    const xsimd::batch_bool<double, xsimd::default_arch>& absent, const doubles& x) noexcept {
  return xsimd::select(xsimd::abs(x) <= doubles{small_difference}, from * brief_excess(x),
                       to - from - expected(from, absent, x));
}

/// One vector of columns.
struct probability_pair {
  using mask = xsimd::batch_bool<double, xsimd::default_arch>;
  mask absent_p, absent_q;  ///< impossible
  doubles p, q;
  doubles u;           ///< a - b; 0 where both are impossible
  doubles x;           ///< ln q - ln p; 0 where both are impossible
  mask is_small;       ///< |x| <= small_difference
  doubles excess;      ///< e^x - 1 - x where small
  doubles rise;        ///< e^x - 1 where small
  doubles difference;  ///< q - p

  probability_pair(const double* student, const double* teacher, const pair_scale& scale) noexcept {
    const doubles impossible{-std::numeric_limits<double>::infinity()}, none{0.0};
    const doubles s = doubles::load_unaligned(student), t = doubles::load_unaligned(teacher);
    const doubles inverse{scale.by.inverse_temperature};
    absent_q = s == impossible;
    absent_p = t == impossible;
    const doubles from_s = s - doubles{scale.by.student_reference},
                  from_t = t - doubles{scale.by.teacher_reference};
    q = row::exp(from_s * inverse) * doubles{1 / scale.student_sum};
    p = row::exp(from_t * inverse) * doubles{1 / scale.teacher_sum};
    const auto absent = absent_p && absent_q;
    // s - t is exact where the two are near each other; else it may lose the smaller.
    const doubles apart = s - t;
    const auto is_near = xsimd::abs(apart) <= doubles{0.5} * xsimd::abs(t);
    u = xsimd::select(is_near,
                      apart - doubles{scale.by.student_reference - scale.by.teacher_reference},
                      from_s - from_t) *
        inverse;
    u = xsimd::select(absent, none, u);
    x = xsimd::select(absent, none, u - doubles{scale.log_ratio});
    is_small = xsimd::abs(x) <= doubles{small_difference};
    excess = precise_excess(x);
    rise = x + excess;
    difference = xsimd::select(is_small, p * rise, q - p);
  }

  [[nodiscard]] doubles expected_p(const doubles& y) const noexcept {
    return expected(p, absent_p, y);
  }
  [[nodiscard]] doubles expected_q(const doubles& y) const noexcept {
    return expected(q, absent_q, y);
  }
  /// The column's share of KL(p||q), of KL(q||p).
  [[nodiscard]] doubles forward() const noexcept {
    return xsimd::select(is_small, p * excess, difference - expected_p(x));
  }
  [[nodiscard]] doubles reverse() const noexcept {
    return xsimd::select(is_small, p * (x * rise - excess), expected_q(x) - difference);
  }
};

/// Calls visit(i, pair) for the columns of both rows, a vector at a time, with the place of the
/// first one in its block, and end(first, count) after each block. Columns past a row's end are
/// impossible in it; those past both ends add nothing.
template <class Visit, class End>
void for_each_pair(const logit_pair& rows, std::size_t cols, const pair_scale& scale, Visit&& visit,
                   End&& end) noexcept {
  for_each_block(cols, [&](std::size_t first, std::size_t count) {
    double buffers[2][block_cols];
    const double* s = rows.student.block(first, count, doubles::size, buffers[0]);
    const double* t = rows.teacher.block(first, count, doubles::size, buffers[1]);
    for (std::size_t i = 0; i < count; i += doubles::size)
      visit(i, probability_pair{s + i, t + i, scale});
    end(first, count);
  });
}

/// D, E_s and E_t of all columns, seen through these references.
[[nodiscard]] inline difference_sums sum_differences(const logit_pair& rows,
                                                     const logit_scaling& by) noexcept {
  doubles difference{0.0}, student{0.0}, teacher{0.0};
  for_each_pair(
      rows, std::max(rows.student.size, rows.teacher.size), by,
      [&](std::size_t, const probability_pair& x) noexcept {
        difference += x.difference;
        student += x.reverse();
        teacher += x.forward();
      },
      [](std::size_t, std::size_t) noexcept {});
  difference_sums sums{.sum = xsimd::reduce_add(difference),
                       .student_excess = xsimd::reduce_add(student),
                       .teacher_excess = xsimd::reduce_add(teacher)};
  sums.excess = sums.sum + sums.student_excess;
  return sums;
}

/// Both divergences, and the gradient of their blend, in double. The reverse part of a row whose
/// KL(q||p) is infinite has no direction and is left out.
inline kl_divergences compare_rows(const logit_pair& rows, const logit_statistics& seen,
                                   const kl_blend& blend, const output_row& out) noexcept {
  const std::size_t cols = std::max(rows.student.size, rows.teacher.size);
  const double mean = (seen.difference + seen.student_excess) / seen.student_sum;
  const bool directed = !std::isinf(mean);
  // d KL(q||p) / ds = q (u - sum of q u) / T        d KL(p||q) / ds = (q - p) / T
  const doubles along{directed ? mean : 0},
      reverse_slope{directed ? blend.reverse * rows.inverse_temperature : 0},
      forward_slope{blend.forward * rows.inverse_temperature};
  const doubles none{0.0}, unbounded{std::numeric_limits<double>::infinity()};
  doubles forward{0.0}, reverse{0.0};
  double lanes[block_cols];
  for_each_pair(
      rows, cols, pair_scale{seen},
      [&](std::size_t i, const probability_pair& x) noexcept {
        forward += x.forward();
        reverse += x.reverse();
        if (!out) return;
        const doubles u = xsimd::select(xsimd::abs(x.u) == unbounded, none, x.u);
        xsimd::fma(reverse_slope * x.q, u - along, forward_slope * x.difference)
            .store_unaligned(lanes + i);
      },
      [&](std::size_t first, std::size_t count) noexcept {
        if (out && first < out.size) out.store(first, std::min(count, out.size - first), lanes);
      });
  return {xsimd::reduce_add(forward), xsimd::reduce_add(reverse)};
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
