// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: the terms of terms.hpp and their slopes, of columns in double
// (probability_pair) and of near or far columns of long rows in float (near_columns).

/// Of floats the slope is divided by q: it stays as small as student and teacher differ, however
/// small q. It is a function of y = ln(p / q) alone, in double slope_at(y).
template <class Reals>
struct column_term {
  Reals value, slope;
};

/// m = a p + b q, a + b = 1, with ln(m / p) and ln(m / q): of the larger of p and q m is no small
/// part, so the one logarithm there is is of a number between min(a, b) and 1; where q is near p,
/// of 1 + b (e^x - 1).
struct mixture {
  doubles m, of_p, of_q;

  EDGERAZOR_LANES mixture(double a, double b, const probability_pair& x) noexcept
      : m(doubles{a} * x.p + doubles{b} * x.q) {
    const doubles one{1.0}, none{0.0};
    if (a == 0 || b == 0) {  // m is q or p, whose quotient may underflow
      of_p = a == 0 ? x.x : none;
      of_q = a == 0 ? none : none - x.x;
      return;
    }
    const double_mask above = x.x > none;
    const doubles larger = select(above, x.q, x.p), rise = doubles{b} * x.rise;
    const doubles share = select(larger == none, one, m / larger);
    const doubles argument = select(x.is_small, one + rise, share);
    // What rounding took from 1 + rise, which near 1 is what it takes from the logarithm.
    const doubles lost = select(x.is_small, rise - (argument - one), none);
    const doubles log = logarithm(argument) + lost;
    of_p = select(above && !x.is_small, log + x.x, log);
    of_q = select(above && !x.is_small, log, log - x.x);
  }
};
/// The same of floats, of m / q where near: 1 + a (e^y - 1). a and b are no smaller than 2^-10.
template <bool Far>
struct near_mixture {
  floats p, m, of_p, of_q;
  floats apart;  ///< (p - q) / m

  EDGERAZOR_LANES near_mixture(float a, float b, const near_columns<Far>& x) noexcept
      : p(x.teacher_probability()), m(fma(floats{a}, p, floats{b} * x.q)) {
    const floats one{1.0f}, rise = floats{a} * x.rise;
    floats argument = one + rise;
    floats lost = rise - (argument - one);
    apart = x.rise / argument;
    if constexpr (Far) {
      const floats none{0.0f}, larger = max(p, x.q);
      argument = select(x.is_far, select(larger == none, one, m / larger), argument);
      lost = select(x.is_far, none, lost);
      apart = select(x.is_far, select(m == none, none, (p - x.q) / m), apart);
    }
    const floats log = logarithm(argument) + lost;
    of_q = log;
    of_p = log - x.y;
    if constexpr (Far) {
      const float_mask of_teacher = x.is_far && p > x.q;
      of_q = select(of_teacher, log + x.y, of_q);
      of_p = select(of_teacher, log, of_p);
    }
  }
};
/// from * (e^y - 1 - y), `to` = from * e^y.
template <bool Far>
EDGERAZOR_LANES floats near_gap(const floats& from, const floats& to, const floats& y) noexcept {
  if constexpr (Far) {
    const floats bounded = max(min(y, floats{near_difference}), floats{-near_difference});
    return select(abs(y) > floats{near_difference}, fnma(from, y, to - from),
                  from * excess_of(bounded));
  }
  return from * excess_of(y);
}

struct kl_blend_term {
  double forward, reverse;

  EDGERAZOR_LANES column_term<doubles> operator()(const probability_pair& x) const noexcept {
    column_term<doubles> result{doubles{0.0}, doubles{0.0}};
    if (forward != 0) {
      result.value = result.value + doubles{forward} * x.forward();
      result.slope = result.slope + doubles{forward} * x.difference;
    }
    if (reverse != 0) {
      result.value = result.value + doubles{reverse} * x.reverse();
      result.slope = result.slope + doubles{reverse} * x.expected_q(x.x);
    }
    return result;
  }
};
struct jensen_shannon_term {
  double beta;

  EDGERAZOR_LANES column_term<doubles> operator()(const probability_pair& x) const noexcept {
    const mixture mixed{beta, 1 - beta, x};
    const doubles of_teacher = divergence_gap(x.p, mixed.m, x.absent_p, mixed.of_p),
                  of_student = divergence_gap(x.q, mixed.m, x.absent_q, mixed.of_q);
    return {doubles{beta} * of_teacher + doubles{1 - beta} * of_student,
            doubles{beta - 1} * x.expected_q(mixed.of_q)};
  }
  template <bool Far>
  EDGERAZOR_LANES column_term<floats> operator()(const near_columns<Far>& x) const noexcept {
    const float a = static_cast<float>(beta), b = static_cast<float>(1 - beta);
    const near_mixture<Far> mixed{a, b, x};
    return {fma(floats{a}, near_gap<Far>(mixed.p, mixed.m, mixed.of_p),
                floats{b} * near_gap<Far>(x.q, mixed.m, mixed.of_q)),
            floats{-b} * mixed.of_q};
  }
  double slope_at(double y) const noexcept {
    return (beta - 1) * std::log1p(beta * std::expm1(y));
  }
};
struct skew_forward_term {
  double alpha;

