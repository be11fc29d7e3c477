// SPDX-License-Identifier: Apache-2.0
/// The divergences as EdgeRazor (Python) computes them, clamp included. Plain loops in double: for
/// comparing, not for speed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/row/rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Softmax of a row: its largest logit and the sum beside it, enough to name each probability.
class parity_softmax {
 public:
  parity_softmax(const input_row& row, double inverse_temperature) noexcept
      : row_(row), inverse_temperature_(inverse_temperature), largest_(row.largest(0, row.size)) {
    for (std::size_t i = 0; i < row_.size; ++i) sum_ += exponential(i);
  }
  [[nodiscard]] double exponential(std::size_t i) const noexcept {
    return std::exp((row_[i] - static_cast<double>(largest_)) * inverse_temperature_);
  }
  [[nodiscard]] double operator[](std::size_t i) const noexcept { return exponential(i) / sum_; }

 private:
  const input_row& row_;
  double inverse_temperature_;
  float largest_;
  double sum_ = 0;
};

/// A probability clamped at 1e-8, and its logarithm.
struct parity_probability {
  double value, log;
  bool clamped;

  [[nodiscard]] static parity_probability of(double p) noexcept {
    const double value = std::max(p, parity_epsilon);
    return {value, std::log(value), !(p >= parity_epsilon)};
  }
  [[nodiscard]] static parity_probability of_log(double ln_p) noexcept {
    const double least = std::log(parity_epsilon), log = std::max(ln_p, least);
    return {std::exp(log), log, ln_p < least};
  }
};

/// Over columns i < count, of which at(i) gives q and p clamped, to q' and p': the divergences
///
///     KL(p||q) = sum p' (ln p' - ln q')        KL(q||p) = sum q' (ln q' - ln p')
///
/// and for each column slope(i, q d blend / dq, sum over columns of these), from which
///
///     d KL(p||q) / dq = -p'/q        d KL(q||p) / dq = q'/q (ln q' - ln p' + 1)        0 where q was clamped
///     d / ds_i = q_i (d / dq_i - sum_j q_j d / dq_j) / T
template <class At, class Slope>
kl_divergences parity_kl_of(std::size_t count, const kl_blend& blend, bool differentiate, At&& at,
                            Slope&& slope) noexcept {
  const auto slope_of = [&blend](const auto& q, const auto& p) noexcept {
    if (q.clamped) return 0.0;
    return blend.reverse * q.value * (q.log - p.log + 1) - blend.forward * p.value;
  };
  kl_divergences result;
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto [q, p] = at(i);
    result.forward += p.value * (p.log - q.log);
    result.reverse += q.value * (q.log - p.log);
    sum += slope_of(q, p);
  }
  for (std::size_t i = 0; differentiate && i < count; ++i) {
    const auto [q, p] = at(i);
    slope(i, slope_of(q, p), sum);
  }
  return result;
}

/// Of rows of logits of the same length; with `out`, the gradient in the student's.
inline kl_divergences parity_kl(const logit_pair& rows, const kl_blend& blend,
                                const output_row& out) noexcept {
  const parity_softmax q{rows.student, rows.inverse_temperature},
      p{rows.teacher, rows.inverse_temperature};
  return parity_kl_of(
      rows.student.size, blend, bool{out},
      [&](std::size_t i) {
        return std::pair{parity_probability::of(q[i]), parity_probability::of(p[i])};
      },
      [&](std::size_t i, double slope, double sum) {
        const double g = (slope - q[i] * sum) * rows.inverse_temperature;
        out.store(i, 1, &g);
      });
}

/// - sum p ln(p + 1e-8) with p = exponential(i) over the sum of these (EdgeRazor (Python),
/// compute_teacher_confidence).
template <class Exponential>
[[nodiscard]] double parity_entropy(std::size_t count, Exponential&& exponential) noexcept {
  double sum = 0, entropy = 0;
  for (std::size_t i = 0; i < count; ++i) sum += exponential(i);
  for (std::size_t i = 0; i < count; ++i) {
    const double p = exponential(i) / sum;
    entropy -= p * std::log(p + parity_epsilon);
  }
  return entropy;
}
[[nodiscard]] inline double parity_entropy(const input_row& teacher) noexcept {
  const parity_softmax p{teacher, 1};
  return parity_entropy(teacher.size, [&](std::size_t i) { return p.exponential(i); });
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
