// SPDX-License-Identifier: Apache-2.0
/// One token's two rows of logits: their statistics, and the gradient of any blend of the two
/// divergences.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/distill/logit_blocks.hpp>
#include <edgerazor/distill/logit_differences.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/logit_sums.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// coefficient_forward * KL(p||q) + coefficient_reverse * KL(q||p), what a gradient is taken of.
struct kl_blend {
  double forward = 0;
  double reverse = 0;
};

/// e^a of a row's columns, where a first pass left them for the second, with the references they
/// were made with.
template <class Real>
class kept_powers {
 public:
  kept_powers() = default;
  explicit kept_powers(Real* data) noexcept : data_(data) {}

  [[nodiscard]] Real* at(std::size_t column) const noexcept {
    return data_ == nullptr ? nullptr : data_ + column;
  }
  /// From `column` on the reference is another. Few rows raise theirs as often as there is room to
  /// remember; what was kept before is then given up.
  void begin_stretch(std::size_t column, double reference) noexcept {
    if (count_ == stretches_.size()) count_ = 0;
    stretches_[count_++] = {column, reference};
  }
  /// e^a of `column` seen through `reference`, over what is kept; 0 if it isn't.
  [[nodiscard]] double factor(std::size_t column, double reference,
                              double inverse_temperature) const noexcept {
    std::size_t last = count_;
    while (last > 0 && stretches_[last - 1].column > column) --last;
    return last == 0 ? 0
                     : std::exp((stretches_[last - 1].reference - reference) * inverse_temperature);
  }

 private:
  struct stretch {
    std::size_t column;
    double reference;
  };
  Real* data_ = nullptr;
  std::array<stretch, 16> stretches_{};
  std::size_t count_ = 0;
};

/// Works in vectors of Real. A block with a logit well above the reference is done again with that
/// as reference, so that the largest powers, which matter, are of small exponents, which are exact.
/// A block whose sums are not finite is done again with 0 * infinity = 0: ordinary blocks are
/// passed over once, and tested for nothing.
template <class Real, class Arch, real_element S, real_element T>
class logit_pair {
 public:
  /// `observed`: this object will see both rows before it makes their gradient, and so learn
  /// whether they hold minus infinity; else it must expect some.
  logit_pair(logit_row<S> student, logit_row<T> teacher, double inverse_temperature,
             bool observed = true) noexcept
      : student_(student),
        teacher_(teacher),
        cols_(std::max(student.size, teacher.size)),
        inverse_temperature_(inverse_temperature),
        guarded_(!observed) {}

