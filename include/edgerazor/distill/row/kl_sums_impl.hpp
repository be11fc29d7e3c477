// SPDX-License-Identifier: Apache-2.0
/// The sums of `logit_statistics`, and the gradient of a blend, over one block of columns, in
/// vectors of Real: float or double.
///
/// `count` is a multiple of the vector's length. Guarded: for blocks that hold minus infinity;
/// others then give NaN or infinity, and are to be done again guarded.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/exp_impl.hpp>
#include <edgerazor/distill/row/kl_statistics.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Of the teacher's columns x = y = b, of the student's x = a and y = a - b.
struct block_sums {
  double sum = 0;       ///< sum e^x
  double weighted = 0;  ///< sum e^x y
  double largest = 0;   ///< x
};

/// gradient = e^a ((a - b) slope + student) - e^b teacher: with the right three numbers, that of
/// any blend of the two divergences. A difference that isn't finite has no slope: either q is 0, or
/// the row has left the slope out.
struct blend_coefficients {
  double slope = 0;
  double student = 0;
  double teacher = 0;
};

/// (x - reference) / T of some columns, in exponent units.
template <class Real>
struct exponents {
  using reals = vector<Real>;
  reals reference, scale;

  exponents(double logit_reference, double inverse_temperature) noexcept
      : reference{static_cast<Real>(logit_reference)},
        scale{static_cast<Real>(inverse_temperature * exponent_unit<Real>)} {}
  [[nodiscard]] reals operator()(const Real* logits) const noexcept {
    return (reals::load_unaligned(logits) - reference) * scale;
  }
};

/// Sums of a few vectors over a block. Lanes are moved into doubles every 32 vectors, so that
/// rounding stays near that of a single float operation.
template <class Real, std::size_t Count>
class lane_sums {
 public:
  using reals = vector<Real>;
  reals sum[Count];

  lane_sums() noexcept { clear(); }
  /// Columns between two folds, and the end of those from `first` on.
  static constexpr std::size_t step = 32 * reals::size;
  [[nodiscard]] static std::size_t end(std::size_t first, std::size_t count) noexcept {
    return first + step < count ? first + step : count;
  }
  void fold() noexcept {
    for (std::size_t k = 0; k < Count; ++k) {
      Real lanes[reals::size];
      sum[k].store_unaligned(lanes);
      for (std::size_t j = 0; j < reals::size; ++j) total_[k][j] += static_cast<double>(lanes[j]);
    }
    clear();
  }
  [[nodiscard]] double total(std::size_t k) const noexcept {
    double result = 0;
    for (const double lane : total_[k]) result += lane;
    return result;
  }

 private:
  void clear() noexcept {
    for (reals& s : sum) s = reals{Real{0}};
  }
  double total_[Count][reals::size] = {};
};

/// x where it is finite, else 0. Not guarded: x.
template <bool Guarded, class Reals>
[[nodiscard]] inline Reals where_finite(const Reals& x) noexcept {
  using real = typename Reals::value_type;
  if constexpr (Guarded)
    return xsimd::select(xsimd::abs(x) <= Reals{std::numeric_limits<real>::max()}, x,
                         Reals{real{0}});
  return x;
}

/// sum + probability * x. Guarded: a column whose logit is minus infinity is impossible and adds
/// nothing, whatever x is; any other is possible, however far its probability has underflowed, and
/// an infinite x makes the sum infinite.
template <bool Guarded, class Reals>
[[nodiscard]] inline Reals add_expected(const Reals& probability, const Reals& logit,
                                        const Reals& x, const Reals& sum) noexcept {
  using real = typename Reals::value_type;
  using limits = std::numeric_limits<real>;
  if constexpr (Guarded) {
    const auto is_finite = xsimd::abs(x) <= Reals{limits::max()};
    return xsimd::fma(xsimd::select(is_finite, probability, Reals{real{1}}),
                      xsimd::select(logit == Reals{-limits::infinity()}, Reals{real{0}}, x), sum);
  }
  return xsimd::fma(probability, x, sum);
}

template <bool Guarded, class Real>
block_sums sum_teacher(const Real* teacher, std::size_t count, const logit_scaling& by) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_teacher{by.teacher_reference, by.inverse_temperature};
  lane_sums<Real, 2> sums;
  reals largest{-std::numeric_limits<Real>::infinity()};
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals b = of_teacher(teacher + i);
      const reals p = exp_of_units(b);
      largest = xsimd::max(largest, b);
      sums.sum[0] += p;
      sums.sum[1] = xsimd::fma(p, where_positive<Guarded>(p, b), sums.sum[1]);
    }
  }
  return {sums.total(0), sums.total(1) / exponent_unit<Real>,
          static_cast<double>(xsimd::reduce_max(largest)) / exponent_unit<Real>};
}

