// SPDX-License-Identifier: Apache-2.0
/// One token whose teacher names some tokens only: both distributions over the outcomes that are
/// known, any divergence of them, and its gradient in all of the student's logits.
///
/// Outcomes 0 to k - 1 are the entries of the teacher's row; entries that are not in use have
/// probability 0. Outcome k, if there is one, is the tail: all other columns of the student.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <edgerazor/distill/row/rows.hpp>
#include <edgerazor/distill/row/terms.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

inline constexpr double log_of_zero = -std::numeric_limits<double>::infinity();

/// The largest of logit(i), i < count; 0 if all are impossible. A NaN is passed over.
template <class Logit>
[[nodiscard]] double outcome_reference(std::size_t count, Logit&& logit) noexcept {
  double largest = log_of_zero;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, logit(i));
  return largest == log_of_zero ? 0 : largest;
}

/// ln sum e^(logit(i)) over i < count. The largest exponential is 1 and stays out of the sum of the
/// others, which thereby keep their digits however small they are.
template <class Logit>
[[nodiscard]] double outcome_log_sum(std::size_t count, Logit&& logit) noexcept {
  double largest = log_of_zero, others = 0;
  std::size_t at = count;
  for (std::size_t i = 0; i < count; ++i) {
    if (const double x = logit(i); x > largest) largest = x, at = i;
  }
  const double reference = at == count ? 0 : largest;
  for (std::size_t i = 0; i < count; ++i) {
    if (i != at) others += std::exp(logit(i) - reference);
  }
  return at == count ? std::log(others) : largest + std::log1p(others);
}

/// ln(1 - e^x); minus infinity where e^x is 1 or more.
[[nodiscard]] inline double log_of_rest(double x) noexcept {
  if (x >= 0) return log_of_zero;
  return x > -0.5 ? std::log(-std::expm1(x)) : std::log1p(-std::exp(x));
}

/// The teacher's entries of one token, and its tail.
class teacher_outcomes {
 public:
  /// The tail is an outcome if `bucket` is set and one of the student's `cols` columns is in no
  /// entry.
  teacher_outcomes(std::span<const std::int32_t> ids, const float* log_probabilities,
                   std::size_t cols, bool bucket, double tail_floor) noexcept
      : ids_(ids), log_probabilities_(log_probabilities) {
    const auto used =
        std::count_if(ids.begin(), ids.end(), [](std::int32_t id) { return id >= 0; });
    empty_ = used == 0;
    has_tail_ = bucket && static_cast<std::size_t>(used) < cols;
    if (!has_tail_) return;
    const double rest = log_of_rest(log_sum()), floor = std::log(tail_floor);
    tail_ = rest < floor ? floor : rest;
  }

  [[nodiscard]] std::span<const std::int32_t> ids() const noexcept { return ids_; }
  /// No entry is in use: whatever the student says, it doesn't diverge.
  [[nodiscard]] bool empty() const noexcept { return empty_; }
  [[nodiscard]] bool has_tail() const noexcept { return has_tail_; }
  [[nodiscard]] std::size_t size() const noexcept { return ids_.size() + (has_tail_ ? 1 : 0); }
  /// ln p, up to a constant.
  [[nodiscard]] double logit(std::size_t i) const noexcept {
    if (i == ids_.size()) return tail_;
    return ids_[i] < 0 ? log_of_zero : static_cast<double>(log_probabilities_[i]);
  }
  [[nodiscard]] double log_sum() const noexcept {
    return outcome_log_sum(size(), [this](std::size_t i) { return logit(i); });
  }
  /// H(p) in nats, at temperature 1; 0 if nothing is known.
  [[nodiscard]] double entropy() const noexcept {
    const double whole = log_sum();
    double sum = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      if (logit(i) != log_of_zero) sum -= std::exp(logit(i) - whole) * (logit(i) - whole);
    }
    return not_negative(sum);
  }

 private:
  std::span<const std::int32_t> ids_;
  const float* log_probabilities_;
  bool empty_ = true;
  bool has_tail_ = false;
  double tail_ = log_of_zero;
};

/// Student and teacher over the same outcomes, at one temperature. Ids are columns of the student
/// and distinct.
class outcome_pair {
 public:
  EDGERAZOR_FUNCTION outcome_pair(const input_row& student, const teacher_outcomes& teacher,
                                  double inverse_temperature) noexcept;

  [[nodiscard]] EDGERAZOR_FUNCTION term_sums sum(const divergence_term& term) const noexcept;

  /// Of an entry's column: (slope - q * sum of slopes) * factor / T. Columns of the tail share what
  /// that is of the tail in proportion to e^s; others get 0. `out` may be the student's row.
  EDGERAZOR_FUNCTION void gradient(const divergence_term& term, double slopes, double factor,
                                   const output_row& out) const noexcept;

 private:
  struct block;

  /// Less base_.
  [[nodiscard]] double student_logit(std::size_t i) const noexcept {
    const auto ids = teacher_.ids();
    if (i == ids.size()) return tail_;
    return ids[i] < 0 ? log_of_zero : student_[static_cast<std::size_t>(ids[i])] - base_;
  }
  /// Calls visit(entry, column - first) for the entries of columns [first, first + count).
  template <class Visit>
  void for_each_known(std::size_t first, std::size_t count, Visit&& visit) const noexcept {
    const auto ids = teacher_.ids();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      // A negative id, and a column before `first`, wrap around to more than any count.
      if (const std::size_t column = static_cast<std::size_t>(ids[i]) - first; column < count)
        visit(i, column);
    }
  }
  /// Logits of columns [first, first + count), minus infinity where an entry has the column.
  EDGERAZOR_FUNCTION void tail_columns(std::size_t first, std::size_t count,
                                       double* values) const noexcept;
  /// Sets base_, tail_sum_ and tail_. The tail is summed, as 1 minus the others would leave nothing
  /// of a small one.
  EDGERAZOR_FUNCTION void sum_student_tail() noexcept;

  input_row student_;
  teacher_outcomes teacher_;
  double inverse_temperature_;
  /// The tail's largest logit, its sum of e^(s - base) and the logarithm of that. All of the
  /// student's logits are seen from the base, beside which the logarithm would be lost.
  double base_ = 0, tail_sum_ = 0, tail_ = log_of_zero;
  /// What both distributions are seen through.
  logit_statistics seen_;
};

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/distill/row/outcomes_impl.hpp>
#endif
