// SPDX-License-Identifier: Apache-2.0
// Text, see kernel/vector/each.inl: exponentials and logarithms of vectors, and sums of many.

template <class Real>
struct vector_of;
template <>
struct vector_of<float> {
  using type = floats;
};
template <>
struct vector_of<double> {
  using type = doubles;
};
template <class Real>
using vector = typename vector_of<Real>::type;

/// (e^r - 1) / r for |r| <= ln 2 / 2 / power_steps, to 2^-27 of 1.
EDGERAZOR_LANES floats rise_by_step(floats r) noexcept {
  if constexpr (power_steps == 16) {
    return fma(fma(r, floats{1.666607435e-01f}, floats{5.000161955e-01f}), r, floats{1.0f});
  } else if constexpr (power_steps == 8) {
    const floats sum = fma(r, floats{4.166555839e-02f}, floats{1.666861793e-01f});
    return fma(fma(sum, r, floats{5.000000053e-01f}), r, floats{1.0f});
  } else {
    floats sum = fma(r, floats{1.384364934e-03f}, floats{8.374156455e-03f});
    sum = fma(sum, r, floats{4.166800218e-02f});
    sum = fma(sum, r, floats{1.666643125e-01f});
    sum = fma(sum, r, floats{4.999999421e-01f});
    return fma(sum, r, floats{1.0f});
  }
}

/// e^x of any x, at most 2 ulp off; 0 for x < -708, infinite above 709, NaN of NaN.
///
/// As above, with the series to r^13 / 13!, whose next term is below 2^-57 for |r| <= ln 2 / 2.
EDGERAZOR_LANES doubles exponential(doubles x) noexcept {
  const doubles least{-708.0}, most{709.0}, shift{6755399441055744.0};  // 1.5 * 2^52
  const doubles finite = select(x > least, select(x < most, x, most), least);
  const doubles shifted = fma(finite, doubles{1.4426950408889634}, shift);
  const doubles n = shifted - shift;
  doubles r = fnma(n, doubles{0x1.62e42feep-1}, finite);
  r = fnma(n, doubles{0x1.a39ef35793c76p-33}, r);
  doubles sum{1.0 / 6227020800};
  sum = fma(sum, r, doubles{1.0 / 479001600});
  sum = fma(sum, r, doubles{1.0 / 39916800});
  sum = fma(sum, r, doubles{1.0 / 3628800});
  sum = fma(sum, r, doubles{1.0 / 362880});
  sum = fma(sum, r, doubles{1.0 / 40320});
  sum = fma(sum, r, doubles{1.0 / 5040});
  sum = fma(sum, r, doubles{1.0 / 720});
  sum = fma(sum, r, doubles{1.0 / 120});
  sum = fma(sum, r, doubles{1.0 / 24});
  sum = fma(sum, r, doubles{1.0 / 6});
  sum = fma(sum, r, doubles{0.5});
  sum = fma(sum, r * r, r);
  const doubles power = power_of_shifted(shifted);
  const doubles result = fma(sum, power, power);
  const doubles above =
      select(x < most, result, doubles{std::numeric_limits<double>::infinity()});
  return select(x > least, above, select(x == x, doubles{0.0}, x));
}

/// e^y - 1 - y for |y| <= near_difference, to 2^-23 of it: y^2 times a polynomial of degree 8, in
/// two chains.
EDGERAZOR_LANES floats excess_of(floats y) noexcept {
  const floats square = y * y;
  floats even = fma(square, floats{2.816189999e-07f}, floats{2.484798100e-05f});
  floats odd = fma(square, floats{2.984316129e-06f}, floats{1.977411041e-04f});
  even = fma(even, square, floats{1.388697448e-03f});
  odd = fma(odd, square, floats{8.334049390e-03f});
  even = fma(even, square, floats{4.166684560e-02f});
  odd = fma(odd, square, floats{1.666664661e-01f});
  even = fma(even, square, floats{4.999999766e-01f});
  return square * fma(odd, y, even);
}
/// The same for |x| <= small_difference, to x^14 / 14! and so to the last digit, in two chains.
EDGERAZOR_LANES doubles excess_of(doubles x) noexcept {
  const doubles square = x * x;
  doubles even = fma(square, doubles{1.0 / 87178291200}, doubles{1.0 / 479001600});
  doubles odd = fma(square, doubles{1.0 / 6227020800}, doubles{1.0 / 39916800});
  even = fma(even, square, doubles{1.0 / 3628800});
  odd = fma(odd, square, doubles{1.0 / 362880});
  even = fma(even, square, doubles{1.0 / 40320});
  odd = fma(odd, square, doubles{1.0 / 5040});
  even = fma(even, square, doubles{1.0 / 720});
  odd = fma(odd, square, doubles{1.0 / 120});
  even = fma(even, square, doubles{1.0 / 24});
  odd = fma(odd, square, doubles{1.0 / 6});
  even = fma(even, square, doubles{0.5});
  return square * fma(odd, x, even);
}

