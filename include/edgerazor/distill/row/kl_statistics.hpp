// SPDX-License-Identifier: Apache-2.0
/// What one token's two rows of logits say of each other, in a form that pieces of the vocabulary
/// add up to: both divergences, the teacher's entropy, and all that their gradients need beside the
/// logits.
///
/// With q = softmax(s / T) the student's and p = softmax(t / T) the teacher's distribution, a piece
/// is seen through references r, logits about as large as the largest so far:
///
///     a = (s - r_s) / T      S_s = sum e^a        E_s = sum e^a (e^-u - 1 + u)      u = a - b
///     b = (t - r_t) / T      S_t = sum e^b        E_t = sum e^b (e^u - 1 - u)       D = sum (e^a - e^b)
///                                                 B = sum e^b b
///
///     ln q = a - ln S_s      KL(q||p) = E_s / S_s - f(-D / S_s)       f(y) = y - ln(1 + y)
///     ln p = b - ln S_t      KL(p||q) = E_t / S_t - f(D / S_t)        H(p) = ln S_t - B / S_t
///
/// No term of E_s and E_t is negative, and both, like f(y), vanish as the square of what student
/// and teacher differ by: the divergences of nearly equal rows keep their digits. Another reference
/// only scales and shifts the sums, so pieces seen through different ones merge exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::row {
/// Rounding may take a divergence of 0 below it; NaN stays.
[[nodiscard]] inline double not_negative(double x) noexcept { return x < 0 ? 0 : x; }

/// x - ln(1 + x), given ln(1 + x); never negative.
[[nodiscard]] inline double logarithm_gap(double x, double log) noexcept {
  if (!(std::fabs(x) < 1e-3)) return x - log;
  return x * x * (1.0 / 2 - x * (1.0 / 3 - x * (1.0 / 4 - x * (1.0 / 5 - x * (1.0 / 6)))));
}
/// e^x - 1 - x; never negative.
[[nodiscard]] inline double exponential_gap(double x) noexcept {
  if (!(std::fabs(x) < 1e-2)) return std::expm1(x) - x;
  return x * x * (1.0 / 2 + x * (1.0 / 6 + x * (1.0 / 24 + x * (1.0 / 120 + x * (1.0 / 720)))));
}
/// ln(S_s / S_t), from D too where that keeps its digits.
[[nodiscard]] inline double log_ratio(double student_sum, double teacher_sum,
                                      double difference) noexcept {
  const double relative = difference / teacher_sum;
  return std::fabs(relative) < 0.5 ? std::log1p(relative)
                                   : std::log(student_sum) - std::log(teacher_sum);
}
}  // namespace detail::row

/// The sums above, over the columns seen so far, and the temperature they were seen at. Trivially
/// copyable: shards of the vocabulary, on threads or on ranks of a cluster, each make one, send it
/// as bytes and `merge` what they receive; any order, the same up to rounding. A NaN or a logit of
/// plus infinity makes the sums NaN. What is infinite stays so in every merge.
struct logit_statistics {
  static constexpr double unset = -std::numeric_limits<double>::infinity();

  double student_reference = unset;  ///< r_s
  double student_sum = 0;            ///< S_s
  double student_excess = 0;         ///< E_s
  double teacher_reference = unset;  ///< r_t
  double teacher_sum = 0;            ///< S_t
  double teacher_excess = 0;         ///< E_t
  double teacher_weighted = 0;       ///< B
  double difference = 0;             ///< D
  double inverse_temperature = 1;    ///< 1 / T
  bool teacher_guarded = false;      ///< the teacher's row may hold minus infinity

  /// Nothing was seen.
  [[nodiscard]] bool empty() const noexcept { return student_sum == 0 && teacher_sum == 0; }

