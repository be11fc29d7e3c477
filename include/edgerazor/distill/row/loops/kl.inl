// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: the sums of `logit_statistics`, and the gradient of a blend,
// over one block of columns, in vectors of Real. What each function does is said in loops.hpp.

/// u = ((s - o_s) - (t - o_t)) / T of some columns, in nats. In doubles as it is written. In floats
/// s - t comes first, because it is exact where the two are near each other; before it the whole
/// part of o_s - o_t leaves whichever is larger, which is exact too.
template <class Real>
struct logit_differences {
  using reals = vector<Real>;
  reals student_part, teacher_part, rest, scale;

  EDGERAZOR_LANES explicit logit_differences(const logit_scaling& by) noexcept {
    if constexpr (std::is_same_v<Real, double>) {
      student_part = reals{by.student_origin};
      teacher_part = reals{by.teacher_origin};
      rest = reals{0.0};
    } else {
      const double apart = by.student_origin - by.teacher_origin, whole = std::nearbyint(apart);
      const bool from_student = std::fabs(by.student_reference) > std::fabs(by.teacher_reference);
      student_part = reals{static_cast<Real>(from_student ? whole : 0)};
      teacher_part = reals{static_cast<Real>(from_student ? 0 : -whole)};
      rest = reals{static_cast<Real>(apart - whole)};
    }
    scale = reals{static_cast<Real>(by.inverse_temperature)};
  }
  EDGERAZOR_LANES reals operator()(const Real* student, const Real* teacher) const noexcept {
    const reals s = reals::load_unaligned(student) - student_part,
                t = reals::load_unaligned(teacher) - teacher_part;
    return (s - t - rest) * scale;
  }
};

/// x where it is finite, else 0. Not guarded: x.
template <bool Guarded, class Reals>
EDGERAZOR_LANES Reals where_finite(const Reals& x) noexcept {
  using real = typename Reals::value_type;
  if constexpr (Guarded)
    return select(abs(x) <= Reals{std::numeric_limits<real>::max()}, x, Reals{real{0}});
  return x;
}

/// sum + probability * x. Guarded: a column whose logit is minus infinity is impossible and adds
/// nothing, whatever x is; any other is possible, however far its probability has underflowed, and
/// an infinite x makes the sum infinite.
template <bool Guarded, class Reals>
EDGERAZOR_LANES Reals add_expected(const Reals& probability, const Reals& logit, const Reals& x,
                                   const Reals& sum) noexcept {
  using real = typename Reals::value_type;
  using limits = std::numeric_limits<real>;
  if constexpr (Guarded) {
    const auto is_finite = abs(x) <= Reals{limits::max()};
    return fma(select(is_finite, probability, Reals{real{1}}),
               select(logit == Reals{-limits::infinity()}, Reals{real{0}}, x), sum);
  }
  return fma(probability, x, sum);
}

template <bool Guarded, class Real>
EDGERAZOR_LANES block_sums teacher_sums(const Real* teacher, std::size_t count,
                                        const logit_scaling& by) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_teacher{by.teacher_reference, by.inverse_temperature};
  lane_sums<Real, 2> sums;
  reals largest{-std::numeric_limits<Real>::infinity()};
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals y = of_teacher.from_reference(teacher + i);
      const reals p = of_teacher.power(y);
      largest = max(largest, y);
      sums.sum[0] = sums.sum[0] + p;
      if constexpr (Guarded) {
        sums.sum[1] = fma(p, select(p > reals{Real{0}}, y, reals{Real{0}}), sums.sum[1]);
      } else {
        sums.sum[1] = fma(p, y, sums.sum[1]);
      }
    }
  }
  return {sums.total(0), sums.total(1) * by.inverse_temperature,
          static_cast<double>(reduce_max(largest)) * by.inverse_temperature};
}
template <class Real>
EDGERAZOR_ISA inline block_sums sum_teacher(const Real* teacher, std::size_t count,
                                            const logit_scaling& by, bool guarded) noexcept {
  if (guarded) return teacher_sums<true>(teacher, count, by);
  return teacher_sums<false>(teacher, count, by);
}

template <bool Guarded, class Real>
EDGERAZOR_LANES block_sums student_sums(const Real* student, const Real* teacher,
                                        std::size_t count, const logit_scaling& by,
                                        Real* kept) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_student{by.student_reference, by.inverse_temperature};
  const logit_differences<Real> differences{by};
  lane_sums<Real, 2> sums;
  reals largest{-std::numeric_limits<Real>::infinity()};
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals y = of_student.from_reference(student + i);
      const reals u = differences(student + i, teacher + i);
      const reals q = of_student.power(y);
      largest = max(largest, y);
      if (kept != nullptr) q.store_unaligned(kept + i);
      sums.sum[0] = sums.sum[0] + q;
      sums.sum[1] =
          add_expected<Guarded>(q, reals::load_unaligned(student + i), u, sums.sum[1]);
    }
  }
  return {sums.total(0), sums.total(1),
          static_cast<double>(reduce_max(largest)) * by.inverse_temperature};
}
template <class Real>
EDGERAZOR_ISA inline block_sums sum_student(const Real* student, const Real* teacher,
                                            std::size_t count, const logit_scaling& by, Real* kept,
                                            bool guarded) noexcept {
  if (guarded) return student_sums<true>(student, teacher, count, by, kept);
  return student_sums<false>(student, teacher, count, by, kept);
}