/// ln x of a positive normal x, to 2^-23 of it; beside 1 too, where x - 1 is exact.
///
/// x = 2^k (1 + v), 1 + v from the root of 1/2 to that of 2; ln(1 + v) = v - v^2/2 + v^3 P(v), P of
/// degree 7 within 2^-27.
EDGERAZOR_LANES floats logarithm(floats x) noexcept {
  const words exponent = shift_right<23>(bits_of(x) - words{0x3f3504f3});  // less the root of 1/2
  const floats k = to_float(exponent);
  const floats v = from_bits(bits_of(x) - shift_left<23>(exponent)) - floats{1.0f};
  const floats square = v * v;
  floats odd = fma(square, floats{-7.634225739e-02f}, floats{-1.316023371e-01f});
  floats even = fma(square, floats{1.276146826e-01f}, floats{1.420177621e-01f});
  odd = fma(odd, square, floats{-1.662335385e-01f});
  even = fma(even, square, floats{2.000122602e-01f});
  odd = fma(odd, square, floats{-2.500082112e-01f});
  even = fma(even, square, floats{3.333333172e-01f});
  const floats sum = fma(odd, v, even);
  const floats rest = fma(square * v, sum, floats{-0.5f} * square);
  return fma(k, floats{0x1.62e4p-1f}, v) + fma(k, floats{0x1.7f7d1cp-20f}, rest);
}
/// ln x, at most 3 ulp off for normal x; minus infinity of 0, infinity of itself, NaN of less.
///
/// As above, with z = v / (2 + v), |z| < 0.172, and ln(1 + v) = 2 z + 2 z^3 (1/3 + z^2/5 + ...) to
/// z^21, whose next term is below 2^-59; 2 z is v - z v, so that small v keep their digits.
EDGERAZOR_LANES doubles logarithm(doubles x) noexcept {
  doubles k = raw_exponent(x) - doubles{1023.0};
  const doubles shift{6755399441055744.0};
  doubles m = x * power_of_shifted(shift - k);
  const auto high = m > doubles{1.4142135623730951};
  m = select(high, m * doubles{0.5}, m);
  k = select(high, k + doubles{1.0}, k);
  const doubles v = m - doubles{1.0}, z = v / (v + doubles{2.0}), square = z * z;
  doubles sum{2.0 / 21};
  sum = fma(sum, square, doubles{2.0 / 19});
  sum = fma(sum, square, doubles{2.0 / 17});
  sum = fma(sum, square, doubles{2.0 / 15});
  sum = fma(sum, square, doubles{2.0 / 13});
  sum = fma(sum, square, doubles{2.0 / 11});
  sum = fma(sum, square, doubles{2.0 / 9});
  sum = fma(sum, square, doubles{2.0 / 7});
  sum = fma(sum, square, doubles{2.0 / 5});
  sum = fma(sum, square, doubles{2.0 / 3});
  const doubles remainder = z * fms(sum, square, v);
  const doubles result = fma(k, doubles{0x1.62e42feep-1}, v) +
                         fma(k, doubles{0x1.a39ef35793c76p-33}, remainder);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const doubles positive = select(x < doubles{infinity}, result, x);  // NaN too
  const doubles beside =
      select(x == doubles{0.0}, doubles{-infinity},
             doubles{std::numeric_limits<double>::quiet_NaN()});
  return select(x > doubles{0.0}, positive, beside);
}

/// e^((x - r) / T) of logits x. The subtraction comes first, because it is exact for the logits
/// near the reference, which are those that count.
template <class Real>
struct exponents;

/// At most 1.5 ulp off for the rounded x - r, exactly 1 where that is 0; 0 where the exponent is
/// below -87, minus infinity and NaN included. Exponents above 88 give anything.
///
/// e^d = 2^n e^f, n the multiple of 1 / power_steps nearest to d / ln 2: n ln 2 is subtracted in
/// two parts, of which n times the first, of 9 bits, is exact, from y / T, y = x - r, in two parts
/// as well: the upper 12 bits of y times those of 1 / T are exact, and so is the difference. So f
/// is y / T - n ln 2 to 2^-24 of its own size, whatever that of y / T.
template <>
struct exponents<float> {
  floats reference, least, units, high_scale, low_scale;