  EDGERAZOR_LANES column_term<doubles> operator()(const probability_pair& x) const noexcept {
    const mixture mixed{alpha, 1 - alpha, x};
    const doubles none{0.0};
    const doubles part = alpha == 0 ? doubles{1.0}  // q / m, where q may have underflowed
                                    : select(mixed.m == none, none, x.q / mixed.m);
    return {divergence_gap(x.p, mixed.m, x.absent_p, mixed.of_p),
            doubles{(1 - alpha) * (1 - alpha)} * part * x.difference};
  }
  template <bool Far>
  EDGERAZOR_LANES column_term<floats> operator()(const near_columns<Far>& x) const noexcept {
    const float a = static_cast<float>(alpha), b = static_cast<float>(1 - alpha);
    const near_mixture<Far> mixed{a, b, x};
    return {near_gap<Far>(mixed.p, mixed.m, mixed.of_p),
            floats{-b * b} * mixed.apart};
  }
  double slope_at(double y) const noexcept {
    const double rise = std::expm1(y);
    return -(1 - alpha) * (1 - alpha) * rise / (1 + alpha * rise);
  }
};
struct skew_reverse_term {
  double alpha;

  EDGERAZOR_LANES column_term<doubles> operator()(const probability_pair& x) const noexcept {
    const mixture mixed{1 - alpha, alpha, x};
    const doubles none{0.0};
    const doubles part = select(mixed.m == none, none, x.q / mixed.m);
    return {divergence_gap(x.q, mixed.m, x.absent_q, mixed.of_q),
            doubles{alpha * (alpha - 1)} * part * x.difference - x.expected_q(mixed.of_q)};
  }
  template <bool Far>
  EDGERAZOR_LANES column_term<floats> operator()(const near_columns<Far>& x) const noexcept {
    const float a = static_cast<float>(1 - alpha), b = static_cast<float>(alpha);
    const near_mixture<Far> mixed{a, b, x};
    return {near_gap<Far>(x.q, mixed.m, mixed.of_q),
            fms(floats{a * b}, mixed.apart, mixed.of_q)};
  }
  double slope_at(double y) const noexcept {
    const double rise = (1 - alpha) * std::expm1(y);
    return alpha * rise / (1 + rise) - std::log1p(rise);
  }
};
struct total_variation_term {
  EDGERAZOR_LANES column_term<doubles> operator()(const probability_pair& x) const noexcept {
    const doubles none{0.0}, half = doubles{0.5} * x.q;
    // A NaN among the logits is one of q too.
    const doubles sign =
        select(x.difference > none, half, none) - select(x.difference < none, half, none);
    return {doubles{0.5} * abs(x.difference),
            select(x.difference == x.difference, sign, x.difference)};
  }
  template <bool Far>
  EDGERAZOR_LANES column_term<floats> operator()(const near_columns<Far>& x) const noexcept {
    const floats apart = x.difference(), none{0.0f}, half{0.5f};
    return {half * abs(apart), where(apart < none, half) - where(apart > none, half)};
  }
  double slope_at(double y) const noexcept { return y < 0 ? 0.5 : y > 0 ? -0.5 : 0; }
};

