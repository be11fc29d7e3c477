// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: student and teacher column by column, in vectors of doubles: p,
// q and what they differ by, with nothing that cancels, however close the two are, however high the
// temperature, however far the logits from 0.
//
// A logit's reference is subtracted before anything else and never meets a logarithm: (x - r) / T
// keeps its digits where x / T and ln sum e^(x / T) are both large.
//
// A column is impossible in a row if its logit is minus infinity; every other one is possible,
// however far its probability has underflowed. A row that holds NaN has the sum NaN, and so are all
// its probabilities.

/// probability * x, of which impossible columns have 0, be x infinite, and possible ones infinity
/// where x is.
EDGERAZOR_LANES doubles expected(const doubles& probability, const double_mask& absent,
                                 const doubles& x) noexcept {
  const doubles least{std::numeric_limits<double>::min()};
  return select(probability < least, least, probability) * select(absent, doubles{0.0}, x);
}
/// from * (e^x - 1 - x) with `to` = from * e^x: what a column adds to the divergence of `to` from
/// `from`. Never negative.
EDGERAZOR_LANES doubles divergence_gap(const doubles& from, const doubles& to,
                                       const double_mask& absent, const doubles& x) noexcept {
  return select(abs(x) <= doubles{small_difference}, from * excess_of(x),
                to - from - expected(from, absent, x));
}

/// ((s - o_s) - (t - o_t)) / T. s - t is exact where the two are near each other; else it may lose
/// the smaller.
EDGERAZOR_LANES doubles nats_apart(const doubles& s, const doubles& t, double student_origin,
                                   double teacher_origin, const doubles& inverse) noexcept {
  const doubles apart = s - t;
  const double_mask is_near = abs(apart) <= doubles{0.5} * abs(t);
  return select(is_near, apart - doubles{student_origin - teacher_origin},
                (s - doubles{student_origin}) - (t - doubles{teacher_origin})) *
         inverse;
}

/// One vector of columns.
struct probability_pair {
  double_mask absent_p, absent_q;  ///< impossible
  doubles p, q;
  doubles x;            ///< ln q - ln p; 0 where both are impossible
  double_mask is_small;  ///< |x| <= small_difference
  doubles excess;       ///< e^x - 1 - x where small
  doubles rise;         ///< e^x - 1 where small
  doubles difference;   ///< q - p

  EDGERAZOR_LANES probability_pair(const double* student, const double* teacher,
                                   const pair_scale& scale) noexcept {
    const doubles impossible{-std::numeric_limits<double>::infinity()}, none{0.0};
    const doubles s = doubles::load_unaligned(student), t = doubles::load_unaligned(teacher);
    const doubles inverse{scale.by.inverse_temperature};
    absent_q = s == impossible;
    absent_p = t == impossible;
    const doubles from_s = s - doubles{scale.by.student_reference},
                  from_t = t - doubles{scale.by.teacher_reference};
    q = exponential(from_s * inverse) * doubles{1 / scale.student_sum};
    p = exponential(from_t * inverse) * doubles{1 / scale.teacher_sum};
    const double_mask absent = absent_p && absent_q;
    const doubles u = nats_apart(s, t, scale.by.student_reference, scale.by.teacher_reference,
                                 inverse);
    x = select(absent, none, u - doubles{scale.log_ratio});
    is_small = abs(x) <= doubles{small_difference};
    excess = excess_of(x);
    rise = x + excess;
    difference = select(is_small, p * rise, q - p);
  }

  EDGERAZOR_LANES doubles expected_p(const doubles& y) const noexcept {
    return expected(p, absent_p, y);
  }
  EDGERAZOR_LANES doubles expected_q(const doubles& y) const noexcept {
    return expected(q, absent_q, y);
  }
  /// The column's share of KL(p||q), of KL(q||p).
  EDGERAZOR_LANES doubles forward() const noexcept {
    return select(is_small, p * excess, difference - expected_p(x));
  }
  EDGERAZOR_LANES doubles reverse() const noexcept {
    return select(is_small, p * (x * rise - excess), expected_q(x) - difference);
  }
};

EDGERAZOR_ISA inline difference_sums compare_columns(const double* student, const double* teacher,
                                                     std::size_t count,
                                                     const pair_scale& scale) noexcept {
  doubles difference{0.0}, reverse{0.0}, forward{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const probability_pair x{student + i, teacher + i, scale};
    difference = difference + x.difference;
    reverse = reverse + x.reverse();
    forward = forward + x.forward();
  }
  return {reduce_add(difference), reduce_add(reverse), reduce_add(forward)};
}

EDGERAZOR_ISA inline kl_divergences compare_blend(const double* student, const double* teacher,
                                                  std::size_t count, const pair_scale& scale,
                                                  const pair_slopes& slopes,
                                                  double* gradient) noexcept {
  const doubles along{slopes.mean}, reverse_slope{slopes.reverse}, forward_slope{slopes.forward},
    inverse{scale.by.inverse_temperature};
  const doubles none{0.0}, greatest{std::numeric_limits<double>::max()};
  doubles forward{0.0}, reverse{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const probability_pair x{student + i, teacher + i, scale};
    forward = forward + x.forward();
    reverse = reverse + x.reverse();
    if (gradient == nullptr) continue;
    const doubles far_from_origin =
      nats_apart(doubles::load_unaligned(student + i), doubles::load_unaligned(teacher + i),
                 slopes.student_origin, slopes.teacher_origin, inverse);
    const doubles u = select(abs(far_from_origin) <= greatest, far_from_origin, none);
    fma(reverse_slope * x.q, u - along, forward_slope * x.difference)
        .store_unaligned(gradient + i);
  }
  return {reduce_add(forward), reduce_add(reverse)};
}
