// SPDX-License-Identifier: Apache-2.0
/// The passes over a row that kl_row.hpp promises.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <type_traits>

#include <edgerazor/distill/row/comparison_impl.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/kl_sums_impl.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// The sums of logit_statistics as single passes make them, with the excess of each row as it is:
///
///     U = sum e^a (a - b)        KL(q||p) = U / S_s - ln S_s + ln S_t
///     W = sum e^b (b - a)        KL(p||q) = W / S_t - ln S_t + ln S_s
struct pass_sums {
  double student_reference = logit_statistics::unset;
  double student_sum = 0;
  double student_excess = 0;  ///< U
  double teacher_reference = logit_statistics::unset;
  double teacher_sum = 0;
  double teacher_excess = 0;  ///< W
  double teacher_weighted = 0;
  bool teacher_guarded = false;

  pass_sums() = default;
  /// What is known of the teacher.
  explicit pass_sums(const logit_statistics& known) noexcept
      : teacher_reference(known.teacher_reference),
        teacher_sum(known.teacher_sum),
        teacher_weighted(known.teacher_weighted),
        teacher_guarded(known.teacher_guarded) {}

  /// With D = S_s - S_t, and W left out.
  [[nodiscard]] logit_statistics statistics(double inverse_temperature) const noexcept {
    logit_statistics result;
    result.student_reference = student_reference;
    result.student_sum = student_sum;
    result.student_excess = student_excess - (student_sum - teacher_sum);
    result.teacher_reference = teacher_reference;
    result.teacher_sum = teacher_sum;
    result.teacher_weighted = teacher_weighted;
    result.difference = student_sum - teacher_sum;
    result.inverse_temperature = inverse_temperature;
    result.teacher_guarded = teacher_guarded;
    return result;
  }
  [[nodiscard]] double log_ratio() const noexcept {
    return std::log(student_sum) - std::log(teacher_sum);
  }
  [[nodiscard]] double forward_kl() const noexcept {
    return not_negative(teacher_excess / teacher_sum - std::log(teacher_sum) +
                        std::log(student_sum));
  }
  [[nodiscard]] double reverse_kl() const noexcept {
    return not_negative(student_excess / student_sum - std::log(student_sum) +
                        std::log(teacher_sum));
  }
  /// The reference becomes another; what has seen nothing yet stays 0.
  void move_teacher(double reference, double inverse_temperature) noexcept {
    if (teacher_sum != 0) {
      const double b = (teacher_reference - reference) * inverse_temperature;
      teacher_weighted = std::exp(b) * (teacher_weighted + b * teacher_sum);
      teacher_sum *= std::exp(b);
    }
    teacher_reference = reference;
  }
  void move_student(double reference, double inverse_temperature) noexcept {
    if (student_sum != 0) {
      const double a = (student_reference - reference) * inverse_temperature;
      // An infinite U stays so, however small the factor.
      if (!std::isinf(student_excess))
        student_excess = std::exp(a) * (student_excess + a * student_sum);
      student_sum *= std::exp(a);
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

/// Works in vectors of Real. A block with a logit well above the reference is done again with that
/// as reference, so that the largest exponentials, which matter, are of small exponents, which are
/// exact. A block whose sums are not finite is done again with 0 * infinity = 0: ordinary blocks
/// are passed over once, and tested for nothing.
template <class Real>
class kl_passes {
 public:
  explicit kl_passes(const logit_pair& rows) noexcept
      : student_(rows.student),
        teacher_(rows.teacher),
        cols_(std::max(student_.size, teacher_.size)),
        inverse_temperature_(rows.inverse_temperature) {}

  /// Adds S_t and B of the teacher's row.
  void observe_teacher(pass_sums& seen) noexcept {
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      Real buffer[block_cols];
      const Real* values = teacher_.block(first, count, lanes, buffer);
      if (seen.teacher_reference == logit_statistics::unset) raise_teacher(seen, first, count);
      const block_sums sums = sum_block(
          teacher_, first, count, seen.teacher_guarded,
          [&] { return raise_teacher(seen, first, count); },
          [&](auto guarded) { return sum_teacher<guarded()>(values, pad(count), scaling(seen)); });
      seen.teacher_sum += sums.sum;
      seen.teacher_weighted += sums.weighted;
    });
  }

  /// An infinite logit shows in no sum of its own: a teacher with probabilities of 0, seen by this
  /// object or another, must be taken to have some.
  void expect_infinities(const pass_sums& seen) noexcept {
    guarded_ = guarded_ || seen.teacher_guarded;
  }

  /// Adds S_s and U, and keeps e^a of every column where there is room.
  void observe_student(pass_sums& seen, kept_exponentials<Real>& kept) noexcept {
    for_each_pair(
        cols_, [&](std::size_t first, std::size_t count, const Real* student, const Real* teacher) {
          if (seen.student_reference == logit_statistics::unset) raise_student(seen, first, count);
          if (first == 0) kept.change_reference(0, scaling(seen).student_reference);
          const std::size_t padded = pad(count);
          Real* to_keep = padded == count ? kept.at(first) : nullptr;
          const block_sums sums = sum_block(
              student_, first, count, guarded_,
              [&] {
                const bool raised = raise_student(seen, first, count);
                if (raised) kept.change_reference(first, seen.student_reference);
                return raised;
              },
              [&](auto guarded) {
                return sum_student<guarded()>(student, teacher, padded, scaling(seen), to_keep);
              });
          seen.student_sum += sums.sum;
          seen.student_excess += sums.weighted;
        });
  }

  /// Sets W, of a row whose other sums are complete.
  void observe_forward(pass_sums& seen) const noexcept {
    seen.teacher_excess = 0;
    for_each_pair(cols_,
                  [&](std::size_t, std::size_t count, const Real* student, const Real* teacher) {
                    const logit_scaling by = scaling(seen);
                    const double sum = sum_forward<false>(student, teacher, pad(count), by);
                    seen.teacher_excess += finite_forward(sum, student, teacher, pad(count), by);
                  });
  }

  /// Gradient of the blend with respect to the student's logits; sets W on the way. `seen` holds
  /// everything but W. The reverse part of a row whose KL(q||p) is infinite has no direction and is
  /// left out.
  void gradient(pass_sums& seen, const kept_exponentials<Real>& kept, const kl_blend& blend,
                const output_row& out) const noexcept {
    const double mean_excess = seen.student_excess / seen.student_sum;  // sum of q (a - b)
    const double reverse = std::isinf(mean_excess) ? 0 : blend.reverse * inverse_temperature_;
    const double forward = blend.forward * inverse_temperature_;
    // d KL(q||p) / ds = q ((a - b) - sum of q (a - b)) / T        d KL(p||q) / ds = (q - p) / T
    const blend_coefficients coefficients{
        .slope = reverse / seen.student_sum,
        .student = (forward - (reverse == 0 ? 0 : reverse * mean_excess)) / seen.student_sum,
        .teacher = forward / seen.teacher_sum};
    const logit_scaling by = scaling(seen);
    double total = 0;
    for_each_pair(student_.size, [&](std::size_t first, std::size_t count, const Real* student,
                                     const Real* teacher) {
      Real buffer[block_cols];
      const std::size_t padded = pad(count);
      Real* const room = padded == count ? kept.at(first) : nullptr;
      const Real* exponentials = room;
      blend_coefficients here = coefficients;
      if (exponentials != nullptr) {
        const double factor = kept.factor(first, by.student_reference, inverse_temperature_);
        if (factor == 0) exponentials = nullptr;
        if (factor != 0) here.slope *= factor, here.student *= factor;
      }
      Real* const result = room == nullptr ? buffer : room;  // apart from both rows
      const bool guarded =
          guarded_ || padded != count || teacher_.present_in(first, count) != count;
      const double sum =
          guarded ? blend_gradient<true>(student, teacher, exponentials, padded, by, here, result)
                  : blend_gradient<false>(student, teacher, exponentials, padded, by, here, result);
      total += finite_forward(sum, student, teacher, padded, by);
      if (result == buffer) out.store(first, count, result);
    });
    for (std::size_t i = student_.size; i < teacher_.size; ++i) {
      if (teacher_[i] > -std::numeric_limits<double>::infinity()) {
        total = std::numeric_limits<double>::infinity();  // mass where the student has none
        break;
      }
    }
    seen.teacher_excess = total;
  }

  /// For rows in float whose divergences are small: both of them and the gradient, without
  /// cancellation; nothing, and nothing is written, where float does not hold a difference. `seen`
  /// holds the sums of both rows, none of them infinite.
  std::optional<kl_divergences> near_rows(const pass_sums& seen, const kl_blend& blend,
                                          const output_row& out) const noexcept {
    const logit_scaling by = scaling(seen);
    difference_sums differences;
    for_each_pair(
        cols_,
        [&](std::size_t, std::size_t count, const float* student, const float* teacher) {
          const difference_sums sums = sum_differences(student, teacher, pad(count), by);
          differences.sum += sums.sum;
          differences.excess += sums.excess;
        },
        -1e30f);
    if (!std::isfinite(differences.sum) || !std::isfinite(differences.excess)) return std::nullopt;
    const double student_sum = seen.teacher_sum + differences.sum;
    const near_coefficients with{.teacher = 1 / seen.teacher_sum,
                                 .student = 1 / student_sum,
                                 .log_ratio = std::log1p(differences.sum / seen.teacher_sum),
                                 .mean = differences.excess / student_sum,
                                 .forward = blend.forward * inverse_temperature_,
                                 .reverse = blend.reverse * inverse_temperature_};
    kl_divergences result;
    for_each_pair(
        cols_,
        [&](std::size_t first, std::size_t count, const float* student, const float* teacher) {
          float gradient[block_cols];
          const kl_divergences part =
              compare_near(student, teacher, pad(count), by, with, out ? gradient : nullptr);
          result.forward += part.forward;
          result.reverse += part.reverse;
          if (out) out.store(first, count, gradient);
        },
        -1e30f);
    return result;
  }

  [[nodiscard]] bool guarded() const noexcept { return guarded_; }

 private:
  static constexpr std::size_t lanes = vector<Real>::size;

  [[nodiscard]] std::size_t pad(std::size_t count) const noexcept {
    return (count + lanes - 1) / lanes * lanes;
  }
  /// sum(guarded or not) of a block of `row`: again where raise() finds a larger reference, and
  /// again where it is not finite, which `is_guarded` tells.
  template <class Raise, class Sum>
  static block_sums sum_block(const input_row& row, std::size_t first, std::size_t count,
                              bool& is_guarded, Raise&& raise, Sum&& sum) noexcept {
    block_sums sums = sum(std::false_type{});
    if (sums.largest > 1 && raise()) sums = sum(std::false_type{});
    if (std::isfinite(sums.weighted) && std::isfinite(sums.largest)) return sums;
    is_guarded = true;
    sums = sum(std::true_type{});
    if (row.holds_nan(first, count)) sums.sum = std::numeric_limits<double>::quiet_NaN();
    return sums;
  }
  /// Calls visit(first, count, student, teacher) for the blocks of both rows. Columns past the last
  /// block's end, up to a whole vector, are impossible in both; a finite `padding` makes their
  /// difference finite.
  template <class Visit>
  void for_each_pair(std::size_t cols, Visit&& visit,
                     Real padding = -std::numeric_limits<Real>::infinity()) const noexcept {
    for_each_block(cols, [&](std::size_t first, std::size_t count) {
      Real buffers[2][block_cols];
      const Real* student = student_.block(first, count, lanes, buffers[0]);
      const Real* teacher = teacher_.block(first, count, lanes, buffers[1]);
      for (std::size_t i = count; i < pad(count); ++i) buffers[0][i] = buffers[1][i] = padding;
      visit(first, count, student, teacher);
    });
  }
  /// `sum`, a block's share of W, where that is finite. Else the same in double, guarded: what
  /// float does not hold is finite in it.
  [[nodiscard]] static double finite_forward(double sum, const Real* student, const Real* teacher,
                                             std::size_t padded, const logit_scaling& by) noexcept {
    if (std::isfinite(sum)) return sum;
    double wide[2][block_cols];
    std::copy(student, student + padded, wide[0]);
    std::copy(teacher, teacher + padded, wide[1]);
    return sum_forward<true>(wide[0], wide[1], padded, by);
  }
  [[nodiscard]] logit_scaling scaling(const pass_sums& seen) const noexcept {
    return {inverse_temperature_,
            seen.student_reference == logit_statistics::unset ? 0 : seen.student_reference,
            seen.teacher_reference == logit_statistics::unset ? 0 : seen.teacher_reference};
  }
  /// Makes the block's largest logit the reference, if that is larger.
  bool raise_teacher(pass_sums& seen, std::size_t first, std::size_t count) const noexcept {
    const auto largest = static_cast<double>(teacher_.largest(first, count));
    if (!(largest > seen.teacher_reference)) return false;
    seen.move_teacher(largest, inverse_temperature_);
    return true;
  }
  bool raise_student(pass_sums& seen, std::size_t first, std::size_t count) noexcept {
    const auto largest = static_cast<double>(student_.largest(first, count));
    if (!(largest > seen.student_reference)) return false;
    // Columns passed over may be infinitely far from this reference, in Real.
    guarded_ = guarded_ || (seen.student_sum != 0 &&
                            (largest - seen.student_reference) * inverse_temperature_ > 1e30);
    seen.move_student(largest, inverse_temperature_);
    return true;
  }

  input_row student_, teacher_;
  std::size_t cols_;
  double inverse_temperature_;
  bool guarded_ = false;  ///< a row may hold minus infinity, or what is so far from a reference
};

/// True where float is enough: a product with ln q - ln p is not mostly rounding, and it is not the
/// exponentials of improbable tokens, known to 1e-6 at e^-7, that a divergence above 1e-3 of a row
/// with few likely tokens is made of.
[[nodiscard]] inline bool float_is_enough(const pass_sums& seen) noexcept {
  if (!(std::fabs(seen.student_excess / seen.student_sum) < 8)) return false;
  return seen.teacher_sum > 4 || seen.reverse_kl() < 1e-3 || seen.reverse_kl() > 2e-2;
}
/// True where the difference of two rounded probabilities would be mostly rounding.
[[nodiscard]] inline bool are_near(const pass_sums& seen) noexcept {
  return seen.reverse_kl() < 2e-2;
}

/// The gradient's row, not yet written, as room for e^a, unless it is the memory of a row that is
/// still to be read.
[[nodiscard]] inline float* room_for_exponentials(const logit_pair& rows,
                                                  const output_row& out) noexcept {
  const std::size_t size = rows.student.size;
  if (!out || out.type != element::float32 || out.accumulate || size < rows.teacher.size)
    return nullptr;
  const auto* const begin = static_cast<const std::byte*>(out.data);
  const auto apart = [&](const input_row& row) {
    const std::less<const void*> before{};
    const auto* const first = static_cast<const std::byte*>(row.data);
    return !before(begin, first + row.size * size_of(row.type)) ||
           !before(first, begin + size * sizeof(float));
  };
  return apart(rows.student) && apart(rows.teacher) ? static_cast<float*>(out.data) : nullptr;
}

/// Whether student and teacher are so close, or their sums are, that ln(S_s / S_t) is to be made of
/// D.
[[nodiscard]] inline bool are_close(const pass_sums& seen) noexcept {
  return std::fabs(seen.log_ratio()) < 1e-4 || seen.reverse_kl() < 1e-9;
}

/// Statistics of both rows in double, with what may be known of the teacher. E_t is there if
/// `forward` asks for it.
[[nodiscard]] inline logit_statistics observe_rows(const logit_pair& rows,
                                                   const logit_statistics& known,
                                                   bool forward) noexcept {
  kl_passes<double> passes{rows};
  pass_sums sums{known};
  if (sums.teacher_sum == 0) passes.observe_teacher(sums);
  passes.expect_infinities(sums);
  kept_exponentials<double> none;
  passes.observe_student(sums, none);
  logit_statistics seen = sums.statistics(rows.inverse_temperature);
  const bool close = are_close(sums);
  if (!close && !forward) return seen;
  // References that stand for the same logit leave no common part in u.
  if (const double apart = sums.log_ratio(); close && std::fabs(apart) > 1e-9)
    seen.student_reference += apart / rows.inverse_temperature;
  const difference_sums differences = sum_differences(rows, pair_scale{seen}.by);
  if (close) seen.student_sum = seen.teacher_sum + differences.sum;
  seen.difference = differences.sum;
  seen.student_excess = differences.student_excess;
  seen.teacher_excess = differences.teacher_excess;
  return seen;
}

/// kl_row in float; nothing where that is not enough.
inline std::optional<kl_divergences> kl_row_in_float(const logit_pair& rows,
                                                     const logit_statistics& known,
                                                     const kl_blend& blend,
                                                     const output_row& out) noexcept {
  kl_passes<float> passes{rows};
  pass_sums seen{known};
  if (seen.teacher_sum == 0) passes.observe_teacher(seen);
  passes.expect_infinities(seen);
  kept_exponentials<float> kept{room_for_exponentials(rows, out)};
  passes.observe_student(seen, kept);
  if (!float_is_enough(seen)) return std::nullopt;
  if (are_near(seen)) {
    if (passes.guarded() || rows.student.size != rows.teacher.size) return std::nullopt;
    return passes.near_rows(seen, blend, out);
  }
  if (out) {
    passes.gradient(seen, kept, blend, out);
  } else {
    passes.observe_forward(seen);
  }
  return kl_divergences{seen.forward_kl(), seen.reverse_kl()};
}

EDGERAZOR_FUNCTION logit_statistics teacher_statistics(const input_row& teacher, std::size_t cols,
                                                       double inverse_temperature) noexcept {
  const logit_pair rows{teacher, teacher, inverse_temperature};
  pass_sums result;
  if (cols < float_cols) {
    kl_passes<double>{rows}.observe_teacher(result);
  } else {
    kl_passes<float>{rows}.observe_teacher(result);
  }
  return result.statistics(inverse_temperature);
}

EDGERAZOR_FUNCTION logit_statistics row_statistics(const logit_pair& rows, bool forward) noexcept {
  return observe_rows(rows, {}, forward);
}

/// 1 / T below which differences of logits are too small for float's exponents.
inline constexpr double float_inverse_temperature = 1e-3;

EDGERAZOR_FUNCTION kl_divergences kl_row(const logit_pair& rows, const logit_statistics& known,
                                         const kl_blend& blend, const output_row& out) noexcept {
  const bool is_long = std::max(rows.student.size, rows.teacher.size) >= float_cols;
  if (is_long && rows.inverse_temperature >= float_inverse_temperature) {
    if (const auto result = kl_row_in_float(rows, known, blend, out)) return *result;
  }
  // What float has seen of a long row's teacher is not enough here.
  return compare_rows(rows, observe_rows(rows, is_long ? logit_statistics{} : known, false), blend,
                      out);
}

EDGERAZOR_FUNCTION void kl_gradient(const logit_pair& rows, const logit_statistics& whole,
                                    const kl_blend& blend, const output_row& out) noexcept {
  compare_rows(rows, whole, blend, out);
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