  /// Sees every column through other references.
  void move_references(double student, double teacher) noexcept {
    // What has seen nothing yet stays 0, wherever it is seen from.
    const double a = student_sum == 0 ? 0 : (student_reference - student) * inverse_temperature;
    const double b = teacher_sum == 0 ? 0 : (teacher_reference - teacher) * inverse_temperature;
    const double k = a - b, of_a = std::exp(a), of_b = std::exp(b);
    const bool is_near = std::fabs(k) < 0.5 && student_sum != 0 && teacher_sum != 0;
    // Sums of e^b u and of e^a u as they were.
    const double before_t = difference - teacher_excess, before_s = difference + student_excess;
    const double student_before = student_sum, teacher_before = teacher_sum;
    student_sum *= of_a;
    teacher_sum *= of_b;
    const auto moved = [](double excess, double to) noexcept {
      return std::isinf(excess) ? excess : detail::row::not_negative(to);
    };
    if (is_near) {
      teacher_excess = moved(
          teacher_excess,
          of_a * teacher_excess +
              of_b * (detail::row::exponential_gap(k) * teacher_before + std::expm1(k) * before_t));
      student_excess =
          moved(student_excess,
                of_b * student_excess + of_a * (detail::row::exponential_gap(-k) * student_before -
                                                std::expm1(-k) * before_s));
      difference = of_a * difference + of_b * std::expm1(k) * teacher_before;
    } else {
      difference = student_sum - teacher_sum;
      teacher_excess = moved(teacher_excess, difference - of_b * (before_t + k * teacher_before));
      student_excess = moved(student_excess, of_a * (before_s + k * student_before) - difference);
    }
    teacher_weighted = of_b * (teacher_weighted + b * teacher_before);
    student_reference = student;
    teacher_reference = teacher;
  }

  /// Adds what another piece of the same row has seen. Fails, leaving this as it is, where that was
  /// at another temperature.
  void merge(logit_statistics other) {
    if (other.empty()) {
      teacher_guarded = teacher_guarded || other.teacher_guarded;
      if (empty()) inverse_temperature = other.inverse_temperature;
      return;
    }
    if (empty()) inverse_temperature = other.inverse_temperature;
    if (inverse_temperature != other.inverse_temperature) {
      detail::core::fail("logit_statistics: pieces seen at the temperatures " +
                         std::to_string(1 / inverse_temperature) + " and " +
                         std::to_string(1 / other.inverse_temperature));
    }
    const double student = std::max(student_reference, other.student_reference);
    const double teacher = std::max(teacher_reference, other.teacher_reference);
    move_references(student, teacher);
    other.move_references(student, teacher);
    student_sum += other.student_sum;
    student_excess += other.student_excess;
    teacher_sum += other.teacher_sum;
    teacher_excess += other.teacher_excess;
    teacher_weighted += other.teacher_weighted;
    difference += other.difference;
    teacher_guarded = teacher_guarded || other.teacher_guarded;
  }

  /// ln(S_s / S_t).
  [[nodiscard]] double log_ratio() const noexcept {
    return detail::row::log_ratio(student_sum, teacher_sum, difference);
  }
  /// KL(p || q), p the teacher's. Infinite where p has mass that q lacks.
  [[nodiscard]] double forward_kl() const noexcept {
    const double gap = detail::row::logarithm_gap(difference / teacher_sum, log_ratio());
    return detail::row::not_negative(teacher_excess / teacher_sum - gap);
  }
  /// KL(q || p).
  [[nodiscard]] double reverse_kl() const noexcept {
    const double gap = detail::row::logarithm_gap(-difference / student_sum, -log_ratio());
    return detail::row::not_negative(student_excess / student_sum - gap);
  }
  /// H(p) in nats, at the temperature of the statistics.
  [[nodiscard]] double teacher_entropy() const noexcept {
    return detail::row::not_negative(std::log(teacher_sum) - teacher_weighted / teacher_sum);
  }
  /// ln sum e^(s / T).
  [[nodiscard]] double student_log_sum() const noexcept {
    return student_reference * inverse_temperature + std::log(student_sum);
  }
  /// ln sum e^(t / T).
  [[nodiscard]] double teacher_log_sum() const noexcept {
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
  /// What is subtracted from s and from t before the two are compared: their logits of a likely
  /// column, or two numbers that are as far from each other.
  double student_origin = student_reference;
  double teacher_origin = teacher_reference;
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

/// (1 - gamma) forward + gamma reverse, gamma in [0, 1] or NaN. A direction without weight adds
/// nothing, be it infinite; a NaN stays one.
[[nodiscard]] inline double blended(double gamma, double forward, double reverse) noexcept {
  const auto part = [](double weight, double x) noexcept {
    return weight == 0 && std::isinf(x) ? 0 : weight * x;
  };
  return part(1 - gamma, forward) + part(gamma, reverse);
}

/// The smallest probability EdgeRazor (Python) takes a logarithm of (compute_kld: EPS).
inline constexpr double parity_epsilon = 1e-8;

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