template <bool Guarded, class Real>
EDGERAZOR_LANES double forward_sum(const Real* student, const Real* teacher, std::size_t count,
                                   const logit_scaling& by) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_teacher{by.teacher_reference, by.inverse_temperature};
  const logit_differences<Real> differences{by};
  lane_sums<Real, 1> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals p = power_of(of_teacher, teacher + i);
      const reals u = differences(student + i, teacher + i);
      sums.sum[0] = add_expected<Guarded>(p, reals::load_unaligned(teacher + i),
                                          reals{Real{0}} - u, sums.sum[0]);
    }
  }
  return sums.total(0);
}
template <class Real>
EDGERAZOR_ISA inline double sum_forward(const Real* student, const Real* teacher,
                                        std::size_t count, const logit_scaling& by,
                                        bool guarded) noexcept {
  if (guarded) return forward_sum<true>(student, teacher, count, by);
  return forward_sum<false>(student, teacher, count, by);
}

template <bool Guarded>
EDGERAZOR_LANES double gradient_of_blend(const float* student, const float* teacher,
                                         const float* kept, std::size_t count,
                                         const logit_scaling& by, const blend_coefficients& blend,
                                         float* gradient) noexcept {
  const exponents<float> of_student{by.student_reference, by.inverse_temperature};
  const exponents<float> of_teacher{by.teacher_reference, by.inverse_temperature};
  const logit_differences<float> differences{by};
  const floats slope{static_cast<float>(blend.slope)};
  const floats student_part{static_cast<float>(blend.student)},
      teacher_part{static_cast<float>(blend.teacher)};
  lane_sums<float, 1> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += floats::size) {
      const floats u = differences(student + i, teacher + i);
      const floats p = power_of(of_teacher, teacher + i);
      const floats q = kept != nullptr ? floats::load_unaligned(kept + i)
                                       : power_of(of_student, student + i);
      if constexpr (Guarded) {
        sums.sum[0] = add_expected<true>(p, floats::load_unaligned(teacher + i), floats{0.0f} - u,
                                         sums.sum[0]);
      } else {
        sums.sum[0] = fnma(p, u, sums.sum[0]);
      }
      const floats weight = fma(where_finite<Guarded>(u), slope, student_part);
      fms(q, weight, p * teacher_part).store_unaligned(gradient + i);
    }
  }
  return sums.total(0);
}
EDGERAZOR_ISA inline double blend_gradient(const float* student, const float* teacher,
                                           const float* kept, std::size_t count,
                                           const logit_scaling& by, const blend_coefficients& blend,
                                           bool guarded, float* gradient) noexcept {
  if (guarded) return gradient_of_blend<true>(student, teacher, kept, count, by, blend, gradient);
  return gradient_of_blend<false>(student, teacher, kept, count, by, blend, gradient);
}

/// A vector of columns of two near rows. y = ln(p / q) is small and exact; where |y| <=
/// near_difference, p is made of q and e^y - 1, and of nothing else. Not Far: all columns are so.
template <bool Far>
struct near_columns {
  floats q, y, excess;  ///< e^y - 1 - y
  floats rise;          ///< e^y - 1
  float_mask is_far;
  floats p;  ///< of far columns alone

  EDGERAZOR_LANES near_columns(const floats& of_q, const floats& of_y,
                               const exponents<float>& of_teacher, const floats& teacher_scale,
                               const float* teacher) noexcept
      : q(of_q), y(of_y), excess(floats{0.0f}), rise(excess), is_far(y > y), p(q) {
    floats bounded = y;
    if constexpr (Far) {
      is_far = abs(y) > floats{near_difference};
      bounded = max(min(y, floats{near_difference}), floats{-near_difference});
      p = power_of(of_teacher, teacher) * teacher_scale;
    }
    excess = excess_of(bounded);
    rise = bounded + excess;
  }
  EDGERAZOR_LANES floats among(const floats& far_value, const floats& near_value) const noexcept {
    if constexpr (Far) return select(is_far, far_value, near_value);
    return near_value;
  }
  /// p - q, p, and the column's shares of KL(p||q) and KL(q||p).
  EDGERAZOR_LANES floats difference() const noexcept { return among(p - q, q * rise); }
  EDGERAZOR_LANES floats teacher_probability() const noexcept { return among(p, fma(q, rise, q)); }
  EDGERAZOR_LANES floats forward() const noexcept {
    return among(fma(p, y, q - p), q * fms(y, rise, excess));
  }
  EDGERAZOR_LANES floats reverse() const noexcept { return among(fnma(q, y, p - q), q * excess); }
};
EDGERAZOR_LANES bool has_far(const floats& y) noexcept {
  return any(abs(y) > floats{near_difference});
}

