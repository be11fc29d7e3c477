// SPDX-License-Identifier: Apache-2.0
/// The sums of `logit_statistics` over one block of columns, in vectors of float or double.
///
/// Lanes are added up in double at least every 32 vectors, so that rounding stays near that of a
/// single float operation.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/distill/exponential.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// How a logit becomes the exponent of its probability: (x - reference) / T. The subtraction comes
/// first, because it is exact for the logits near the reference, which are those that count.
struct logit_scaling {
  double inverse_temperature = 1;
  double student_reference = 0;
  double teacher_reference = 0;
};

template <class Real, class Arch>
struct exponents {
  using reals = xsimd::batch<Real, Arch>;
  reals reference, scale;

  exponents(double logit_reference, double inverse_temperature) noexcept
      : reference{static_cast<Real>(logit_reference)},
        scale{static_cast<Real>(inverse_temperature * exponent_unit<Real>)} {}
  [[nodiscard]] reals operator()(const Real* logits) const noexcept {
    return (reals::load_unaligned(logits) - reference) * scale;
  }
};

/// Sums of a few vectors, moved into doubles before many roundings gather.
template <class Real, std::size_t Count, class Arch>
class wide_sums {
 public:
  using reals = xsimd::batch<Real, Arch>;
  static constexpr std::size_t vectors = 32;

  reals sum[Count];

  wide_sums() noexcept { clear(); }
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

/// x where the probability isn't 0, else 0: 0 * infinity counts as 0.
template <bool Guarded, class Reals>
[[nodiscard]] inline Reals where_positive(const Reals& probability, const Reals& x) noexcept {
  if constexpr (Guarded) return xsimd::select(probability > Reals{0}, x, Reals{0});
  return x;
}

/// x where it is finite, else 0.
template <bool Guarded, class Reals>
[[nodiscard]] inline Reals where_finite(const Reals& x) noexcept {
  using real = typename Reals::value_type;
  if constexpr (Guarded)
    return xsimd::select(xsimd::abs(x) <= Reals{std::numeric_limits<real>::max()}, x, Reals{0});
  return x;
}

struct teacher_sums {
  double sum = 0;       ///< sum e^b
  double weighted = 0;  ///< sum e^b b
  double largest = 0;   ///< b
};

/// Guarded: for blocks that hold minus infinity. `count` is a multiple of the vector's length.
template <bool Guarded, class Real, class Arch>
[[nodiscard]] teacher_sums sum_teacher(const Real* teacher, std::size_t count,
                                       const logit_scaling& by) noexcept {
  using reals = xsimd::batch<Real, Arch>;
  const exponents<Real, Arch> of_teacher{by.teacher_reference, by.inverse_temperature};
  wide_sums<Real, 2, Arch> sums;
  reals largest{-std::numeric_limits<Real>::infinity()};
  constexpr std::size_t step = wide_sums<Real, 2, Arch>::vectors * reals::size;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = first + step < count ? first + step : count;
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals b = of_teacher(teacher + i);
      const reals p = power_of_exponent(b);
      largest = xsimd::max(largest, b);
      sums.sum[0] += p;
      sums.sum[1] = xsimd::fma(p, where_positive<Guarded>(p, b), sums.sum[1]);
    }
    sums.fold();
  }
  return {sums.total(0), sums.total(1) / exponent_unit<Real>,
          static_cast<double>(xsimd::reduce_max(largest)) / exponent_unit<Real>};
}

struct student_sums {
  double sum = 0;      ///< sum e^a
  double excess = 0;   ///< sum e^a (a - b)
  double largest = 0;  ///< a
};