  /// Adds S_t and B of the teacher's row.
  void observe_teacher(logit_statistics& to) noexcept {
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      Real buffer[logit_block];
      const Real* values = teacher_.template block<Real, lanes>(first, count, buffer);
      if (to.teacher_reference == logit_statistics::unset) raise_teacher(to, first, count);
      const std::size_t padded = pad(count);
      teacher_sums sums = sum_teacher<false, Real, Arch>(values, padded, scaling(to));
      if (sums.largest > 1 && raise_teacher(to, first, count)) {
        sums = sum_teacher<false, Real, Arch>(values, padded, scaling(to));
      }
      if (!std::isfinite(sums.weighted) || !std::isfinite(sums.largest)) {
        guarded_ = to.teacher_guarded = true;
        sums = sum_teacher<true, Real, Arch>(values, padded, scaling(to));
        if (teacher_.holds_nan(first, count)) sums.sum = nan;
      }
      to.teacher_sum += sums.sum;
      to.teacher_weighted += sums.weighted;
    });
  }

  /// For a row whose teacher was seen through another object. An infinite logit shows in no sum of
  /// its own: a teacher with probabilities of 0 must be taken to have some.
  void expect_infinities(const logit_statistics& seen) noexcept {
    guarded_ = guarded_ || seen.teacher_guarded;
  }

  /// Adds S_s and U, and keeps e^a of every column where there is room.
  void observe_student(logit_statistics& to, kept_powers<Real>& kept) noexcept {
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      Real buffers[2][logit_block];
      const Real* student = student_.template block<Real, lanes>(first, count, buffers[0]);
      const Real* teacher = teacher_.template block<Real, lanes>(first, count, buffers[1]);
      if (to.student_reference == logit_statistics::unset) raise_student(to, first, count);
      if (first == 0) kept.begin_stretch(0, scaling(to).student_reference);
      const std::size_t padded = pad(count);
      Real* to_keep = padded == count ? kept.at(first) : nullptr;
      student_sums sums =
          sum_student<false, Real, Arch>(student, teacher, padded, scaling(to), to_keep);
      if (sums.largest > 1 && raise_student(to, first, count)) {
        kept.begin_stretch(first, to.student_reference);
        sums = sum_student<false, Real, Arch>(student, teacher, padded, scaling(to), to_keep);
      }
      if (!std::isfinite(sums.excess) || !std::isfinite(sums.largest)) {
        guarded_ = true;
        sums = sum_student<true, Real, Arch>(student, teacher, padded, scaling(to), to_keep);
        if (student_.holds_nan(first, count)) sums.sum = nan;
      }
      to.student_sum += sums.sum;
      to.student_excess += sums.excess;
    });
  }

  /// Sets W, of a row whose other sums are complete.
  void observe_forward(logit_statistics& to) const noexcept {
    to.teacher_excess = 0;
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      Real buffers[2][logit_block];
      const Real* student = student_.template block<Real, lanes>(first, count, buffers[0]);
      const Real* teacher = teacher_.template block<Real, lanes>(first, count, buffers[1]);
      double sum = sum_forward<false, Real, Arch>(student, teacher, pad(count), scaling(to));
      if (!std::isfinite(sum))
        sum = sum_forward<true, Real, Arch>(student, teacher, pad(count), scaling(to));
      to.teacher_excess += sum;
    });
  }

  /// Gradient of the blend with respect to the student's logits; sets W on the way. `of` holds
  /// everything but W. The reverse part of a row whose KL(q||p) is infinite has no direction and is
  /// left out.
  template <real_element G>
  void gradient(logit_statistics& of, const kept_powers<Real>& kept, const kl_blend& blend,
                bool accumulate, G* out) const noexcept {
    const double mean_excess = of.student_excess / of.student_sum;  // sum of q (a - b)
    const double reverse = std::isinf(mean_excess) ? 0 : blend.reverse * inverse_temperature_;
    const double forward = blend.forward * inverse_temperature_;
    // d KL(q||p) / ds = q ((a - b) - sum of q (a - b)) / T        d KL(p||q) / ds = (q - p) / T
    const blend_coefficients coefficients{
        .slope = reverse / of.student_sum,
        .student = (forward - (reverse == 0 ? 0 : reverse * mean_excess)) / of.student_sum,
        .teacher = forward / of.teacher_sum};
    const logit_scaling by = scaling(of);
    double total = 0;
    for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
      Real buffers[3][logit_block];
      const Real* student = student_.template block<Real, lanes>(first, count, buffers[0]);
      const Real* teacher = teacher_.template block<Real, lanes>(first, count, buffers[1]);
      const std::size_t padded = pad(count);
      const Real* powers = padded == count ? kept.at(first) : nullptr;
      blend_coefficients here = coefficients;
      if (powers != nullptr) {
        const double factor = kept.factor(first, by.student_reference, inverse_temperature_);
        if (factor == 0) powers = nullptr;
        if (factor != 0) here.slope *= factor, here.student *= factor;
      }
      Real* result = buffers[2];
      if constexpr (std::is_same_v<G, Real>) {
        if (!accumulate && padded == count) result = out + first;
      }
      if (guarded_ || padded != count || teacher_.present_in(first, count) != count) {
        total +=
            blend_gradient<true, Real, Arch>(student, teacher, powers, padded, by, here, result);
      } else {
        total +=
            blend_gradient<false, Real, Arch>(student, teacher, powers, padded, by, here, result);
      }
      if (result != buffers[2]) return;
      for (std::size_t i = 0; i < count; ++i) {
        const float g = static_cast<float>(result[i]);
        out[first + i] = G{accumulate ? static_cast<float>(out[first + i]) + g : g};
      }
    });
    if (teacher_.size > student_.size) {
      for (std::size_t i = student_.size; i < teacher_.size; ++i) {
        if (teacher_.data[i] > -std::numeric_limits<float>::infinity()) {
          total = std::numeric_limits<double>::infinity();  // mass where the student has none
          break;
        }
      }
    }
    of.teacher_excess = total;
  }

  /// For rows in float whose divergences are small: both of them and the gradient, without
  /// cancellation. `of` holds the sums of both rows, none of them infinite.
  template <real_element G>
  close_divergences close(logit_statistics& of, const kl_blend& blend, bool accumulate,
                          G* out) const noexcept
    requires std::is_same_v<Real, float>
  {
    const logit_scaling by = scaling(of);
    difference_sums differences;
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      float buffers[2][logit_block];
      const auto [student, teacher] = padded_blocks(first, count, buffers);
      const difference_sums sums = sum_differences<Arch>(student, teacher, pad(count), by);
      differences.sum += sums.sum;
      differences.excess += sums.excess;
    });
    of.student_sum = of.teacher_sum + differences.sum;
    of.student_excess = differences.excess;
    const close_coefficients with{.teacher = 1 / of.teacher_sum,
                                  .student = 1 / of.student_sum,
                                  .log_ratio = std::log1p(differences.sum / of.teacher_sum),
                                  .mean = of.student_excess / of.student_sum,
                                  .forward = blend.forward * inverse_temperature_,
                                  .reverse = blend.reverse * inverse_temperature_};
    close_divergences result;
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      float buffers[2][logit_block], gradient[logit_block];
      const auto [student, teacher] = padded_blocks(first, count, buffers);
      const close_divergences part = compare_close<Arch>(student, teacher, pad(count), by, with,
                                                         out == nullptr ? nullptr : gradient);
      result.forward += part.forward;
      result.reverse += part.reverse;
      if (out == nullptr) return;
      for (std::size_t i = 0; i < count; ++i) {
        out[first + i] =
            G{accumulate ? static_cast<float>(out[first + i]) + gradient[i] : gradient[i]};
      }
    });
    return result;
  }

  [[nodiscard]] bool guarded() const noexcept { return guarded_; }

 private:
  static constexpr std::size_t lanes = xsimd::batch<Real, Arch>::size;
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

  [[nodiscard]] static constexpr std::size_t pad(std::size_t count) noexcept {
    return (count + lanes - 1) / lanes * lanes;
  }
  struct block_pair {
    const float *student, *teacher;
  };
  /// Two blocks continued to whole vectors by columns that are impossible in both, yet have a
  /// finite difference.
  block_pair padded_blocks(std::size_t first, std::size_t count,
                           float (&buffers)[2][logit_block]) const noexcept {
    block_pair blocks{student_.template block<float, lanes>(first, count, buffers[0]),
                      teacher_.template block<float, lanes>(first, count, buffers[1])};
    for (std::size_t i = count; i < pad(count); ++i) buffers[0][i] = buffers[1][i] = -1e30f;
    return blocks;
  }
  [[nodiscard]] logit_scaling scaling(const logit_statistics& of) const noexcept {
    return {inverse_temperature_,
            of.student_reference == logit_statistics::unset ? 0 : of.student_reference,
            of.teacher_reference == logit_statistics::unset ? 0 : of.teacher_reference};
  }
  /// Makes the block's largest logit the reference, if that is larger.
  bool raise_teacher(logit_statistics& of, std::size_t first, std::size_t count) const noexcept {
    const double reference = static_cast<double>(teacher_.largest(first, count));
    if (!(reference > of.teacher_reference)) return false;
    of.move_references(of.student_reference, reference, inverse_temperature_);
    return true;
  }
  bool raise_student(logit_statistics& of, std::size_t first, std::size_t count) const noexcept {
    const double reference = static_cast<double>(student_.largest(first, count));
    if (!(reference > of.student_reference)) return false;
    of.move_references(reference, of.teacher_reference, inverse_temperature_);
    return true;
  }

  logit_row<S> student_;
  logit_row<T> teacher_;
  std::size_t cols_;
  double inverse_temperature_;
  bool guarded_;
};

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
