// SPDX-License-Identifier: Apache-2.0
/// What one token's two rows of logits say of each other, in a form that pieces of the vocabulary
/// add up to: both divergences, the teacher's entropy, and all that their gradients need beside the
/// logits.
///
/// With q = softmax(s / T) the student's and p = softmax(t / T) the teacher's distribution, a piece
/// is seen through references r, logits about as large as the largest so far:
///
///     a = (s - r_s) / T      S_s = sum e^a        U = sum e^a (a - b)
///     b = (t - r_t) / T      S_t = sum e^b        W = sum e^b (b - a)        B = sum e^b b
///
///     ln q = a - ln S_s      KL(q||p) = U / S_s - ln S_s + ln S_t
///     ln p = b - ln S_t      KL(p||q) = W / S_t - ln S_t + ln S_s        H(p) = ln S_t - B / S_t
///
/// Another reference only scales and shifts the sums, so pieces seen through different ones merge
/// exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::row {
/// Rounding may take a divergence of 0 below it; NaN stays.
[[nodiscard]] inline double not_negative(double x) noexcept { return x < 0 ? 0 : x; }
}  // namespace detail::row

/// The sums above, over the columns seen so far. Trivially copyable: shards of the vocabulary, on
/// threads or on ranks of a cluster, each make one, send it as bytes and `merge` what they receive;
/// any order, the same up to rounding. A NaN or a logit of plus infinity makes the sums NaN.
struct logit_statistics {
  static constexpr double unset = -std::numeric_limits<double>::infinity();

  double student_reference = unset;  ///< r_s
  double student_sum = 0;            ///< S_s
  double student_excess = 0;         ///< U
  double teacher_reference = unset;  ///< r_t
  double teacher_sum = 0;            ///< S_t
  double teacher_excess = 0;         ///< W
  double teacher_weighted = 0;       ///< B
  bool teacher_guarded = false;      ///< the teacher's row may hold minus infinity

  /// Sees every column through other references.
  void move_references(double student, double teacher, double inverse_temperature = 1) noexcept {
    // What has seen nothing yet stays 0, wherever it is seen from.
    const double a = student_sum == 0 ? 0 : (student_reference - student) * inverse_temperature;
    const double b = teacher_sum == 0 ? 0 : (teacher_reference - teacher) * inverse_temperature;
    if (student_sum != 0) student_excess = std::exp(a) * (student_excess + (a - b) * student_sum);
    if (teacher_sum != 0) {
      teacher_excess = std::exp(b) * (teacher_excess + (b - a) * teacher_sum);
      teacher_weighted = std::exp(b) * (teacher_weighted + b * teacher_sum);
    }
    student_sum *= std::exp(a);
    teacher_sum *= std::exp(b);
    student_reference = student;
    teacher_reference = teacher;
  }

  /// Adds what another piece of the same row has seen, at the same temperature.
  void merge(logit_statistics other, double inverse_temperature = 1) noexcept {
    const double student = std::max(student_reference, other.student_reference);
    const double teacher = std::max(teacher_reference, other.teacher_reference);
    move_references(student, teacher, inverse_temperature);
    other.move_references(student, teacher, inverse_temperature);
    student_sum += other.student_sum;
    student_excess += other.student_excess;
    teacher_sum += other.teacher_sum;
    teacher_excess += other.teacher_excess;
    teacher_weighted += other.teacher_weighted;
    teacher_guarded = teacher_guarded || other.teacher_guarded;
  }

  /// KL(p || q), p the teacher's. Infinite where p has mass that q lacks.
  [[nodiscard]] double forward_kl() const noexcept {
    return detail::row::not_negative(teacher_excess / teacher_sum - std::log(teacher_sum) +
                                     std::log(student_sum));
  }
  /// KL(q || p).
  [[nodiscard]] double reverse_kl() const noexcept {
    return detail::row::not_negative(student_excess / student_sum - std::log(student_sum) +
                                     std::log(teacher_sum));
  }
  /// H(p) in nats, at the temperature of the statistics.
  [[nodiscard]] double teacher_entropy() const noexcept {
    return detail::row::not_negative(std::log(teacher_sum) - teacher_weighted / teacher_sum);
  }
  /// ln sum e^(s / T).
  [[nodiscard]] double student_log_sum(double inverse_temperature = 1) const noexcept {
    return student_reference * inverse_temperature + std::log(student_sum);
  }
  /// ln sum e^(t / T).
  [[nodiscard]] double teacher_log_sum(double inverse_temperature = 1) const noexcept {
    return teacher_reference * inverse_temperature + std::log(teacher_sum);
  }
};
static_assert(std::is_trivially_copyable_v<logit_statistics>);

namespace detail::row {

/// How a logit becomes the exponent of its probability: (x - reference) / T. The subtraction comes
/// first, because it is exact for the logits near the reference, which are those that count.
struct logit_scaling {
  double inverse_temperature = 1;
  double student_reference = 0;
  double teacher_reference = 0;
};

/// KL(p||q) and KL(q||p) of a row.
struct kl_divergences {
  double forward = 0;
  double reverse = 0;
};

/// forward * KL(p||q) + reverse * KL(q||p), what a gradient is taken of.
struct kl_blend {
  double forward = 0;
  double reverse = 0;
};

/// (1 - gamma) forward + gamma reverse, gamma in [0, 1] or NaN. 0 * infinity: a direction without
/// weight adds nothing.
[[nodiscard]] inline double blended(double gamma, double forward, double reverse) noexcept {
  return (gamma == 1 ? 0 : (1 - gamma) * forward) + (gamma == 0 ? 0 : gamma * reverse);
}

/// The smallest probability EdgeRazor (Python) takes a logarithm of (compute_kld: EPS).
inline constexpr double parity_epsilon = 1e-8;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
