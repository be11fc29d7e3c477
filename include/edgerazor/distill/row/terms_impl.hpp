// SPDX-License-Identifier: Apache-2.0
/// The terms and loops of terms.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/comparison_impl.hpp>
#include <edgerazor/distill/row/exp_impl.hpp>
#include <edgerazor/distill/row/terms.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// The term and its slope.
struct column_terms {
  doubles value{0.0}, slope{0.0};

  void add(const column_terms& more) noexcept {
    value += more.value;
    slope += more.slope;
  }
  [[nodiscard]] term_sums total() const noexcept {
    return {xsimd::reduce_add(value), xsimd::reduce_add(slope)};
  }
};

/// m = a p + b q, a + b = 1, with ln(m / p) and ln(m / q): of the larger of p and q m is no small
/// part, so the one logarithm there is is of a number between min(a, b) and 1; where q is near p,
/// of 1 + b (e^x - 1).
struct mixture {
  doubles m, of_p, of_q;

  mixture(double a, double b, const probability_pair& x) noexcept
      : m(doubles{a} * x.p + doubles{b} * x.q) {
    const doubles one{1.0}, none{0.0};
    if (a == 0 || b == 0) {  // m is q or p, whose quotient may underflow
      of_p = a == 0 ? x.x : none;
      of_q = a == 0 ? none : -x.x;
      return;
    }
    const auto above = x.x > none;
    const doubles larger = xsimd::select(above, x.q, x.p), rise = doubles{b} * x.rise;
    const doubles share = xsimd::select(larger == none, one, m / larger);
    const doubles argument = xsimd::select(x.is_small, one + rise, share);
    // What rounding took from 1 + rise, which near 1 is what it takes from the logarithm.
    const doubles lost = xsimd::select(x.is_small, rise - (argument - one), none);
    const doubles log = xsimd::log(argument) + lost;
    of_p = xsimd::select(above && !x.is_small, log + x.x, log);
    of_q = xsimd::select(above && !x.is_small, log, log - x.x);
  }
};

struct kl_blend_term {
  double forward, reverse;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    column_terms result;
    if (forward != 0) {
      result.value += doubles{forward} * x.forward();
      result.slope += doubles{forward} * x.difference;
    }
    if (reverse != 0) {
      result.value += doubles{reverse} * x.reverse();
      result.slope += doubles{reverse} * x.expected_q(x.x);
    }
    return result;
  }
};
struct jensen_shannon_term {
  double beta;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const mixture mixed{beta, 1 - beta, x};
    const doubles of_teacher = divergence_gap(x.p, mixed.m, x.absent_p, mixed.of_p),
                  of_student = divergence_gap(x.q, mixed.m, x.absent_q, mixed.of_q);
    return {doubles{beta} * of_teacher + doubles{1 - beta} * of_student,
            doubles{beta - 1} * x.expected_q(mixed.of_q)};
  }
};
struct skew_forward_term {
  double alpha;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const mixture mixed{alpha, 1 - alpha, x};
    const doubles none{0.0};
    const doubles part = alpha == 0 ? doubles{1.0}  // q / m, where q may have underflowed
                                    : xsimd::select(mixed.m == none, none, x.q / mixed.m);
    return {divergence_gap(x.p, mixed.m, x.absent_p, mixed.of_p),
            doubles{(1 - alpha) * (1 - alpha)} * part * x.difference};
  }
};
struct skew_reverse_term {
  double alpha;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const mixture mixed{1 - alpha, alpha, x};
    const doubles none{0.0};
    const doubles part = xsimd::select(mixed.m == none, none, x.q / mixed.m);
    return {divergence_gap(x.q, mixed.m, x.absent_q, mixed.of_q),
            doubles{alpha * (alpha - 1)} * part * x.difference - x.expected_q(mixed.of_q)};
  }
};
struct total_variation_term {
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const doubles none{0.0}, half = doubles{0.5} * x.q;
    // A NaN among the logits is one of q too.
    const doubles sign = xsimd::select(x.difference > none, half, none) -
                         xsimd::select(x.difference < none, half, none);
    return {doubles{0.5} * xsimd::abs(x.difference),
            xsimd::select(x.difference == x.difference, sign, x.difference)};
  }
};

/// visit(the function that `term` names).
template <class Visit>
auto with_term(const divergence_term& term, Visit&& visit) noexcept {
  switch (term.kind) {
    case term_kind::jensen_shannon:
      return visit(jensen_shannon_term{term.a});
    case term_kind::skew_forward:
      return visit(skew_forward_term{term.a});
    case term_kind::skew_reverse:
      return visit(skew_reverse_term{term.a});
    case term_kind::total_variation:
      return visit(total_variation_term{});
    case term_kind::kl_blend:
      break;
  }
  return visit(kl_blend_term{term.a, term.b});
}

EDGERAZOR_FUNCTION term_sums sum_terms(const divergence_term& term, const logit_pair& rows,
                                       const logit_statistics& seen) noexcept {
  return with_term(term, [&](const auto& of) noexcept {
    column_terms sum;
    for_each_pair(
        rows, std::max(rows.student.size, rows.teacher.size), pair_scale{seen},
        [&](std::size_t, const probability_pair& x) noexcept { sum.add(of(x)); },
        [](std::size_t, std::size_t) noexcept {});
    return sum.total();
  });
}

EDGERAZOR_FUNCTION void term_gradient(const divergence_term& term, const logit_pair& rows,
                                      const logit_statistics& seen, const term_sums& sums,
                                      double factor, const output_row& out) noexcept {
  const bool infinite = std::isinf(sums.value);
  const doubles slope{sums.slope}, scale{factor * rows.inverse_temperature};
  with_term(term, [&](const auto& of) noexcept {
    double lanes[block_cols];
    for_each_pair(
        rows, rows.student.size, pair_scale{seen},
        [&](std::size_t i, const probability_pair& x) noexcept {
          const doubles g = (of(x).slope - x.q * slope) * scale;
          (infinite ? doubles{0.0} : g).store_unaligned(lanes + i);
        },
        [&](std::size_t first, std::size_t count) noexcept { out.store(first, count, lanes); });
  });
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