template <class Term>
EDGERAZOR_LANES term_sums sum_of_term(const Term& of, const double* student,
                                      const double* teacher, std::size_t count,
                                      const pair_scale& scale) noexcept {
  doubles value{0.0}, slope{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const column_term<doubles> term = of(probability_pair{student + i, teacher + i, scale});
    value = value + term.value;
    slope = slope + term.slope;
  }
  return {reduce_add(value), reduce_add(slope)};
}
template <class Term>
EDGERAZOR_LANES void gradient_of_term(const Term& of, const double* student,
                                      const double* teacher, std::size_t count,
                                      const pair_scale& scale, const term_slopes& all,
                                      double* gradient) noexcept {
  const doubles slopes{all.slopes}, factor{all.factor};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const probability_pair x{student + i, teacher + i, scale};
    ((of(x).slope - x.q * slopes) * factor).store_unaligned(gradient + i);
  }
}
template <class Term>
EDGERAZOR_LANES term_sums near_sum_of_term(const Term& of, const float* student,
                                           const float* teacher, const float* kept,
                                           std::size_t count, const logit_scaling& by,
                                           const near_coefficients& with,
                                           float* ratios) noexcept {
  const exponents<float> of_teacher{by.teacher_reference, by.inverse_temperature};
  const student_exponentials of_student{by, student, kept};
  const logit_differences<float> differences{by};
  const floats teacher_scale{static_cast<float>(with.teacher)},
      student_scale{static_cast<float>(with.student)},
      log_ratio{static_cast<float>(with.log_ratio)};
  // Taken off all slopes, which changes no gradient: that of the likeliest column, whose y is the
  // log ratio. Else a sure student's sum of slopes, which is to be subtracted from each, would be
  // known no better than to an ulp of it.
  const floats base{static_cast<float>(of.slope_at(std::clamp(with.log_ratio, -80.0, 80.0)))};
  lane_sums<float, 2> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += floats::size) {
      const floats y = log_ratio - differences(student + i, teacher + i),
                   q = of_student(i) * student_scale;
      const column_term<floats> term =
          has_far(y) ? of(near_columns<true>{q, y, of_teacher, teacher_scale, teacher + i})
                     : of(near_columns<false>{q, y, of_teacher, teacher_scale, teacher + i});
      sums.sum[0] = sums.sum[0] + term.value;
      const floats ratio = term.slope - base;
      sums.sum[1] = fma(q, ratio, sums.sum[1]);
      if (ratios != nullptr) ratio.store_unaligned(ratios + i);
    }
  }
  return {sums.total(0), sums.total(1)};
}

// The call of f for the term that `term` names, the divergences of kl_row being `otherwise`.
#define EDGERAZOR_OF_TERM(f, otherwise, ...)              \
  switch (term.kind) {                                    \
    case term_kind::jensen_shannon:                       \
      return f(jensen_shannon_term{term.a}, __VA_ARGS__); \
    case term_kind::skew_forward:                         \
      return f(skew_forward_term{term.a}, __VA_ARGS__);   \
    case term_kind::skew_reverse:                         \
      return f(skew_reverse_term{term.a}, __VA_ARGS__);   \
    case term_kind::total_variation:                      \
      return f(total_variation_term{}, __VA_ARGS__);      \
    case term_kind::kl_blend:                             \
      break;                                              \
  }                                                       \
  otherwise

EDGERAZOR_ISA inline term_sums sum_term(const divergence_term& term, const double* student,
                                        const double* teacher, std::size_t count,
                                        const pair_scale& scale) noexcept {
  EDGERAZOR_OF_TERM(sum_of_term,
                    return sum_of_term(kl_blend_term{term.a, term.b}, student, teacher, count,
                                       scale),
                    student, teacher, count, scale);
}
EDGERAZOR_ISA inline void term_gradients(const divergence_term& term, const double* student,
                                         const double* teacher, std::size_t count,
                                         const pair_scale& scale, const term_slopes& all,
                                         double* gradient) noexcept {
  EDGERAZOR_OF_TERM(gradient_of_term,
                    gradient_of_term(kl_blend_term{term.a, term.b}, student, teacher, count, scale,
                                     all, gradient),
                    student, teacher, count, scale, all, gradient);
}
EDGERAZOR_ISA inline term_sums near_term(const divergence_term& term, const float* student,
                                         const float* teacher, const float* kept,
                                         std::size_t count, const logit_scaling& by,
                                         const near_coefficients& with, float* ratios) noexcept {
  EDGERAZOR_OF_TERM(near_sum_of_term, return {}, student, teacher, kept, count, by, with,
                    ratios);
}
#undef EDGERAZOR_OF_TERM

EDGERAZOR_ISA inline void near_term_gradient(const float* student, const float* ratios,
                                             std::size_t count, const logit_scaling& by,
                                             double student_scale, const term_slopes& all,
                                             float* gradient) noexcept {
  const exponents<float> of_student{by.student_reference, by.inverse_temperature};
  const floats scale{static_cast<float>(student_scale * all.factor)};
  // A sure student's ratios are all near their mean: it is subtracted in two parts.
  const float upper = static_cast<float>(all.slopes);
  const floats mean{upper}, rest{static_cast<float>(all.slopes - static_cast<double>(upper))};
  for (std::size_t i = 0; i < count; i += floats::size) {
    const floats along = floats::load_unaligned(ratios + i) - mean - rest;
    (power_of(of_student, student + i) * scale * along).store_unaligned(gradient + i);
  }
}
