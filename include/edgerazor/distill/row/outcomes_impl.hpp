// SPDX-License-Identifier: Apache-2.0
/// The loops of outcomes.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include <edgerazor/distill/row/outcomes.hpp>
#include <edgerazor/distill/row/terms_impl.hpp>

EDGERAZOR_BEGIN_INTRINSICS
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
  /// visit(first, pair) for each vector. Behind the last outcome stand impossible ones.
  template <class Visit>
  void for_each(Visit&& visit) noexcept {
    for (std::size_t i = size; i % doubles::size != 0; ++i) student[i] = teacher[i] = log_of_zero;
    const pair_scale scale{of.seen_};
    for (std::size_t i = 0; i < size; i += doubles::size)
      visit(i, probability_pair{student + i, teacher + i, scale});
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
  if (teacher_.empty()) return {};
  return with_term(term, [&](const auto& of) noexcept {
    column_terms sum;
    for_each_block(teacher_.size(), [&](std::size_t first, std::size_t count) {
      block here{*this};
      for (std::size_t i = 0; i < count; ++i) here.add(first + i);
      here.for_each([&](std::size_t, const probability_pair& x) { sum.add(of(x)); });
    });
    return sum.total();
  });
}

EDGERAZOR_FUNCTION void outcome_pair::gradient(const divergence_term& term, double slopes,
                                               double factor,
                                               const output_row& out) const noexcept {
  with_term(term, [&](const auto& of) noexcept {
    // write(i, gradient) of the outcomes of a block.
    const auto differentiate = [&](block& outcomes, auto&& write) {
      outcomes.for_each([&](std::size_t i, const probability_pair& x) {
        double lanes[doubles::size];
        ((of(x).slope - x.q * doubles{slopes}) * doubles{factor * inverse_temperature_})
            .store_unaligned(lanes);
        for (std::size_t j = 0; j < std::min(outcomes.size - i, doubles::size); ++j)
          write(i + j, lanes[j]);
      });
    };
    double of_tail = 0;
    if (tail_ != log_of_zero) {
      block tail{*this};
      tail.add(teacher_.ids().size());
      differentiate(tail, [&](std::size_t, double g) { of_tail = g; });
    }
    for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
      double values[block_cols], result[block_cols] = {};
      block known{*this};
      std::array<std::size_t, block_cols> columns;
      for_each_known(first, count, [&](std::size_t i, std::size_t column) noexcept {
        columns[known.size] = column;
        known.add(i);
      });
      if (tail_ != log_of_zero) {
        tail_columns(first, count, values);
        for (std::size_t i = 0; i < count; i += doubles::size) {
          const doubles share = row::exp(doubles::load_unaligned(values + i) - doubles{base_});
          (share * doubles{of_tail / tail_sum_}).store_unaligned(result + i);
        }
      }
      differentiate(known, [&](std::size_t i, double g) { result[columns[i]] = g; });
      out.store(first, count, result);
    });
  });
}

EDGERAZOR_FUNCTION void outcome_pair::tail_columns(std::size_t first, std::size_t count,
                                                   double* values) const noexcept {
  // Rows are not of double: always copied.
  static_cast<void>(student_.block(first, count, doubles::size, values));
  for_each_known(first, count, [values](std::size_t, std::size_t column) noexcept {
    values[column] = log_of_zero;
  });
}

EDGERAZOR_FUNCTION void outcome_pair::sum_student_tail() noexcept {
  double reference = log_of_zero, sum = 0;
  for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
    double values[block_cols];
    tail_columns(first, count, values);
    doubles maxima{log_of_zero}, sums{0.0};
    for (std::size_t i = 0; i < count; i += doubles::size) {
      maxima = xsimd::max(maxima, doubles::load_unaligned(values + i));
    }
    const double largest = xsimd::reduce_max(maxima);
    if (largest > reference) sum *= std::exp(reference - largest), reference = largest;
    const doubles from{reference == log_of_zero ? 0 : reference};
    for (std::size_t i = 0; i < count; i += doubles::size) {
      sums += row::exp(doubles::load_unaligned(values + i) - from);
    }
    sum += xsimd::reduce_add(sums);
  });
  base_ = reference == log_of_zero ? 0 : reference;
  tail_sum_ = sum;
  tail_ = std::log(sum);
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
