// SPDX-License-Identifier: Apache-2.0
/// What passes over two rows add up, and what they leave for each other.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include <edgerazor/core/config.hpp>
#include <edgerazor/distill/row/kl_statistics.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Rows of fewer columns are worked in double at once. An error of 2^-24 in each of n probabilities
/// moves the logarithm of their sum by some 2^-24 / sqrt(n).
inline constexpr std::size_t float_cols = 8192;

/// The sums of logit_statistics as single passes make them, with the excess of each row as it is.
/// u is seen from an origin of its own, o_s and o_t, the logits of a likely column, so that it is
/// as small as student and teacher differ, wherever r_s and r_t are at that time:
///
///     u = ((s - o_s) - (t - o_t)) / T        x = ln q - ln p = u - c
///     c = ln S_s - ln S_t + ((r_s - o_s) - (r_t - o_t)) / T
///     U = sum e^a u              KL(q||p) = U / S_s - c
///     W = sum e^b (-u)           KL(p||q) = W / S_t + c
struct pass_sums {
  double student_reference = logit_statistics::unset;
  double student_sum = 0;
  double student_excess = 0;  ///< U
  double teacher_reference = logit_statistics::unset;
  double teacher_sum = 0;
  double teacher_excess = 0;  ///< W
  double teacher_weighted = 0;
  bool teacher_guarded = false;
  double inverse_temperature = 1;
  double student_origin = 0, teacher_origin = 0;  ///< o_s, o_t

  explicit pass_sums(double of_temperature) noexcept : inverse_temperature(of_temperature) {}
  /// What is known of the teacher.
  pass_sums(const logit_statistics& known, double of_temperature) noexcept
      : teacher_reference(known.teacher_reference),
        teacher_sum(known.teacher_sum),
        teacher_weighted(known.teacher_weighted),
        teacher_guarded(known.teacher_guarded),
        inverse_temperature(of_temperature) {}

  [[nodiscard]] logit_scaling scaling() const noexcept {
    const auto set = [](double reference) noexcept {
      return reference == logit_statistics::unset ? 0 : reference;
    };
    return {inverse_temperature, set(student_reference), set(teacher_reference), student_origin,
            teacher_origin};
  }
  /// With D = S_s - S_t, and W left out.
  [[nodiscard]] logit_statistics statistics() const noexcept {
    logit_statistics result;
    result.student_reference = student_reference;
    result.student_sum = student_sum;
    const double excess =
        std::isinf(student_excess) ? student_excess : student_excess - shift() * student_sum;
    result.student_excess = excess - (student_sum - teacher_sum);
    result.teacher_reference = teacher_reference;
    result.teacher_sum = teacher_sum;
    result.teacher_weighted = teacher_weighted;
    result.difference = student_sum - teacher_sum;
    result.inverse_temperature = inverse_temperature;
    result.teacher_guarded = teacher_guarded;
    return result;
  }
  /// ((r_s - o_s) - (r_t - o_t)) / T
  [[nodiscard]] double shift() const noexcept {
    const logit_scaling by = scaling();
    return ((by.student_reference - student_origin) - (by.teacher_reference - teacher_origin)) *
           inverse_temperature;
  }
  /// c
  [[nodiscard]] double log_ratio() const noexcept {
    return std::log(student_sum) - std::log(teacher_sum) + shift();
  }
  [[nodiscard]] double forward_kl() const noexcept {
    return not_negative(teacher_excess / teacher_sum + log_ratio());
  }
  [[nodiscard]] double reverse_kl() const noexcept {
    return not_negative(student_excess / student_sum - log_ratio());
  }
  /// The reference becomes another; what has seen nothing yet stays 0.
  void move_teacher(double reference) noexcept {
    if (teacher_sum != 0) {
      const double b = (teacher_reference - reference) * inverse_temperature;
      teacher_weighted = std::exp(b) * (teacher_weighted + b * teacher_sum);
      teacher_sum *= std::exp(b);
    }
    teacher_reference = reference;
  }
  void move_origin(double student, double teacher) noexcept {
    if (student_sum != 0 && !std::isinf(student_excess)) {
      const double moved = (student_origin - student) - (teacher_origin - teacher);
      student_excess += moved * inverse_temperature * student_sum;
    }
    student_origin = student;
    teacher_origin = teacher;
  }
  void move_student(double reference) noexcept {
    if (student_sum != 0) {
      const double factor = std::exp((student_reference - reference) * inverse_temperature);
      // An infinite U stays so, however small the factor.
      if (!std::isinf(student_excess)) student_excess *= factor;
      student_sum *= factor;
    }
    student_reference = reference;
  }
};

/// e^a of a row's columns, where a first pass left them for the second, with the references they
/// were made with.
template <class Real>
class kept_exponentials {
 public:
  kept_exponentials() = default;
  explicit kept_exponentials(Real* data) noexcept : data_(data) {}

  [[nodiscard]] Real* at(std::size_t column) const noexcept {
    return data_ == nullptr ? nullptr : data_ + column;
  }
  /// From `column` on the reference is another. At most 16 changes are recorded; on overflow the
  /// values kept before are dropped.
  void change_reference(std::size_t column, double reference) noexcept {
    if (count_ == changes_.size()) count_ = 0;
    changes_[count_++] = {column, reference};
  }
  /// e^a of `column` seen through `reference`, over what is kept; 0 if it isn't.
  [[nodiscard]] double factor(std::size_t column, double reference,
                              double inverse_temperature) const noexcept {
    std::size_t last = count_;
    while (last > 0 && changes_[last - 1].column > column) --last;
    return last == 0 ? 0
                     : std::exp((changes_[last - 1].reference - reference) * inverse_temperature);
  }

 private:
  struct change {
    std::size_t column;
    double reference;
  };
  Real* data_ = nullptr;
  std::array<change, 16> changes_{};
  std::size_t count_ = 0;
};

/// Whether student and teacher are so close, or their sums are, that ln(S_s / S_t) is to be made of
/// D.
[[nodiscard]] inline bool are_close(const pass_sums& seen) noexcept {
  return std::fabs(seen.log_ratio() - seen.shift()) < 1e-4 || seen.reverse_kl() < 1e-9;
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
