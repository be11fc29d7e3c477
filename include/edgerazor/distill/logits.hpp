// SPDX-License-Identifier: Apache-2.0
/// What the losses over logits have in common: their options, the checks of their arguments, and
/// the way over divergences that are sums.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/engine.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/terms.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `stable` is exact in the tails: probabilities of any size count, 0 * infinity is 0, and an
/// infinite divergence is infinite, never NaN. `parity` gives the numbers of EdgeRazor (Python): it
/// takes logarithms of max(probability, 1e-8), through which no gradient flows, and raises
/// temperatures below 0.1 to it. Plain loops, for comparing.
enum class loss_mode { stable, parity };

/// What to do where student and teacher have vocabularies of different length. Missing logits are
/// never taken as 0, which would give their tokens a share of the mass.
enum class vocabulary_mismatch {
  /// The loss fails, naming both shapes.
  fail,
  /// Both distributions are those of the columns both have; the student's others get no gradient.
  truncate,
  /// A missing column has probability 0, and mass that the other model puts there counts.
  exclude
};

namespace detail::distill {

inline double check_temperature(const char* loss, float temperature, loss_mode mode) {
  if (mode == loss_mode::parity && temperature >= 0 && temperature < 0.1f)
    return static_cast<double>(0.1f);
  check_option(temperature > 0 && std::isfinite(temperature), loss, "the temperature", temperature,
               "one above 0");
  return static_cast<double>(temperature);
}

/// Student and teacher, checked: fails where shapes or the temperature have no meaning.
struct logit_rows {
  const token_rows& student;
  const token_rows& teacher;
  std::size_t student_cols = 0, teacher_cols = 0;  ///< columns to read of each row
  double inverse_temperature = 1;
  double square = 1;  ///< T^2 where the loss is multiplied by it
  const row::loops* by = nullptr;

  template <class Loss>
  logit_rows(const char* name, const Loss& loss, const token_rows& of_student,
             const token_rows& of_teacher, const token_batch& tokens, const gradient_rows& gradient,
             loss_mode mode = loss_mode::stable)
      : logit_rows(name, of_student, of_teacher, gradient, loss.vocabulary) {
    by = loops_of(tokens.engine);
    const double temperature = check_temperature(name, loss.temperature, mode);
    inverse_temperature = 1 / temperature;
    if (loss.temperature_squared) square = temperature * temperature;
  }
  logit_rows(const char* name, const token_rows& of_student, const token_rows& of_teacher,
             const gradient_rows& gradient, vocabulary_mismatch mismatch)
      : student(of_student),
        teacher(of_teacher),
        student_cols(of_student.cols()),
        teacher_cols(of_teacher.cols()) {
    if (student.rows() != teacher.rows() ||
        (student_cols != teacher_cols && mismatch == vocabulary_mismatch::fail)) {
      core::fail(std::string{name} + ": the student's logits are " +
                 core::shape_text(student.rows(), student_cols) + ", the teacher's " +
                 core::shape_text(teacher.rows(), teacher_cols));
    }
    if (student.rows() != 0 && (student_cols == 0 || teacher_cols == 0))
      core::fail(std::string{name} + ": logits of 0 columns");
    check_gradient(name, "the student's logits", student.rows(), student_cols, gradient);
    if (mismatch == vocabulary_mismatch::truncate)
      student_cols = teacher_cols = std::min(student_cols, teacher_cols);
  }

  /// Token i's.
  [[nodiscard]] row::logit_pair pair(std::size_t i) const noexcept {
    return {student.part(i, 0, student_cols), teacher.part(i, 0, teacher_cols), inverse_temperature,
            by};
  }
};

/// A divergence that is a sum of terms over the vocabulary, token by token.
template <class Loss>
loss_result sum_divergence(const char* name, const Loss& loss, const token_rows& student,
                           const token_rows& teacher, const token_batch& tokens,
                           const gradient_rows& gradient) {
  const logit_rows rows{name, loss, student, teacher, tokens, gradient};
  const token_plan plan{name, tokens, student.rows()};
  const row::divergence_term term = loss.term();
  loss_result result;
  plan.for_each_counted_row(
      result, gradient, [&](const counted_token& token, const output_row& out) {
        const row::logit_pair pair = rows.pair(token.index);
        out.clear(rows.student_cols);  // what a vocabulary cut off has no gradient
        const double value = row::term_row(term, pair, rows.square * token.upstream, out);
        return rows.square * row::not_negative(value);
      });
  return result;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
