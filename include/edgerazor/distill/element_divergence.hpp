// SPDX-License-Identifier: Apache-2.0
/// Any divergence that is a sum over the vocabulary of a function of p and q, with its gradient in
/// the student's logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/exponential.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/logit_pair.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// p and q of some columns, with their logarithms, of which impossible tokens have minus infinity.
template <class Reals>
struct probability_pair {
  Reals p, q, log_p, log_q;
};

/// What a divergence says of a column: its term, and q d(term)/dq. A constant times q may be added
/// to the latter in all columns, as the q sum up to 1.
template <class Reals>
struct element_term {
  Reals value, slope;
};

/// x where the probability isn't 0, else 0.
template <class Reals>
[[nodiscard]] Reals if_possible(const Reals& probability, const Reals& x) noexcept {
  return xsimd::select(probability > Reals{0}, x, Reals{0});
}

/// ln(a p + b q) from ln a, ln b.
template <class Reals>
[[nodiscard]] Reals log_mixture(double log_a, const Reals& log_p, double log_b,
                                const Reals& log_q) noexcept {
  const Reals x = log_p + Reals{log_a}, y = log_q + Reals{log_b};
  const Reals larger = xsimd::max(x, y), smaller = xsimd::min(x, y);
  const Reals impossible{-std::numeric_limits<double>::infinity()};
  return xsimd::select(larger > impossible,
                       larger + xsimd::log1p(detail::distill::exponential(smaller - larger)),
                       larger);
}

/// Calls visit(first, count, pair) for the columns of both rows, a vector at a time. Columns past a
/// row's end are impossible in it; those past both ends add nothing.
template <class Arch, real_element S, real_element T, class Visit>
void for_each_pair(logit_row<S> student, logit_row<T> teacher, std::size_t cols,
                   double inverse_temperature, const logit_statistics& seen,
                   Visit&& visit) noexcept {
  using reals = xsimd::batch<double, Arch>;
  const reals student_log_sum{seen.student_log_sum(inverse_temperature)},
      scale{inverse_temperature};
  const reals teacher_log_sum{seen.teacher_log_sum(inverse_temperature)};
  for_each_block(cols, [&](std::size_t first, std::size_t count) {
    double buffers[2][logit_block];
    const double* s = student.template block<double, reals::size>(first, count, buffers[0]);
    const double* t = teacher.template block<double, reals::size>(first, count, buffers[1]);
    for (std::size_t i = 0; i < count; i += reals::size) {
      probability_pair<reals> x;
      x.log_q = reals::load_unaligned(s + i) * scale - student_log_sum;
      x.log_p = reals::load_unaligned(t + i) * scale - teacher_log_sum;
      x.q = detail::distill::exponential(x.log_q);
      x.p = detail::distill::exponential(x.log_p);
      visit(first + i, std::min(count - i, reals::size), x);
    }
  });
}

/// A divergence's value and slopes, summed over columns.
struct term_sums {
  double value = 0;
  double slope = 0;
};

/// Divergence(pair) gives the element_term of its columns.
template <class Arch, class Divergence, real_element S, real_element T>
[[nodiscard]] term_sums sum_terms(const Divergence& divergence, logit_row<S> student,
                                  logit_row<T> teacher, double inverse_temperature,
                                  const logit_statistics& seen) noexcept {
  using reals = xsimd::batch<double, Arch>;
  element_term<reals> sum{reals{0}, reals{0}};
  for_each_pair<Arch>(student, teacher, std::max(student.size, teacher.size), inverse_temperature,
                      seen,
                      [&](std::size_t, std::size_t, const probability_pair<reals>& x) noexcept {
                        const element_term<reals> term = divergence(x);
                        sum.value += term.value;
                        sum.slope += term.slope;
                      });
  return {xsimd::reduce_add(sum.value), xsimd::reduce_add(sum.slope)};
}

/// d / ds_i = (slope_i - q_i sum of slopes) / T, times `factor`. A divergence that is infinite has
/// no direction.
template <class Arch, class Divergence, real_element S, real_element T, real_element G>
void term_gradient(const Divergence& divergence, logit_row<S> student, logit_row<T> teacher,
                   double inverse_temperature, const logit_statistics& seen, const term_sums& sums,
                   double factor, bool accumulate, G* out) noexcept {
  using reals = xsimd::batch<double, Arch>;
  const bool infinite = std::isinf(sums.value);
  const reals slope{sums.slope}, scale{factor * inverse_temperature};
  for_each_pair<Arch>(
      student, teacher, student.size, inverse_temperature, seen,
      [&](std::size_t first, std::size_t count, const probability_pair<reals>& x) noexcept {
        double lanes[reals::size];
        const reals g = (divergence(x).slope - x.q * slope) * scale;
        (infinite ? reals{0} : g).store_unaligned(lanes);
        for (std::size_t i = 0; i < count; ++i) {
          const float before = accumulate ? static_cast<float>(out[first + i]) : 0;
          out[first + i] = G{before + static_cast<float>(lanes[i])};
        }
      });
}

/// One token: a pass for the teacher's normalizer, one for the student's, one for the sums, one for
/// the gradient.
template <class Arch, class Divergence, real_element S, real_element T, real_element G>
double element_divergence_row(const Divergence& divergence, logit_row<S> student,
                              logit_row<T> teacher, double inverse_temperature, double upstream,
                              bool accumulate, G* out) noexcept {
  logit_statistics seen;
  logit_pair<double, Arch, S, T> pair{student, teacher, inverse_temperature};
  pair.observe_teacher(seen);
  kept_powers<double> none;
  pair.observe_student(seen, none);
  const term_sums sums = sum_terms<Arch>(divergence, student, teacher, inverse_temperature, seen);
  if (out != nullptr) {
    term_gradient<Arch>(divergence, student, teacher, inverse_temperature, seen, sums, upstream,
                        accumulate, out);
  }
  return sums.value < 0 ? 0 : sums.value;
}

struct element_options {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
};

template <class Arch, class Divergence, class S, class T, class G>
loss_result element_divergence(const char* name, const element_options& options,
                               const Divergence& divergence, matrix_view<S> student,
                               matrix_view<T> teacher, const token_batch& tokens,
                               matrix_view<G> gradient) {
  using student_element = std::remove_const_t<S>;
  using teacher_element = std::remove_const_t<T>;
  const logit_shape shape = check_logits(name, student, teacher, gradient, options.vocabulary);
  const double temperature = check_temperature(name, options.temperature, loss_mode::stable);
  const double square = options.temperature_squared ? temperature * temperature : 1;
  const token_plan plan{name, tokens, student.rows};
  loss_result result;
  plan.for_each_token([&](const counted_token& token) {
    if (!token.counts) {
      if (gradient.data != nullptr)
        clear_gradient_row(tokens.accumulate, gradient.row(token.index));
      add_token(result, tokens, token, 0);
      return;
    }
    G* out = gradient.data == nullptr ? nullptr : gradient.data + token.index * gradient.stride;
    if (out != nullptr && gradient.cols > shape.student_cols) {  // truncated
      clear_gradient_row(tokens.accumulate, gradient.row(token.index).subspan(shape.student_cols));
    }
    const logit_row<student_element> s{student.data + token.index * student.stride,
                                       shape.student_cols};
    const logit_row<teacher_element> t{teacher.data + token.index * teacher.stride,
                                       shape.teacher_cols};
    const double value = element_divergence_row<Arch>(
        divergence, s, t, 1 / temperature, square * token.upstream, tokens.accumulate, out);
    add_token(result, tokens, token, square * value);
  });
  return result;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