/// The student's exponentials, kept or made again.
struct student_exponentials {
  exponents<float> of_student;
  const float *logits, *kept;

  EDGERAZOR_LANES student_exponentials(const logit_scaling& by, const float* student,
                                       const float* where_kept) noexcept
      : of_student{by.student_reference, by.inverse_temperature},
        logits(student),
        kept(where_kept) {}
  EDGERAZOR_LANES floats operator()(std::size_t i) const noexcept {
    return kept != nullptr ? floats::load_unaligned(kept + i) : power_of(of_student, logits + i);
  }
};

EDGERAZOR_ISA inline near_sums near_difference_sums(const float* student, const float* teacher,
                                                    const float* kept, std::size_t count,
                                                    const logit_scaling& by,
                                                    const near_coefficients& with) noexcept {
  const exponents<float> of_teacher{by.teacher_reference, by.inverse_temperature};
  const student_exponentials of_student{by, student, kept};
  const logit_differences<float> differences{by};
  const floats teacher_scale{static_cast<float>(with.teacher)},
      student_scale{static_cast<float>(with.student)},
      log_ratio{static_cast<float>(with.log_ratio)};
  lane_sums<float, 2> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += floats::size) {
      const floats y = log_ratio - differences(student + i, teacher + i),
                   q = of_student(i) * student_scale;
      if (has_far(y)) {
        const near_columns<true> x{q, y, of_teacher, teacher_scale, teacher + i};
        sums.sum[0] = sums.sum[0] - x.difference();
      } else {
        const near_columns<false> x{q, y, of_teacher, teacher_scale, teacher + i};
        sums.sum[0] = sums.sum[0] - x.difference();
      }
      sums.sum[1] = fnma(q, y, sums.sum[1]);
    }
  }
  return {sums.total(0), sums.total(1)};
}

template <bool Far>
EDGERAZOR_LANES void add_near(const near_columns<Far>& x, const floats& along,
                              const floats& forward, const floats& reverse, float* gradient,
                              lane_sums<float, 2>& sums) noexcept {
  sums.sum[0] = sums.sum[0] + x.forward();
  sums.sum[1] = sums.sum[1] + x.reverse();
  if (gradient != nullptr)
    fms(reverse * x.q, along, forward * x.difference()).store_unaligned(gradient);
}
EDGERAZOR_ISA inline kl_divergences near_blend(const float* student, const float* teacher,
                                               const float* kept, std::size_t count,
                                               const logit_scaling& by,
                                               const near_coefficients& with,
                                               float* gradient) noexcept {
  const exponents<float> of_teacher{by.teacher_reference, by.inverse_temperature};
  const student_exponentials of_student{by, student, kept};
  const logit_differences<float> differences{by};
  const floats teacher_scale{static_cast<float>(with.teacher)},
      student_scale{static_cast<float>(with.student)};
  const floats log_ratio{static_cast<float>(with.log_ratio)}, mean{static_cast<float>(with.mean)};
  const floats forward{static_cast<float>(with.forward)}, reverse{static_cast<float>(with.reverse)};
  lane_sums<float, 2> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += floats::size) {
      const floats u = differences(student + i, teacher + i), q = of_student(i) * student_scale,
                   y = log_ratio - u;
      float* const to = gradient == nullptr ? nullptr : gradient + i;
      if (has_far(y)) {
        add_near(near_columns<true>{q, y, of_teacher, teacher_scale, teacher + i}, u - mean,
                 forward, reverse, to, sums);
      } else {
        add_near(near_columns<false>{q, y, of_teacher, teacher_scale, teacher + i}, u - mean,
                 forward, reverse, to, sums);
      }
    }
  }
  return {sums.total(0), sums.total(1)};
}

/// result = e^(x - reference) * scale - shift.
template <class Real>
EDGERAZOR_ISA inline void softmax_block(const Real* logits, std::size_t count, double reference,
                                        double scale, double shift, Real* result) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_row{reference, 1};
  const reals factor{static_cast<Real>(scale)}, less{static_cast<Real>(shift)};
  for (std::size_t i = 0; i < count; i += reals::size)
    fms(power_of(of_row, logits + i), factor, less).store_unaligned(result + i);
}

template <class Real>
EDGERAZOR_ISA inline double sum_exponentials(const Real* logits, std::size_t count,
                                             double reference) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_row{reference, 1};
  lane_sums<Real, 1> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size)
      sums.sum[0] = sums.sum[0] + power_of(of_row, logits + i);
  }
  return sums.total(0);
}
