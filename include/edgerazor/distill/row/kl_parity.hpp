// SPDX-License-Identifier: Apache-2.0
/// The divergences as EdgeRazor (Python) computes them, clamp included. Plain loops in double: for
/// comparing, not for speed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

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

/// Both divergences with p and q clamped to p' and q', of rows of the same length, and with `out`
/// the blend's gradient in the student's logits:
///
///     KL(p||q) = sum p' (ln p' - ln q')        KL(q||p) = sum q' (ln q' - ln p')
///
///     d KL(p||q) / dq = -p'/q        d KL(q||p) / dq = q'/q (ln q' - ln p' + 1)        0 where q was clamped
///     d / ds_i = q_i (d / dq_i - sum_j q_j d / dq_j) / T
inline kl_divergences parity_kl(const logit_pair& rows, const kl_blend& blend,
                                const output_row& out) noexcept {
  const parity_softmax q{rows.student, rows.inverse_temperature},
      p{rows.teacher, rows.inverse_temperature};
  kl_divergences result;
  double sum = 0;
  // q times the slope of the blend, at one column.
  const auto slope = [&blend](double pi, double qi) noexcept {
    if (!(qi >= parity_epsilon)) return 0.0;
    const double clamped = std::max(pi, parity_epsilon);
    return blend.reverse * qi * (std::log(qi) - std::log(clamped) + 1) - blend.forward * clamped;
  };
  for (std::size_t i = 0; i < rows.student.size; ++i) {
    const double pi = p[i], qi = q[i];
    const double pc = std::max(pi, parity_epsilon), qc = std::max(qi, parity_epsilon);
    result.forward += pc * (std::log(pc) - std::log(qc));
    result.reverse += qc * (std::log(qc) - std::log(pc));
    sum += slope(pi, qi);
  }
  for (std::size_t i = 0; out && i < rows.student.size; ++i) {
    const double qi = q[i], g = (slope(p[i], qi) - qi * sum) * rows.inverse_temperature;
    out.store(i, 1, &g);
  }
  return result;
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
