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
  double student[block_cols], teacher[block_cols];
  std::size_t size = 0;

  void add(double of_student, double of_teacher) noexcept {
    student[size] = of_student;
    teacher[size++] = of_teacher;
  }
  /// Impossible outcomes up to a whole vector.
  void fill_vector() noexcept {
    for (std::size_t i = size; i % doubles::size != 0; ++i) student[i] = teacher[i] = log_of_zero;
  }
  [[nodiscard]] probability_pair at(std::size_t i, const outcome_pair& of) const noexcept {
    const doubles scale{of.inverse_temperature_};
    probability_pair x;
    x.log_q = doubles::load_unaligned(student + i) * scale - doubles{of.student_log_sum_};
    x.log_p = doubles::load_unaligned(teacher + i) * scale - doubles{of.teacher_log_sum_};
    x.q = row::exp(x.log_q);
    x.p = row::exp(x.log_p);
    return x;
  }
};

EDGERAZOR_FUNCTION outcome_pair::outcome_pair(const input_row& student,
                                              const teacher_outcomes& teacher,
                                              double inverse_temperature) noexcept
    : student_(student), teacher_(teacher), inverse_temperature_(inverse_temperature) {
  if (teacher.has_tail() && !teacher.empty()) tail_ = student_tail();
  teacher_log_sum_ = teacher.log_sum(inverse_temperature);
  student_log_sum_ = outcome_log_sum(teacher.size(), inverse_temperature,
                                     [this](std::size_t i) { return student_logit(i); });
}

EDGERAZOR_FUNCTION term_sums outcome_pair::sum(const divergence_term& term) const noexcept {
  if (teacher_.empty()) return {};
  return with_term(term, [&](const auto& of) noexcept {
    column_terms sum{doubles{0.0}, doubles{0.0}};
    for_each_block(teacher_.size(), [&](std::size_t first, std::size_t count) {
      block here;
      for (std::size_t i = 0; i < count; ++i)
        here.add(student_logit(first + i), teacher_.logit(first + i));
      here.fill_vector();
      for (std::size_t i = 0; i < count; i += doubles::size) {
        const column_terms terms = of(here.at(i, *this));
        sum.value += terms.value;
        sum.slope += terms.slope;
      }
    });
    return term_sums{xsimd::reduce_add(sum.value), xsimd::reduce_add(sum.slope)};
  });
}

EDGERAZOR_FUNCTION void outcome_pair::gradient(const divergence_term& term, double slopes,
                                               double factor,
                                               const output_row& out) const noexcept {
  with_term(term, [&](const auto& of) noexcept {
    const auto of_outcomes = [&](const probability_pair& x) noexcept {
      return (of(x).slope - x.q * doubles{slopes}) * doubles{factor * inverse_temperature_};
    };
    double of_tail = 0;
    if (tail_ != log_of_zero) {
      block tail;
      tail.add(tail_, teacher_.logit(teacher_.ids().size()));
      tail.fill_vector();
      double lanes[doubles::size];
      of_outcomes(tail.at(0, *this)).store_unaligned(lanes);
      of_tail = lanes[0];
    }
    for_each_block(student_.size, [&](std::size_t first, std::size_t count) {
      double values[block_cols], result[block_cols] = {};
      block known;
      std::array<std::size_t, block_cols> columns;
      for_each_known(first, count, [&](std::size_t i, std::size_t column) noexcept {
        columns[known.size] = column;
        known.add(student_logit(i), teacher_.logit(i));
      });
      known.fill_vector();
      if (tail_ != log_of_zero) {
        tail_columns(first, count, values);
        for (std::size_t i = 0; i < count; i += doubles::size) {
          const doubles share = row::exp(doubles::load_unaligned(values + i) - doubles{tail_});
          (share * doubles{of_tail}).store_unaligned(result + i);
        }
      }
      for (std::size_t i = 0; i < known.size; i += doubles::size) {
        double lanes[doubles::size];
        of_outcomes(known.at(i, *this)).store_unaligned(lanes);
        for (std::size_t j = 0; j < std::min(known.size - i, doubles::size); ++j)
          result[columns[i + j]] = lanes[j];
      }
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

EDGERAZOR_FUNCTION double outcome_pair::student_tail() const noexcept {
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
  return std::log(sum) + (reference == log_of_zero ? 0 : reference);
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
