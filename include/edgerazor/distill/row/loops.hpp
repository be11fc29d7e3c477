// SPDX-License-Identifier: Apache-2.0
/// The loops over a block of columns, of one instruction set: what a row engine is made of, and
/// how one of several is chosen. The loops stand once, as text in loops/.
///
/// A block has `count` columns, a multiple of `lanes`, where its rows end sooner continued by
/// columns that add nothing: a logit of -1e30 in both rows of floats, of minus infinity in those of
/// doubles. Any of the input may be the output's memory: a column is read before it is written.
///
/// Guarded: for blocks that hold minus infinity; others then give NaN or infinity, and are to be
/// done again guarded.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/rows.hpp>
#include <edgerazor/distill/row/term_kind.hpp>
#include <edgerazor/kernel/vector/choice.hpp>

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
  double student_excess = 0;  ///< E_s and E_t of logit_statistics
  double teacher_excess = 0;
};

/// |x| below which doubles take e^x - 1 - x from its series.
inline constexpr double small_difference = 0.4;
/// The same for floats. There the direct formulas have errors of e^2 + 1 + 2 roundings in
/// e^2 - 1 - 2, which is little more than two.
inline constexpr float near_difference = 2.0f;

struct near_sums {
  double difference = 0;  ///< sum (q - p)
  double excess = 0;      ///< sum q x
};

/// What the last pass over two near rows is given: 1 / S_t, 1 / S_s, c, and the gradient
/// reverse * q (u - mean) + forward * (q - p).
struct near_coefficients {
  double teacher = 0;
  double student = 0;
  double log_ratio = 0;
  double mean = 0;
  double forward = 0;
  double reverse = 0;
};

/// The references of a pair of rows, and the sums seen through them: S_s, S_t and ln(S_s / S_t).
struct pair_scale {
  logit_scaling by;
  double student_sum = 1, teacher_sum = 1, log_ratio = 0;

  pair_scale(const logit_scaling& scaling) noexcept : by(scaling) {}
  explicit pair_scale(const logit_statistics& seen) noexcept
      : by{seen.inverse_temperature, set(seen.student_reference), set(seen.teacher_reference)},
        student_sum(seen.student_sum),
        teacher_sum(seen.teacher_sum),
        log_ratio(seen.log_ratio()) {}

 private:
  static double set(double reference) noexcept {
    return reference == logit_statistics::unset ? 0 : reference;
  }
};

/// A gradient in double: reverse * q (u - mean) + forward * (q - p), u seen from this origin.
struct pair_slopes {
  double student_origin = 0, teacher_origin = 0;
  double mean = 0;  ///< sum of q u
  double forward = 0;
  double reverse = 0;
};

/// (slope - q * slopes) * factor of a term's slope.
struct term_slopes {
  double slopes = 0;
  double factor = 0;
};

/// In vectors of Real.
template <class Real>
struct real_loops {
  block_sums (*sum_teacher)(const Real* teacher, std::size_t count, const logit_scaling& by,
                            bool guarded) noexcept;
  /// Where `kept` isn't null, e^a of every column goes there.
  block_sums (*sum_student)(const Real* student, const Real* teacher, std::size_t count,
                            const logit_scaling& by, Real* kept, bool guarded) noexcept;
  /// sum e^b (b - a): the forward divergence's share that no gradient needs.
  double (*sum_forward)(const Real* student, const Real* teacher, std::size_t count,
                        const logit_scaling& by, bool guarded) noexcept;
  /// result = e^(x - reference) * scale - shift.
  void (*softmax)(const Real* logits, std::size_t count, double reference, double scale,
                  double shift, Real* result) noexcept;
  /// sum e^(x - reference).
  double (*sum_exponentials)(const Real* logits, std::size_t count, double reference) noexcept;
};

/// One instruction set's functions.
struct loops {
  std::string_view name;
  bool (*supported)() noexcept;
  std::size_t lanes;  ///< floats a vector

  real_loops<float> of_floats;
  real_loops<double> of_doubles;

  /// Writes `count` gradients and returns sum e^b (b - a). `kept`, what sum_student left there, may
  /// be null.
  double (*blend_gradient)(const float* student, const float* teacher, const float* kept,
                           std::size_t count, const logit_scaling& by,
                           const blend_coefficients& blend, bool guarded, float* gradient) noexcept;
  /// The sums of near rows, by the coefficients of their probabilities. with.student is that of
  /// `kept`.
  near_sums (*near_difference)(const float* student, const float* teacher, const float* kept,
                               std::size_t count, const logit_scaling& by,
                               const near_coefficients& with) noexcept;
  /// Shares of both divergences, and the gradient unless that is null. with.student is that of
  /// `kept`.
  kl_divergences (*near_blend)(const float* student, const float* teacher, const float* kept,
                               std::size_t count, const logit_scaling& by,
                               const near_coefficients& with, float* gradient) noexcept;

