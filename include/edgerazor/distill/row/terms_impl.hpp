// SPDX-License-Identifier: Apache-2.0
/// The terms and loops of terms.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/exp_impl.hpp>
#include <edgerazor/distill/row/terms.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// 1 / T, and ln of the sums of e^(s / T) and e^(t / T).
struct softmax_scale {
  double inverse_temperature, student_log_sum, teacher_log_sum;
};
/// p and q of a vector of logits, with their logarithms, of which impossible tokens have minus
/// infinity.
struct probability_pair {
  doubles p, q, log_p, log_q;

  probability_pair(const double* student, const double* teacher, const softmax_scale& by) noexcept {
    const doubles scale{by.inverse_temperature};
    log_q = doubles::load_unaligned(student) * scale - doubles{by.student_log_sum};
    log_p = doubles::load_unaligned(teacher) * scale - doubles{by.teacher_log_sum};
    q = row::exp(log_q);
    p = row::exp(log_p);
  }
};
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

/// ln(a p + b q) from ln a, ln b.
[[nodiscard]] inline doubles log_mixture(double log_a, const doubles& log_p, double log_b,
                                         const doubles& log_q) noexcept {
  const doubles x = log_p + doubles{log_a}, y = log_q + doubles{log_b};
  const doubles larger = xsimd::max(x, y), smaller = xsimd::min(x, y);
  const doubles impossible{-std::numeric_limits<double>::infinity()};
  return xsimd::select(larger > impossible, larger + xsimd::log1p(row::exp(smaller - larger)),
                       larger);
}

struct kl_blend_term {
  double forward, reverse;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    column_terms result;
    if (forward != 0) {
      result.value += doubles{forward} * x.p * where_positive(x.p, x.log_p - x.log_q);
      result.slope -= doubles{forward} * x.p;
    }
    if (reverse != 0) {
      const doubles of_q = doubles{reverse} * x.q * where_positive(x.q, x.log_q - x.log_p);
      result.value += of_q;
      result.slope += of_q;
    }
    return result;
  }
};
struct jensen_shannon_term {
  double beta;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const doubles log_m = log_mixture(std::log(beta), x.log_p, std::log1p(-beta), x.log_q);
    const doubles of_q = doubles{1 - beta} * x.q * where_positive(x.q, x.log_q - log_m);
    return {doubles{beta} * x.p * where_positive(x.p, x.log_p - log_m) + of_q, of_q};
  }
};
struct skew_forward_term {
  double alpha;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const doubles log_m = log_mixture(std::log(alpha), x.log_p, std::log1p(-alpha), x.log_q);
    const doubles ratio = where_positive(x.q, row::exp(x.log_q - log_m));
    return {x.p * where_positive(x.p, x.log_p - log_m), doubles{alpha - 1} * x.p * ratio};
  }
};
struct skew_reverse_term {
  double alpha;
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const doubles log_m = log_mixture(std::log1p(-alpha), x.log_p, std::log(alpha), x.log_q);
    const doubles log_ratio = where_positive(x.q, x.log_q - log_m);
    return {x.q * log_ratio, x.q * (log_ratio - doubles{alpha} * row::exp(log_ratio))};
  }
};
struct total_variation_term {
  [[nodiscard]] column_terms operator()(const probability_pair& x) const noexcept {
    const doubles half = doubles{0.5} * x.q;
    const doubles above = xsimd::select(x.q > x.p, half, doubles{0.0}),
                  below = xsimd::select(x.q < x.p, half, doubles{0.0});
    return {doubles{0.5} * xsimd::abs(x.p - x.q), above - below};
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

/// Calls visit(first, count, pair) for the columns of both rows, a vector at a time. Columns past a
/// row's end are impossible in it; those past both ends add nothing.
template <class Visit>
void for_each_pair(const logit_pair& rows, std::size_t cols, const logit_statistics& seen,
                   Visit&& visit) noexcept {
  const softmax_scale by{rows.inverse_temperature, seen.student_log_sum(rows.inverse_temperature),
                         seen.teacher_log_sum(rows.inverse_temperature)};
  for_each_block(cols, [&](std::size_t first, std::size_t count) {
    double buffers[2][block_cols];
    const double* s = rows.student.block(first, count, doubles::size, buffers[0]);
    const double* t = rows.teacher.block(first, count, doubles::size, buffers[1]);
    for (std::size_t i = 0; i < count; i += doubles::size)
      visit(first + i, std::min(count - i, doubles::size), probability_pair{s + i, t + i, by});
  });
}

EDGERAZOR_FUNCTION term_sums sum_terms(const divergence_term& term, const logit_pair& rows,
                                       const logit_statistics& seen) noexcept {
  return with_term(term, [&](const auto& of) noexcept {
    column_terms sum;
    for_each_pair(rows, std::max(rows.student.size, rows.teacher.size), seen,
                  [&](std::size_t, std::size_t, const probability_pair& x) { sum.add(of(x)); });
    return sum.total();
  });
}

EDGERAZOR_FUNCTION void term_gradient(const divergence_term& term, const logit_pair& rows,
                                      const logit_statistics& seen, const term_sums& sums,
                                      double factor, const output_row& out) noexcept {
  const bool infinite = std::isinf(sums.value);
  const doubles slope{sums.slope}, scale{factor * rows.inverse_temperature};
  with_term(term, [&](const auto& of) noexcept {
    for_each_pair(rows, rows.student.size, seen,
                  [&](std::size_t first, std::size_t count, const probability_pair& x) {
                    double lanes[doubles::size];
                    const doubles g = (of(x).slope - x.q * slope) * scale;
                    (infinite ? doubles{0.0} : g).store_unaligned(lanes);
                    out.store(first, count, lanes);
                  });
  });
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