  EDGERAZOR_LANES exponents(double logit_reference, double inverse_temperature) noexcept
      : reference{static_cast<float>(logit_reference)},
        least{static_cast<float>(-87 / inverse_temperature)},
        units{static_cast<float>(inverse_temperature * 1.4426950408889634)},
        high_scale{high_bits(static_cast<float>(inverse_temperature))},
        low_scale{static_cast<float>(inverse_temperature -
                                     static_cast<double>(
                                         high_bits(static_cast<float>(inverse_temperature))))} {}
  EDGERAZOR_LANES floats from_reference(const float* logits) const noexcept {
    return floats::load_unaligned(logits) - reference;
  }
  EDGERAZOR_LANES floats power(const floats& y) const noexcept {
    static_assert(power_steps <= 16);
    // Adding it rounds to a multiple of a step, which the low bits then count.
    const floats shift{12582912.0f / static_cast<float>(power_steps)};
    const floats shifted = fma(y, units, shift);
    const floats n = shifted - shift;
    const floats whole = n * floats{0x1.63p-1f};
    floats r;
    if constexpr (fuses) {
      r = fms(y, high_scale, whole);
    } else {
      const floats high = from_bits(bits_of(y) & words{-0x1000});
      r = fma(y - high, high_scale, fms(high, high_scale, whole));
    }
    r = fma(y, low_scale, r);
    r = fnma(n, floats{-0x1.bd0106p-13f}, r);
    const floats of_n = power_of_steps(shifted);
    return where(y >= least, fma(rise_by_step(r) * r, of_n, of_n));
  }

 private:
  static float high_bits(float x) noexcept {
    return std::bit_cast<float>(std::bit_cast<std::int32_t>(x) & -0x1000);
  }
};
template <>
struct exponents<double> {
  doubles reference, scale;

  EDGERAZOR_LANES exponents(double logit_reference, double inverse_temperature) noexcept
      : reference{logit_reference}, scale{inverse_temperature} {}
  EDGERAZOR_LANES doubles from_reference(const double* logits) const noexcept {
    return doubles::load_unaligned(logits) - reference;
  }
  EDGERAZOR_LANES doubles power(const doubles& y) const noexcept { return exponential(y * scale); }
};
template <class Real>
EDGERAZOR_LANES vector<Real> power_of(const exponents<Real>& of, const Real* logits) noexcept {
  return of.power(of.from_reference(logits));
}

/// Sums of a few vectors over a block. Lanes of floats are moved into doubles every 16 vectors, so
/// that rounding stays near that of a single float operation.
template <class Real, std::size_t Count>
struct lane_sums {
  using reals = vector<Real>;
  static constexpr std::size_t parts = reals::size / doubles::size;
  reals sum[Count];
  doubles totals[Count][parts];

  EDGERAZOR_LANES lane_sums() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t k = 0; k < Count; ++k) {
      sum[k] = reals{Real{0}};
      EDGERAZOR_UNROLL
      for (std::size_t part = 0; part < parts; ++part) totals[k][part] = doubles{0.0};
    }
  }
  /// Columns between two folds, and the end of those from `first` on.
  static constexpr std::size_t step = 16 * reals::size;
  EDGERAZOR_LANES static std::size_t end(std::size_t first, std::size_t count) noexcept {
    return first + step < count ? first + step : count;
  }
  EDGERAZOR_LANES void fold() noexcept {
    EDGERAZOR_UNROLL
    for (std::size_t k = 0; k < Count; ++k) {
      Real lanes[reals::size];
      sum[k].store_unaligned(lanes);
      EDGERAZOR_UNROLL
      for (std::size_t part = 0; part < parts; ++part)
        totals[k][part] =
            totals[k][part] + doubles::load_unaligned(lanes + part * doubles::size);
      sum[k] = reals{Real{0}};
    }
  }
  EDGERAZOR_LANES double total(std::size_t k) const noexcept {
    doubles sum_of_parts = totals[k][0];
    for (std::size_t part = 1; part < parts; ++part)
      sum_of_parts = sum_of_parts + totals[k][part];
    return reduce_add(sum_of_parts);
  }
};