/// Where `kept` isn't null, e^a of every column goes there.
template <bool Guarded, class Real, class Arch>
[[nodiscard]] student_sums sum_student(const Real* student, const Real* teacher, std::size_t count,
                                       const logit_scaling& by, Real* kept) noexcept {
  using reals = xsimd::batch<Real, Arch>;
  const exponents<Real, Arch> of_student{by.student_reference, by.inverse_temperature};
  const exponents<Real, Arch> of_teacher{by.teacher_reference, by.inverse_temperature};
  wide_sums<Real, 2, Arch> sums;
  reals largest{-std::numeric_limits<Real>::infinity()};
  constexpr std::size_t step = wide_sums<Real, 2, Arch>::vectors * reals::size;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = first + step < count ? first + step : count;
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals a = of_student(student + i);
      const reals b = of_teacher(teacher + i);
      const reals q = power_of_exponent(a);
      largest = xsimd::max(largest, a);
      if (kept != nullptr) q.store_unaligned(kept + i);
      sums.sum[0] += q;
      sums.sum[1] = xsimd::fma(q, where_positive<Guarded>(q, a - b), sums.sum[1]);
    }
    sums.fold();
  }
  return {sums.total(0), sums.total(1) / exponent_unit<Real>,
          static_cast<double>(xsimd::reduce_max(largest)) / exponent_unit<Real>};
}

/// sum e^b (b - a): the forward divergence's share that no gradient needs.
template <bool Guarded, class Real, class Arch>
[[nodiscard]] double sum_forward(const Real* student, const Real* teacher, std::size_t count,
                                 const logit_scaling& by) noexcept {
  using reals = xsimd::batch<Real, Arch>;
  const exponents<Real, Arch> of_student{by.student_reference, by.inverse_temperature};
  const exponents<Real, Arch> of_teacher{by.teacher_reference, by.inverse_temperature};
  wide_sums<Real, 1, Arch> sums;
  constexpr std::size_t step = wide_sums<Real, 1, Arch>::vectors * reals::size;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = first + step < count ? first + step : count;
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals a = of_student(student + i);
      const reals b = of_teacher(teacher + i);
      const reals p = power_of_exponent(b);
      sums.sum[0] = xsimd::fma(p, where_positive<Guarded>(p, b - a), sums.sum[0]);
    }
    sums.fold();
  }
  return sums.total(0) / exponent_unit<Real>;
}

/// gradient = e^a ((a - b) slope + student) - e^b teacher: with the right three numbers, that of
/// any blend of the two divergences. A difference that isn't finite has no slope: either q is 0, or
/// the row has left the slope out.
struct blend_coefficients {
  double slope = 0;
  double student = 0;
  double teacher = 0;
};

/// Writes `count` gradients and returns sum e^b (b - a). `kept` may be null, and may be `gradient`;
/// so may be `student` or `teacher`: a column is read before it is written.
template <bool Guarded, class Real, class Arch>
double blend_gradient(const Real* student, const Real* teacher, const Real* kept, std::size_t count,
                      const logit_scaling& by, const blend_coefficients& blend,
                      Real* gradient) noexcept {
  using reals = xsimd::batch<Real, Arch>;
  const exponents<Real, Arch> of_student{by.student_reference, by.inverse_temperature};
  const exponents<Real, Arch> of_teacher{by.teacher_reference, by.inverse_temperature};
  const reals slope{static_cast<Real>(blend.slope / exponent_unit<Real>)};
  const reals student_part{static_cast<Real>(blend.student)},
      teacher_part{static_cast<Real>(blend.teacher)};
  wide_sums<Real, 1, Arch> sums;
  constexpr std::size_t step = wide_sums<Real, 1, Arch>::vectors * reals::size;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = first + step < count ? first + step : count;
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals a = of_student(student + i);
      const reals b = of_teacher(teacher + i);
      const reals p = power_of_exponent(b);
      const reals q = kept != nullptr ? reals::load_unaligned(kept + i) : power_of_exponent(a);
      const reals u = a - b;
      sums.sum[0] = xsimd::fnma(p, where_positive<Guarded>(p, u), sums.sum[0]);
      const reals weight = xsimd::fma(where_finite<Guarded>(u), slope, student_part);
      xsimd::fms(q, weight, p * teacher_part).store_unaligned(gradient + i);
    }
    sums.fold();
  }
  return sums.total(0) / exponent_unit<Real>;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
