// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: sums and multiples of rows of features, and distributions over
// positions. What each function does is said in loops.hpp.

EDGERAZOR_ISA inline double dot_product(const double* x, const double* y,
                                        std::size_t count) noexcept {
  doubles sum{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size)
    sum = fma(doubles::load_unaligned(x + i), doubles::load_unaligned(y + i), sum);
  return reduce_add(sum);
}
EDGERAZOR_ISA inline double squared_distance_of(const double* x, const double* y,
                                                std::size_t count, double ratio) noexcept {
  const doubles of_y{ratio};
  doubles sum{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const doubles difference =
        fnma(of_y, doubles::load_unaligned(y + i), doubles::load_unaligned(x + i));
    sum = fma(difference, difference, sum);
  }
  return reduce_add(sum);
}
EDGERAZOR_ISA inline void scaled_difference(const double* x, const double* y, std::size_t count,
                                            double a, double b, double factor,
                                            double* result) noexcept {
  const doubles of_x{a}, of_y{b}, scale{factor};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const doubles difference =
        fms(doubles::load_unaligned(x + i), of_x, doubles::load_unaligned(y + i) * of_y);
    (scale * difference).store_unaligned(result + i);
  }
}
EDGERAZOR_ISA inline void add_scaled(double factor, const double* x, std::size_t count,
                                     double* to) noexcept {
  const doubles scale{factor};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    (doubles::load_unaligned(to + i) + scale * doubles::load_unaligned(x + i))
        .store_unaligned(to + i);
  }
}

/// In four accumulators.
EDGERAZOR_ISA inline float float_dot_product(const float* a, const float* b,
                                             std::size_t size) noexcept {
  floats sums[4] = {floats{0.0f}, floats{0.0f}, floats{0.0f}, floats{0.0f}};
  std::size_t i = 0;
  for (; i + 4 * floats::size <= size; i += 4 * floats::size) {
    EDGERAZOR_UNROLL
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = i + k * floats::size;
      sums[k] = fma(floats::load_unaligned(a + at), floats::load_unaligned(b + at), sums[k]);
    }
  }
  float sum = reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < size; ++i) sum += a[i] * b[i];
  return sum;
}
EDGERAZOR_ISA inline void add_scaled_floats(float factor, const float* from, std::size_t size,
                                            float* to) noexcept {
  const floats factors{factor};
  const std::size_t whole = size - size % floats::size;
  for (std::size_t i = 0; i < whole; i += floats::size) {
    fma(factors, floats::load_unaligned(from + i), floats::load_unaligned(to + i))
        .store_unaligned(to + i);
  }
  for (std::size_t i = whole; i < size; ++i) to[i] += factor * from[i];
}

EDGERAZOR_ISA inline double probability_entropy(const double* p, std::size_t count) noexcept {
  doubles sum{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const doubles pi = doubles::load_unaligned(p + i);
    sum = sum - select(pi == doubles{0.0}, doubles{0.0}, pi * logarithm(pi));
  }
  return reduce_add(sum);
}
EDGERAZOR_ISA inline kl_divergences compare_probabilities(const double* student,
                                                          const double* teacher,
                                                          std::size_t count,
                                                          const kl_blend& blend, double epsilon,
                                                          double* slopes) noexcept {
  const bool clamps = epsilon > 0;
  const doubles zero{0.0}, one{1.0}, least{epsilon};
  // Below 0 there is no probability.
  const doubles floor{clamps ? epsilon : std::numeric_limits<double>::quiet_NaN()};
  doubles forward{0.0}, reverse{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    // Not max(a, b), which may give b where a is NaN.
    const doubles seen = doubles::load_unaligned(student + i),
                  given = doubles::load_unaligned(teacher + i);
    const doubles q = select(seen < least, floor, seen), p = select(given < least, floor, given);
    const double_mask no_p = p == zero, no_q = q == zero;
    // ln(q / p), with what rounding takes from a quotient near 1: the difference is exact.
    const doubles quotient = q / p, apart = (q - p) / p;
    const doubles lost =
        select(abs(apart) < doubles{0.5}, (apart - (quotient - one)) / quotient, zero);
    const doubles ratio = logarithm(quotient) + lost;
    forward = forward - select(no_p, q * zero, p * ratio);
    reverse = reverse + select(no_q, p * zero, q * ratio);
    if (slopes == nullptr) continue;
    doubles slope = zero;
    if (blend.forward != 0)
      slope = slope - select(no_p, q * zero, doubles{blend.forward} * (p / q));
    if (blend.reverse != 0)
      slope = slope + select(no_p && no_q, zero, doubles{blend.reverse} * (ratio + one));
    (clamps ? select(seen < least, zero, slope) : slope).store_unaligned(slopes + i);
  }
  return {reduce_add(forward), reduce_add(reverse)};
}

EDGERAZOR_ISA inline double logarithm_entropy(const double* ln_p, std::size_t count) noexcept {
  doubles sum{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const doubles ln = doubles::load_unaligned(ln_p + i);
    sum = fnma(exponential(ln), ln, sum);
  }
  return reduce_add(sum);
}
/// p (e^x - 1 - x): no term below 0, see probability_pair.
EDGERAZOR_LANES doubles logarithm_gap_of(const doubles& ln_from, const doubles& ln_to) noexcept {
  const doubles x = ln_to - ln_from, from = exponential(ln_from);
  return select(abs(x) <= doubles{small_difference}, from * excess_of(x),
                exponential(ln_to) - from - from * x);
}
EDGERAZOR_ISA inline kl_divergences compare_logarithms(const double* ln_q, const double* ln_p,
                                                       std::size_t count) noexcept {
  doubles forward{0.0}, reverse{0.0};
  for (std::size_t i = 0; i < count; i += doubles::size) {
    const doubles of_q = doubles::load_unaligned(ln_q + i),
                  of_p = doubles::load_unaligned(ln_p + i);
    forward = forward + logarithm_gap_of(of_p, of_q);
    reverse = reverse + logarithm_gap_of(of_q, of_p);
  }
  return {reduce_add(forward), reduce_add(reverse)};
}
EDGERAZOR_ISA inline void logarithm_slopes(const double* ln_q, const double* ln_p,
                                           std::size_t count, const kl_blend& blend,
                                           double reverse_kl, double* slopes) noexcept {
  for (std::size_t j = 0; j < count; j += doubles::size) {
    const doubles of_q = doubles::load_unaligned(ln_q + j),
                  of_p = doubles::load_unaligned(ln_p + j);
    const doubles q = exponential(of_q), p = exponential(of_p), x = of_q - of_p;
    const doubles rise =
        select(abs(x) <= doubles{small_difference}, p * (x + excess_of(x)), q - p);
    (doubles{blend.forward} * rise + doubles{blend.reverse} * q * (x - doubles{reverse_kl}))
        .store_unaligned(slopes + j);
  }
}