  /// The same of a term of two distributions and no kl_blend: its sums, and each column's slope / q
  /// unless `ratios` is null. All slopes are less one number, the same for all columns.
  term_sums (*near_term)(const divergence_term& term, const float* student, const float* teacher,
                         const float* kept, std::size_t count, const logit_scaling& by,
                         const near_coefficients& with, float* ratios) noexcept;
  /// q (ratio - all.slopes) all.factor, q = e^a * student_scale.
  void (*near_term_gradient)(const float* student, const float* ratios, std::size_t count,
                             const logit_scaling& by, double student_scale, const term_slopes& all,
                             float* gradient) noexcept;

  // In double, of columns that may be impossible, near or not.
  difference_sums (*compare)(const double* student, const double* teacher, std::size_t count,
                             const pair_scale& scale) noexcept;
  /// Shares of both divergences, and the gradient unless that is null.
  kl_divergences (*compare_blend)(const double* student, const double* teacher, std::size_t count,
                                  const pair_scale& scale, const pair_slopes& slopes,
                                  double* gradient) noexcept;
  term_sums (*sum_term)(const divergence_term& term, const double* student, const double* teacher,
                        std::size_t count, const pair_scale& scale) noexcept;
  /// (slope - q * all.slopes) * all.factor.
  void (*term_gradient)(const divergence_term& term, const double* student, const double* teacher,
                        std::size_t count, const pair_scale& scale, const term_slopes& all,
                        double* gradient) noexcept;

  // Features.
  double (*dot)(const double* x, const double* y, std::size_t count) noexcept;
  /// sum (x - ratio y)^2: a ratio of 1 leaves nothing of equal rows.
  double (*squared_distance)(const double* x, const double* y, std::size_t count,
                             double ratio) noexcept;
  /// result = factor * (a x - b y)
  void (*scaled_difference)(const double* x, const double* y, std::size_t count, double a, double b,
                            double factor, double* result) noexcept;
  /// to += factor * x
  void (*add_multiple)(double factor, const double* x, std::size_t count, double* to) noexcept;
  /// Of any size.
  float (*float_dot)(const float* a, const float* b, std::size_t size) noexcept;
  void (*float_add_multiple)(float factor, const float* from, std::size_t size, float* to) noexcept;

  // Distributions over positions, given by probabilities or by their logarithms.
  double (*entropy)(const double* p, std::size_t count) noexcept;
  /// Both divergences and, unless null, the slopes of the blend in q. A probability below 0 is NaN;
  /// with epsilon > 0, one below that is epsilon.
  kl_divergences (*compare_probabilities)(const double* q, const double* p, std::size_t count,
                                          const kl_blend& blend, double epsilon,
                                          double* slopes) noexcept;
  double (*logarithm_entropy)(const double* ln_p, std::size_t count) noexcept;
  kl_divergences (*compare_logarithms)(const double* ln_q, const double* ln_p,
                                       std::size_t count) noexcept;
  /// forward * (q - p) + reverse * q (ln q - ln p - KL(q||p))
  void (*logarithm_slopes)(const double* ln_q, const double* ln_p, std::size_t count,
                           const kl_blend& blend, double reverse_kl, double* slopes) noexcept;

  template <class Real>
  [[nodiscard]] const real_loops<Real>& of() const noexcept {
    if constexpr (std::is_same_v<Real, float>)
      return of_floats;
    else
      return of_doubles;
  }
};

/// Those that this processor can run, fastest first; never empty. The processor is asked once.
[[nodiscard]] EDGERAZOR_FUNCTION std::span<const loops* const> available_loops() noexcept;
[[nodiscard]] inline const loops& best_loops() noexcept { return *available_loops().front(); }
/// `count` columns, and those that complete their last vector.
[[nodiscard]] inline std::size_t whole_vectors(std::size_t count, const loops& by) noexcept {
  return (count + by.lanes - 1) & ~(by.lanes - 1);
}
/// The ones that a caller named, or the fastest.
[[nodiscard]] inline const loops& loops_of(const loops* chosen) noexcept {
  return chosen ? *chosen : best_loops();
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/loops_impl.hpp>
#endif
