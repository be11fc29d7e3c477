// SPDX-License-Identifier: Apache-2.0
/// The passes over two rows, block by block.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <type_traits>

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/pass_sums.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

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
        inverse_temperature_(rows.inverse_temperature),
        by_(loops_of(rows.by)),
        of_real_(by_.template of<Real>()) {}

  /// Adds S_t and B of the teacher's row.
  void observe_teacher(pass_sums& seen) noexcept {
    for_each_block(cols_, [&](std::size_t first, std::size_t count) {
      Real buffer[block_cols];
      const Real* values = teacher_.block(first, count, by_.lanes, buffer);
      const bool is_first = seen.teacher_reference == logit_statistics::unset;
      if (is_first) raise_teacher(seen, first, count);
      std::fill(buffer + count, buffer + pad(count), padding(seen.teacher_reference));
      const block_sums sums = sum_block(
          teacher_, first, count, is_first, seen.teacher_guarded,
          [&] { return raise_teacher(seen, first, count); },
          [&](bool guarded) {
            return of_real_.sum_teacher(values, pad(count), seen.scaling(), guarded);
          },
          [&] {
            const wide_block wide{values, count, pad(count)};
            return by_.of_doubles.sum_teacher(wide.values, pad(count), seen.scaling(), false);
          });
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
        cols_, seen,
        [&](std::size_t first, std::size_t count, const Real* student, const Real* teacher) {
          const bool is_first = seen.student_reference == logit_statistics::unset;
          const auto raise = [&] {
            if (!raise_student(seen, first, count)) return false;
            move_origin(seen, student, teacher, count);
            kept.change_reference(first, seen.student_reference);
            return true;
          };
          if (is_first) raise();
          if (first == 0) kept.change_reference(0, seen.scaling().student_reference);
          const std::size_t padded = pad(count);
          Real* to_keep = padded == count ? kept.at(first) : nullptr;
          const block_sums sums = sum_block(
              student_, first, count, is_first, guarded_, raise,
              [&](bool guarded) {
                return of_real_.sum_student(student, teacher, padded, seen.scaling(), to_keep,
                                            guarded);
              },
              [&] {
                const wide_block s{student, count, padded}, t{teacher, count, padded};
                return by_.of_doubles.sum_student(s.values, t.values, padded, seen.scaling(),
                                                  nullptr, false);
              });
          seen.student_sum += sums.sum;
          seen.student_excess += sums.weighted;
        });
  }

  /// Sets W, of a row whose other sums are complete.
  void observe_forward(pass_sums& seen) const noexcept {
    seen.teacher_excess = 0;
    for_each_pair(
        cols_, seen, [&](std::size_t, std::size_t count, const Real* student, const Real* teacher) {
          const logit_scaling by = seen.scaling();
          const double sum = of_real_.sum_forward(student, teacher, pad(count), by, false);
          seen.teacher_excess += finite_forward(sum, student, teacher, count, by);
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
    const logit_scaling by = seen.scaling();
    double total = 0;
    for_each_pair(
        student_.size, seen,
        [&](std::size_t first, std::size_t count, const Real* student, const Real* teacher) {
          Real buffer[block_cols];
          const std::size_t padded = pad(count);
          Real* const room = padded == count ? kept.at(first) : nullptr;
          const block_room kept_here{kept, room, first, by.student_reference, inverse_temperature_};
          blend_coefficients here = coefficients;
          here.slope *= kept_here.factor, here.student *= kept_here.factor;
          Real* const result = room == nullptr ? buffer : room;  // apart from both rows
          const bool guarded = guarded_ || teacher_.present_in(first, count) != count;
          const double sum = by_.blend_gradient(student, teacher, kept_here.exponentials, padded,
                                                by, here, guarded, result);
          total += finite_forward(sum, student, teacher, count, by);
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
  /// cancellation. `seen` holds the sums of both rows, all finite, none guarded.
  kl_divergences near_rows(const pass_sums& seen, const kept_exponentials<Real>& kept,
                           const kl_blend& blend, const output_row& out) const noexcept {
    const near_coefficients whole = near_scale(seen, kept, blend);
    const logit_scaling by = seen.scaling();
    kl_divergences result;
    for_each_pair(
        cols_, seen,
        [&](std::size_t first, std::size_t count, const float* student, const float* teacher) {
          float buffer[block_cols];
          float* const room = pad(count) == count ? kept.at(first) : nullptr;
          const block_room kept_here{kept, room, first, by.student_reference, inverse_temperature_};
          near_coefficients here = whole;
          here.student *= kept_here.factor;
          float* const gradient = !out ? nullptr : room == nullptr ? buffer : room;
          const kl_divergences part = by_.near_blend(student, teacher, kept_here.exponentials,
                                                     pad(count), by, here, gradient);
          result.forward += part.forward;
          result.reverse += part.reverse;
          if (gradient == buffer) out.store(first, count, buffer);
        });
    return result;
  }
  /// What near rows are seen through: S_s and c as the sums have them, or, where the rows are so
  /// near that their rounding would show, corrected by what the probabilities made with them differ
  /// by in all: with D = sum (q - p) of those, S_s and e^c are 1 + D times as large.
  [[nodiscard]] near_coefficients near_scale(const pass_sums& seen,
                                             const kept_exponentials<Real>& kept,
                                             const kl_blend& blend) const noexcept {
    const logit_scaling by = seen.scaling();
    near_coefficients whole{.teacher = 1 / seen.teacher_sum,
                            .student = 1 / seen.student_sum,
                            .log_ratio = seen.log_ratio(),
                            .mean = seen.student_excess / seen.student_sum,
                            .forward = blend.forward * inverse_temperature_,
                            .reverse = blend.reverse * inverse_temperature_};
    // About the mean square of x over the columns but the largest, twice.
    const double others = 1 - 1 / std::max(seen.student_sum, 1.0);
    if (seen.reverse_kl() > 4e-3 * others) return whole;
    near_sums sums;
    for_each_pair(
        cols_, seen,
        [&](std::size_t first, std::size_t count, const float* student, const float* teacher) {
          float* const room = pad(count) == count ? kept.at(first) : nullptr;
          const block_room kept_here{kept, room, first, by.student_reference, inverse_temperature_};
          near_coefficients here = whole;
          here.student *= kept_here.factor;
          const near_sums part =
              by_.near_difference(student, teacher, kept_here.exponentials, pad(count), by, here);
          sums.difference += part.difference;
          sums.excess += part.excess;
        });
    whole.mean = whole.log_ratio + sums.excess / (1 + sums.difference);
    whole.student /= 1 + sums.difference;
    whole.log_ratio += std::log1p(sums.difference);
    return whole;
  }

  /// The divergence of a term and `factor` times its gradient, for rows as those of near_rows, near
  /// or not. The slopes wait in the gradient's row for their sum, where they have room there.
  double term(const pass_sums& seen, const kept_exponentials<Real>& kept, const divergence_term& of,
              double factor, const output_row& out) const noexcept {
    const near_coefficients whole = near_scale(seen, kept, {});
    const logit_scaling by = seen.scaling();
    term_sums all;
    for_each_pair(
        cols_, seen,
        [&](std::size_t first, std::size_t count, const float* student, const float* teacher) {
          float* const room = pad(count) == count ? kept.at(first) : nullptr;
          const block_room kept_here{kept, room, first, by.student_reference, inverse_temperature_};
          near_coefficients here = whole;
          here.student *= kept_here.factor;
          const term_sums part = by_.near_term(of, student, teacher, kept_here.exponentials,
                                               pad(count), by, here, room);
          all.value += part.value;
          all.slope += part.slope;
        });
    if (!out) return all.value;
    const term_slopes slopes{all.slope, factor * inverse_temperature_};
    for_each_pair(
        cols_, seen,
        [&](std::size_t first, std::size_t count, const float* student, const float* teacher) {
          float buffer[block_cols];
          float* const room = pad(count) == count ? kept.at(first) : nullptr;
          float* const result = room == nullptr ? buffer : room;
          if (room == nullptr)
            by_.near_term(of, student, teacher, nullptr, pad(count), by, whole, buffer);
          by_.near_term_gradient(student, result, pad(count), by, whole.student, slopes, result);
          if (result == buffer) out.store(first, count, buffer);
        });
    return all.value;
  }

  [[nodiscard]] bool guarded() const noexcept { return guarded_; }

 private:
  static constexpr bool in_float = std::is_same_v<Real, float>;
  /// What stands behind the ends of both rows, up to a whole vector: nothing, and in floats with a
  /// difference of 0, unless the logits themselves are about as low.
  static Real padding(double reference) noexcept {
    return in_float && reference > -1e28 ? static_cast<Real>(-1e30)
                                         : -std::numeric_limits<Real>::infinity();
  }

  /// Where the exponentials of a block were kept, and what brings them to the last reference.
  struct block_room {
    const Real* exponentials;
    double factor = 1;

    block_room(const kept_exponentials<Real>& kept, const Real* room, std::size_t first,
               double reference, double inverse_temperature) noexcept
        : exponentials(room) {
      if (room == nullptr) return;
      factor = kept.factor(first, reference, inverse_temperature);
      if (factor == 0) exponentials = nullptr, factor = 1;
    }
  };

  [[nodiscard]] std::size_t pad(std::size_t count) const noexcept {
    return whole_vectors(count, by_);
  }
  /// A block of floats as doubles.
  struct wide_block {
    double values[block_cols];

    wide_block(const Real* block, std::size_t count, std::size_t padded) noexcept {
      std::copy(block, block + count, values);
      std::fill(values + count, values + padded, -1e30);
    }
  };
  /// sum(guarded or not) of a block of `row`: again where raise() finds a larger reference, and
  /// again where it is not finite, which `is_guarded` tells. A block whose largest logit has become
  /// the reference holds much of the row's sum: in it, floats are only summed in double.
  template <class Raise, class Sum, class SumWide>
  static block_sums sum_block(const input_row& row, std::size_t first, std::size_t count,
                              bool is_raised, bool& is_guarded, Raise&& raise, Sum&& sum,
                              SumWide&& sum_wide) noexcept {
    block_sums sums = sum(false);
    if (sums.largest > 1 && raise()) is_raised = true, sums = sum(false);
    if (std::isfinite(sums.weighted) && std::isfinite(sums.largest))
      return in_float && is_raised ? sum_wide() : sums;
    is_guarded = true;
    sums = sum(true);
    if (row.holds_nan(first, count)) sums.sum = std::numeric_limits<double>::quiet_NaN();
    return sums;
  }
  /// Calls visit(first, count, student, teacher) for the blocks of both rows.
  template <class Visit>
  void for_each_pair(std::size_t cols, const pass_sums& seen, Visit&& visit) const noexcept {
    for_each_block(cols, [&](std::size_t first, std::size_t count) {
      Real buffers[2][block_cols];
      const Real* student = student_.block(first, count, by_.lanes, buffers[0]);
      const Real* teacher = teacher_.block(first, count, by_.lanes, buffers[1]);
      const Real beyond =
          std::min(padding(seen.student_reference), padding(seen.teacher_reference));
      for (std::size_t i = count; i < pad(count); ++i) buffers[0][i] = buffers[1][i] = beyond;
      visit(first, count, student, teacher);
    });
  }
  /// `sum`, a block's share of W, where that is finite. Else the same in double, guarded: what
  /// float does not hold is finite in it.
  [[nodiscard]] double finite_forward(double sum, const Real* student, const Real* teacher,
                                      std::size_t count, const logit_scaling& by) const noexcept {
    if (std::isfinite(sum)) return sum;
    double wide[2][block_cols];
    std::fill(wide[0] + count, wide[0] + pad(count), -std::numeric_limits<double>::infinity());
    std::copy(student, student + count, wide[0]);
    std::fill(wide[1] + count, wide[1] + pad(count), -std::numeric_limits<double>::infinity());
    std::copy(teacher, teacher + count, wide[1]);
    return by_.of_doubles.sum_forward(wide[0], wide[1], pad(count), by, true);
  }
  /// To the block's column that the student finds most likely. Floats take s - t, which is exact
  /// where the two are near each other, and then what that column has of it, its whole part and the
  /// rest as floats hold them. Doubles hold what a float logit is beside another's: they take each
  /// row's own part first, so that nothing is lost however far apart the rows are.
  static void move_origin(pass_sums& seen, const Real* student, const Real* teacher,
                          std::size_t count) noexcept {
    const auto at = static_cast<std::size_t>(std::max_element(student, student + count) - student);
    const auto s = static_cast<double>(student[at]), t = static_cast<double>(teacher[at]);
    if constexpr (std::is_same_v<Real, double>) {
      if (std::isfinite(s) && std::isfinite(t)) {
        seen.move_origin(s, t);
      } else {
        seen.move_origin(0, 0);
      }
    } else {
      const double apart = s - t, whole = std::nearbyint(apart);
      seen.move_origin(std::fabs(apart) < 1e30
                           ? whole + static_cast<double>(static_cast<float>(apart - whole))
                           : 0,
                       0);
    }
  }
  /// Makes the block's largest logit the reference, if that is larger.
  bool raise_teacher(pass_sums& seen, std::size_t first, std::size_t count) const noexcept {
    const auto largest = static_cast<double>(teacher_.largest(first, count));
    if (!(largest > seen.teacher_reference)) return false;
    seen.move_teacher(largest);
    return true;
  }
  bool raise_student(pass_sums& seen, std::size_t first, std::size_t count) noexcept {
    const auto largest = static_cast<double>(student_.largest(first, count));
    if (!(largest > seen.student_reference)) return false;
    // Columns passed over may be infinitely far from this reference, in Real.
    guarded_ = guarded_ || (seen.student_sum != 0 &&
                            (largest - seen.student_reference) * inverse_temperature_ > 1e30);
    seen.move_student(largest);
    return true;
  }

  input_row student_, teacher_;
  std::size_t cols_;
  double inverse_temperature_;
  bool guarded_ = false;  ///< a row may hold minus infinity, or what is so far from a reference
  const loops& by_;
  const real_loops<Real>& of_real_;
};

/// Whether a row is looked at in float first.
[[nodiscard]] inline bool starts_in_float(const logit_pair& rows) noexcept {
  // 1 / T below which differences of logits are too small for float's exponents, and above which
  // what a difference of logits of about 1 loses to rounding is no small part of a nat.
  constexpr double least_inverse = 1e-3, most_inverse = 64;
  return std::max(rows.student.size, rows.teacher.size) >= float_cols &&
         rows.inverse_temperature >= least_inverse && rows.inverse_temperature <= most_inverse;
}
/// True where float is enough: a product with ln q - ln p is not mostly rounding.
[[nodiscard]] inline bool float_is_enough(const pass_sums& seen) noexcept {
  return seen.reverse_kl() < 8;
}
/// True where the difference of two rounded probabilities, or of a sum and its logarithm, would be
/// mostly rounding.
[[nodiscard]] inline bool are_near(const pass_sums& seen) noexcept {
  return seen.reverse_kl() < 0.25;
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

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