/// Where `kept` isn't null, e^a of every column goes there.
template <bool Guarded, class Real>
block_sums sum_student(const Real* student, const Real* teacher, std::size_t count,
                       const logit_scaling& by, Real* kept) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_student{by.student_reference, by.inverse_temperature};
  const exponents<Real> of_teacher{by.teacher_reference, by.inverse_temperature};
  lane_sums<Real, 2> sums;
  reals largest{-std::numeric_limits<Real>::infinity()};
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals logits = reals::load_unaligned(student + i);
      const reals a = of_student(student + i);
      const reals b = of_teacher(teacher + i);
      const reals q = exp_of_units(a);
      largest = xsimd::max(largest, a);
      if (kept != nullptr) q.store_unaligned(kept + i);
      sums.sum[0] += q;
      sums.sum[1] = add_expected<Guarded>(q, logits, a - b, sums.sum[1]);
    }
  }
  return {sums.total(0), sums.total(1) / exponent_unit<Real>,
          static_cast<double>(xsimd::reduce_max(largest)) / exponent_unit<Real>};
}

/// sum e^b (b - a): the forward divergence's share that no gradient needs.
template <bool Guarded, class Real>
double sum_forward(const Real* student, const Real* teacher, std::size_t count,
                   const logit_scaling& by) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_student{by.student_reference, by.inverse_temperature};
  const exponents<Real> of_teacher{by.teacher_reference, by.inverse_temperature};
  lane_sums<Real, 1> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals a = of_student(student + i);
      const reals b = of_teacher(teacher + i);
      const reals p = exp_of_units(b);
      const reals logits = reals::load_unaligned(teacher + i);
      sums.sum[0] = add_expected<Guarded>(p, logits, b - a, sums.sum[0]);
    }
  }
  return sums.total(0) / exponent_unit<Real>;
}

/// Writes `count` gradients and returns sum e^b (b - a). `kept`, what sum_student left there, may
/// be null, and may be `gradient`; so may be `student` or `teacher`: a column is read before it is
/// written.
template <bool Guarded, class Real>
double blend_gradient(const Real* student, const Real* teacher, const Real* kept, std::size_t count,
                      const logit_scaling& by, const blend_coefficients& blend,
                      Real* gradient) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_student{by.student_reference, by.inverse_temperature};
  const exponents<Real> of_teacher{by.teacher_reference, by.inverse_temperature};
  const reals slope{static_cast<Real>(blend.slope / exponent_unit<Real>)};
  const reals student_part{static_cast<Real>(blend.student)},
      teacher_part{static_cast<Real>(blend.teacher)};
  lane_sums<Real, 1> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals a = of_student(student + i);
      const reals b = of_teacher(teacher + i);
      const reals p = exp_of_units(b);
      const reals q = kept != nullptr ? reals::load_unaligned(kept + i) : exp_of_units(a);
      const reals u = a - b;
      if constexpr (Guarded) {
        sums.sum[0] = add_expected<true>(p, reals::load_unaligned(teacher + i), b - a, sums.sum[0]);
      } else {
        sums.sum[0] = xsimd::fnma(p, u, sums.sum[0]);
      }
      const reals weight = xsimd::fma(where_finite<Guarded>(u), slope, student_part);
      xsimd::fms(q, weight, p * teacher_part).store_unaligned(gradient + i);
    }
  }
  return sums.total(0) / exponent_unit<Real>;
}

/// Two distributions without cancellation, however close they are.
///
/// Where q and p differ by less than rounding can resolve, everything is made of u = a - b, which
/// is small and exact, and of e^x - 1 instead of two exponentials. With c = ln(S_s / S_t) and x =
/// ln(q/p) = u - c:
///
///     S_s = S_t + sum e^b (e^u - 1)        q - p = p (e^x - 1)
///     KL(p||q) = sum p (e^x - 1 - x)       KL(q||p) = sum p (x (e^x - 1) - (e^x - 1 - x))
///
/// Both sums have no negative term, and an error in c changes them in second order only. Columns
/// with a large u have no cancellation, and take the two exponentials.
struct difference_sums {
  double sum = 0;             ///< D = sum (e^a - e^b)
  double excess = 0;          ///< sum e^a u
  double student_excess = 0;  ///< E_s and E_t of logit_statistics, of doubles
  double teacher_excess = 0;
};

/// What the second pass is given: 1 / S_t, 1 / S_s, c, and the gradient reverse * q (u - mean) +
/// forward * (q - p).
struct near_coefficients {
  double teacher = 0;
  double student = 0;
  double log_ratio = 0;
  double mean = 0;
  double forward = 0;
  double reverse = 0;
};

/// |x| below which e^x - 1 - x comes from its series: x^2 / 2 + ... + x^10 / 10!, whose next term
/// is 2^-36 of the sum at most.
inline constexpr double small_difference = 0.4;

