// SPDX-License-Identifier: Apache-2.0
/// The loops of outcomes.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/outcomes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Logits of at most block_cols outcomes.
struct outcome_pair::block {
  const outcome_pair& of;
  double student[block_cols], teacher[block_cols];
  std::size_t size = 0;

  explicit block(const outcome_pair& outcomes) noexcept : of(outcomes) {}
  void add(std::size_t outcome) noexcept {
    student[size] = of.student_logit(outcome);
    teacher[size++] = of.teacher_.logit(outcome);
  }
  /// Behind the last outcome stand impossible ones, up to a whole vector; their number is returned.
  std::size_t complete(const loops& by) noexcept {
    const std::size_t whole = whole_vectors(size, by);
    for (std::size_t i = size; i < whole; ++i) student[i] = teacher[i] = log_of_zero;
    return whole;
  }
};

EDGERAZOR_FUNCTION outcome_pair::outcome_pair(const input_row& student,
                                              const teacher_outcomes& teacher,
                                              double inverse_temperature) noexcept
    : student_(student), teacher_(teacher), inverse_temperature_(inverse_temperature) {
  if (teacher.has_tail() && !teacher.empty()) sum_student_tail();
  const auto of_student = [this](std::size_t i) { return student_logit(i); };
  const auto of_teacher = [this](std::size_t i) { return teacher_.logit(i); };
  const std::size_t count = teacher.size();
  seen_.inverse_temperature = inverse_temperature;
  seen_.student_reference = outcome_reference(count, of_student);
  seen_.teacher_reference = outcome_reference(count, of_teacher);
  const double apart = seen_.student_reference - seen_.teacher_reference;
  for (std::size_t i = 0; i < count; ++i) {
    const double s = of_student(i), t = of_teacher(i);
    const double q = std::exp((s - seen_.student_reference) * inverse_temperature),
                 p = std::exp((t - seen_.teacher_reference) * inverse_temperature);
    const double of_s = s - seen_.student_reference, of_t = t - seen_.teacher_reference;
    const double u = (std::fabs(s - t) <= 0.5 * std::fabs(t) ? s - t - apart : of_s - of_t) *
                     inverse_temperature;
    seen_.student_sum += q;
    seen_.teacher_sum += p;
    seen_.difference += std::fabs(u) < 0.5 ? p * std::expm1(u) : q - p;
  }
}

EDGERAZOR_FUNCTION term_sums outcome_pair::sum(const divergence_term& term) const noexcept {
  term_sums sums;
  if (teacher_.empty()) return sums;
  const loops& by = best_loops();
  for_each_block(teacher_.size(), [&](std::size_t first, std::size_t count) {
    block here{*this};
    for (std::size_t i = 0; i < count; ++i) here.add(first + i);
    const term_sums part =
        by.sum_term(term, here.student, here.teacher, here.complete(by), pair_scale{seen_});
    sums.value += part.value;
    sums.slope += part.slope;
  });
  return sums;
}

EDGERAZOR_FUNCTION void outcome_pair::gradient(const divergence_term& term, double slopes,
                                               double factor,
                                               const output_row& out) const noexcept {
  const loops& by = best_loops();
  const term_slopes all{.slopes = slopes, .factor = factor * inverse_temperature_};
  const auto differentiate = [&](block& outcomes, double* gradient) noexcept {
    by.term_gradient(term, outcomes.student, outcomes.teacher, outcomes.complete(by),
                     pair_scale{seen_}, all, gradient);
  };
  double of_tail = 0;
  if (tail_ != log_of_zero) {
    double gradient[block_cols];
    block tail{*this};
    tail.add(teacher_.ids().size());
    differentiate(tail, gradient);
    of_tail = gradient[0];
  }
  for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
    double values[block_cols], result[block_cols] = {}, gradient[block_cols];
    block known{*this};
    std::array<std::size_t, block_cols> columns;
    for_each_known(first, count, [&](std::size_t i, std::size_t column) noexcept {
      columns[known.size] = column;
      known.add(i);
    });
    if (tail_ != log_of_zero) {
      tail_columns(first, count, values);
      by.of_doubles.softmax(values, whole_vectors(count, by), base_, of_tail / tail_sum_, 0,
                            result);
    }
    if (known.size > 0) differentiate(known, gradient);
    for (std::size_t i = 0; i < known.size; ++i) result[columns[i]] = gradient[i];
    out.store(first, count, result);
  });
}

EDGERAZOR_FUNCTION void outcome_pair::tail_columns(std::size_t first, std::size_t count,
                                                   double* values) const noexcept {
  // Rows are not of double: always copied.
  static_cast<void>(student_.block(first, count, best_loops().lanes, values));
  for_each_known(first, count, [values](std::size_t, std::size_t column) noexcept {
    values[column] = log_of_zero;
  });
}

EDGERAZOR_FUNCTION void outcome_pair::sum_student_tail() noexcept {
  const loops& by = best_loops();
  double reference = log_of_zero, sum = 0;
  for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
    double values[block_cols];
    tail_columns(first, count, values);
    const std::size_t whole = whole_vectors(count, by);
    double largest = log_of_zero;
    for (std::size_t i = 0; i < whole; ++i) largest = std::max(largest, values[i]);
    if (largest > reference) sum *= std::exp(reference - largest), reference = largest;
    const double from = reference == log_of_zero ? 0 : reference;
    sum += by.of_doubles.sum_exponentials(values, whole, from);
  });
  base_ = reference == log_of_zero ? 0 : reference;
  tail_sum_ = sum;
  tail_ = std::log(sum);
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
