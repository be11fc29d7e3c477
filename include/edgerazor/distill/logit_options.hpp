// SPDX-License-Identifier: Apache-2.0
/// What the losses over logits have in common: their options, and the checks of their arguments.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `stable` is exact in the tails: probabilities of any size count, 0 * infinity is 0, and an
/// infinite divergence is infinite, never NaN. `parity` gives the reference's numbers: it takes
/// logarithms of max(probability, 1e-8), through which no gradient flows, and raises temperatures
/// below 0.1 to it. Plain loops, for comparing.
enum class loss_mode { stable, parity };

/// What to do where student and teacher have vocabularies of different length. Missing logits are
/// never taken as 0, which would give their tokens a share of the mass.
enum class vocabulary_mismatch {
  fail,  ///< the loss fails, naming both shapes
  truncate,  ///< both distributions are those of the columns both have; the student's others get no gradient
  exclude  ///< a missing column has probability 0, and mass that the other model puts there counts
};

namespace detail::distill {

template <class T>
concept gradient_element = real_element<T> && !std::is_const_v<T>;

struct logit_shape {
  std::size_t student_cols = 0;
  std::size_t teacher_cols = 0;
};

/// The columns to read of each row, or fails.
template <class S, class T, class G>
logit_shape check_logits(const char* loss, const matrix_view<S>& student,
                         const matrix_view<T>& teacher, const matrix_view<G>& gradient,
                         vocabulary_mismatch mismatch) {
  const std::string name = loss;
  if (student.rows != teacher.rows ||
      (student.cols != teacher.cols && mismatch == vocabulary_mismatch::fail)) {
    core::fail(name + ": the student's logits are " + core::shape_text(student.rows, student.cols) +
               ", the teacher's " + core::shape_text(teacher.rows, teacher.cols));
  }
  if (student.rows != 0 && (student.cols == 0 || teacher.cols == 0))
    core::fail(name + ": logits of 0 columns");
  if (gradient.data != nullptr &&
      (gradient.rows != student.rows || gradient.cols != student.cols)) {
    core::fail(name + ": the student's logits are " + core::shape_text(student.rows, student.cols) +
               ", the gradient " + core::shape_text(gradient.rows, gradient.cols));
  }
  if (mismatch != vocabulary_mismatch::truncate) return {student.cols, teacher.cols};
  const std::size_t shared = student.cols < teacher.cols ? student.cols : teacher.cols;
  return {shared, shared};
}

inline double check_temperature(const char* loss, float temperature, loss_mode mode) {
  if (mode == loss_mode::parity && temperature < 0.1f) return static_cast<double>(0.1f);
  if (!(temperature > 0) || !std::isfinite(temperature)) {
    core::fail(std::string{loss} + ": the temperature is " + std::to_string(temperature) +
               ", expected one above 0");
  }
  return static_cast<double>(temperature);
}

inline void clear_gradient_row(bool accumulate, auto row) noexcept {
  if (accumulate) return;
  for (auto& g : row) g = std::remove_reference_t<decltype(g)>{0.0f};
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