/// e^x - 1 - x for |x| <= small_difference.
template <class Reals>
[[nodiscard]] inline Reals exponential_excess(const Reals& x) noexcept {
  using real = typename Reals::value_type;
  Reals sum = xsimd::fma(x, Reals{real{1.0} / 3628800}, Reals{real{1.0} / 362880});
  sum = xsimd::fma(sum, x, Reals{real{1.0} / 40320});
  sum = xsimd::fma(sum, x, Reals{real{1.0} / 5040});
  sum = xsimd::fma(sum, x, Reals{real{1.0} / 720});
  sum = xsimd::fma(sum, x, Reals{real{1.0} / 120});
  sum = xsimd::fma(sum, x, Reals{real{1.0} / 24});
  sum = xsimd::fma(sum, x, Reals{real{1.0} / 6});
  sum = xsimd::fma(sum, x, Reals{real{0.5}});
  return x * x * sum;
}

/// u = a - b = ((s - t) - (r_s - r_t)) / T of some columns, in nats. s - t comes first, because it
/// is exact where the two are near each other; before it the whole part of r_s - r_t leaves
/// whichever is larger, which is exact too. Doubles hold that difference of floats as it is.
struct logit_differences {
  floats student_part, teacher_part, rest, scale;

  explicit logit_differences(const logit_scaling& by) noexcept {
    const double apart = by.student_reference - by.teacher_reference, whole = std::nearbyint(apart);
    const bool from_student = std::fabs(by.student_reference) > std::fabs(by.teacher_reference);
    student_part = floats{static_cast<float>(from_student ? whole : 0)};
    teacher_part = floats{static_cast<float>(from_student ? 0 : -whole)};
    rest = floats{static_cast<float>(apart - whole)};
    scale = floats{static_cast<float>(by.inverse_temperature)};
  }
  [[nodiscard]] floats operator()(const float* student, const float* teacher) const noexcept {
    const floats s = floats::load_unaligned(student) - student_part,
                 t = floats::load_unaligned(teacher) - teacher_part;
    return (s - t - rest) * scale;
  }
};

/// The first pass over a block, in float. `count` is a multiple of floats::size.
inline difference_sums sum_differences(const float* student, const float* teacher,
                                       std::size_t count, const logit_scaling& by) noexcept {
  const exponents<float> of_student{by.student_reference, by.inverse_temperature};
  const exponents<float> of_teacher{by.teacher_reference, by.inverse_temperature};
  const logit_differences differences{by};
  lane_sums<float, 2> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += floats::size) {
      const floats u = differences(student + i, teacher + i);
      const floats p = exp2_approx(of_teacher(teacher + i)),
                   q = exp2_approx(of_student(student + i));
      const auto is_small = xsimd::abs(u) <= floats{static_cast<float>(small_difference)};
      const floats difference = xsimd::select(is_small, p * (u + exponential_excess(u)), q - p);
      sums.sum[0] += difference;
      sums.sum[1] = xsimd::fma(q, u, sums.sum[1]);
    }
  }
  return {.sum = sums.total(0), .excess = sums.total(1)};
}

/// The block's share of both divergences, and its gradient unless that is null; it may overwrite
/// the block.
inline kl_divergences compare_near(const float* student, const float* teacher, std::size_t count,
                                   const logit_scaling& by, const near_coefficients& with,
                                   float* gradient) noexcept {
  const exponents<float> of_student{by.student_reference, by.inverse_temperature};
  const exponents<float> of_teacher{by.teacher_reference, by.inverse_temperature};
  const logit_differences differences{by};
  const floats teacher_scale{static_cast<float>(with.teacher)},
      student_scale{static_cast<float>(with.student)};
  const floats log_ratio{static_cast<float>(with.log_ratio)}, mean{static_cast<float>(with.mean)};
  const floats forward{static_cast<float>(with.forward)}, reverse{static_cast<float>(with.reverse)};
  lane_sums<float, 2> sums;
  for (std::size_t first = 0; first < count; first += sums.step, sums.fold()) {
    const std::size_t end = sums.end(first, count);
    for (std::size_t i = first; i < end; i += floats::size) {
      const floats u = differences(student + i, teacher + i), x = u - log_ratio;
      const floats p = exp2_approx(of_teacher(teacher + i)) * teacher_scale;
      const floats q = exp2_approx(of_student(student + i)) * student_scale;
      const auto is_small = xsimd::abs(x) <= floats{static_cast<float>(small_difference)};
      const floats excess = exponential_excess(x), rise = x + excess;  // e^x - 1 - x, e^x - 1
      const floats difference = xsimd::select(is_small, p * rise, q - p);
      sums.sum[0] += xsimd::select(is_small, p * excess, difference - p * x);
      sums.sum[1] += xsimd::select(is_small, p * (x * rise - excess), q * x - difference);
      if (gradient != nullptr) {
        xsimd::fma(reverse * q, u - mean, forward * difference).store_unaligned(gradient + i);
      }
    }
  }
  return {sums.total(0), sums.total(1)};
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
