// SPDX-License-Identifier: Apache-2.0
/// Divergences of two distributions that are close, in float without cancellation.
///
/// Where q and p differ by less than rounding can resolve, everything is made of u = a - b, which
/// is small and exact, and of e^x - 1 instead of two powers. With c = ln(S_s / S_t) and x = ln(q/p)
/// = u - c:
///
///     S_s = S_t + sum e^b (e^u - 1)        q - p = p (e^x - 1)
///     KL(p||q) = sum p (e^x - 1 - x)       KL(q||p) = sum p (x (e^x - 1) - (e^x - 1 - x))
///
/// Both sums have no negative term, and an error in c changes them in second order only. Columns
/// with a large u have no cancellation, and take the two powers.
#pragma once

#include <cmath>
#include <cstddef>

#include <xsimd/xsimd.hpp>

#include <edgerazor/distill/exponential.hpp>
#include <edgerazor/distill/logit_sums.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// |x| below which e^x - 1 - x comes from its series: x^2 / 2 + ... + x^8 / 8!, of which the next term is 2^-26 at
/// most.
inline constexpr float small_difference = 0.4f;

/// e^x - 1 - x for |x| <= small_difference.
template <class Reals>
[[nodiscard]] Reals exponential_excess(const Reals& x) noexcept {
  Reals sum = xsimd::fma(x, Reals{1.0f / 3628800}, Reals{1.0f / 362880});
  sum = xsimd::fma(sum, x, Reals{1.0f / 40320});
  sum = xsimd::fma(sum, x, Reals{1.0f / 5040});
  sum = xsimd::fma(sum, x, Reals{1.0f / 720});
  sum = xsimd::fma(sum, x, Reals{1.0f / 120});
  sum = xsimd::fma(sum, x, Reals{1.0f / 24});
  sum = xsimd::fma(sum, x, Reals{1.0f / 6});
  sum = xsimd::fma(sum, x, Reals{0.5f});
  return x * x * sum;
}

/// u = a - b = ((s - t) - (r_s - r_t)) / T of some columns, in nats. s - t comes first, because it
/// is exact where the two are near each other; before it the whole part of r_s - r_t leaves
/// whichever is larger, which is exact too.
template <class Arch>
struct logit_differences {
  using reals = xsimd::batch<float, Arch>;
  reals student_part, teacher_part, rest, scale;

  explicit logit_differences(const logit_scaling& by) noexcept {
    const double apart = by.student_reference - by.teacher_reference, whole = std::nearbyint(apart);
    const bool from_student = std::fabs(by.student_reference) > std::fabs(by.teacher_reference);
    student_part = reals{static_cast<float>(from_student ? whole : 0)};
    teacher_part = reals{static_cast<float>(from_student ? 0 : -whole)};
    rest = reals{static_cast<float>(apart - whole)};
    scale = reals{static_cast<float>(by.inverse_temperature)};
  }
  [[nodiscard]] reals operator()(const float* student, const float* teacher) const noexcept {
    const reals s = reals::load_unaligned(student) - student_part,
                t = reals::load_unaligned(teacher) - teacher_part;
    return (s - t - rest) * scale;
  }
};

struct difference_sums {
  double sum = 0;     ///< sum (e^a - e^b)
  double excess = 0;  ///< sum e^a u
};

template <class Arch>
[[nodiscard]] difference_sums sum_differences(const float* student, const float* teacher,
                                              std::size_t count, const logit_scaling& by) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const exponents<float, Arch> of_student{by.student_reference, by.inverse_temperature};
  const exponents<float, Arch> of_teacher{by.teacher_reference, by.inverse_temperature};
  const logit_differences<Arch> differences{by};
  wide_sums<float, 2, Arch> sums;
  constexpr std::size_t step = wide_sums<float, 2, Arch>::vectors * reals::size;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = first + step < count ? first + step : count;
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals u = differences(student + i, teacher + i);
      const reals p = power_of_exponent(of_teacher(teacher + i)),
                  q = power_of_exponent(of_student(student + i));
      const auto small = xsimd::abs(u) <= reals{small_difference};
      const reals difference = xsimd::select(small, p * (u + exponential_excess(u)), q - p);
      sums.sum[0] += difference;
      sums.sum[1] = xsimd::fma(q, u, sums.sum[1]);
    }
    sums.fold();
  }
  return {sums.total(0), sums.total(1)};
}

/// What the second pass is given: 1 / S_t, 1 / S_s, c, and the gradient reverse * q (u - mean) +
/// forward * (q - p).
struct close_coefficients {
  double teacher = 0;
  double student = 0;
  double log_ratio = 0;
  double mean = 0;
  double forward = 0;
  double reverse = 0;
};

struct close_divergences {
  double forward = 0;
  double reverse = 0;
};

/// The two divergences, and the gradient if there is room for it. The result may overwrite its own
/// input.
template <class Arch>
close_divergences compare_close(const float* student, const float* teacher, std::size_t count,
                                const logit_scaling& by, const close_coefficients& with,
                                float* gradient) noexcept {
  using reals = xsimd::batch<float, Arch>;
  const exponents<float, Arch> of_student{by.student_reference, by.inverse_temperature};
  const exponents<float, Arch> of_teacher{by.teacher_reference, by.inverse_temperature};
  const logit_differences<Arch> differences{by};
  const reals teacher_scale{static_cast<float>(with.teacher)},
      student_scale{static_cast<float>(with.student)};
  const reals log_ratio{static_cast<float>(with.log_ratio)}, mean{static_cast<float>(with.mean)};
  const reals forward{static_cast<float>(with.forward)}, reverse{static_cast<float>(with.reverse)};
  wide_sums<float, 2, Arch> sums;
  constexpr std::size_t step = wide_sums<float, 2, Arch>::vectors * reals::size;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = first + step < count ? first + step : count;
    for (std::size_t i = first; i < end; i += reals::size) {
      const reals u = differences(student + i, teacher + i), x = u - log_ratio;
      const reals p = power_of_exponent(of_teacher(teacher + i)) * teacher_scale;
      const reals q = power_of_exponent(of_student(student + i)) * student_scale;
      const auto small = xsimd::abs(x) <= reals{small_difference};
      const reals excess = exponential_excess(x), rise = x + excess;  // e^x - 1 - x, e^x - 1
      const reals difference = xsimd::select(small, p * rise, q - p);
      sums.sum[0] += xsimd::select(small, p * excess, difference - p * x);
      sums.sum[1] += xsimd::select(small, p * (x * rise - excess), q * x - difference);
      if (gradient != nullptr) {
        xsimd::fma(reverse * q, u - mean, forward * difference).store_unaligned(gradient + i);
      }
    }
    sums.fold();
  }
  return {sums.total(0), sums.total(1)};
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
