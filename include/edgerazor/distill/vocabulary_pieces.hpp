// SPDX-License-Identifier: Apache-2.0
/// The losses over logits in pieces of the vocabulary: for logits that arrive in chunks, lie on
/// several threads, or on several ranks.
///
///     1. each piece of a token's row: `observe_piece` adds it to that token's logit_statistics; statistics of
///     different
///        pieces `merge` (they are trivially copyable: send them as bytes)
///     2. divergences that are sums over the vocabulary (generalized_js, skew_kl, total_variation): `observe_terms` of
///     each
///        piece, given the statistics of the whole row; the sums add up. The KL family needs no such round.
///     3. each piece: `piece_gradient`, from the statistics (and sums) of the whole row
///
/// The result is that of the whole row up to 1e-6. A piece is two spans of the same columns;
/// nothing is allocated.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/distill/element_divergence.hpp>
#include <edgerazor/distill/kl_rows.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/logit_pair.hpp>
#include <edgerazor/distill/logit_statistics.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
template <class Loss>
concept element_loss = requires(const Loss& loss) {
  loss.term();
  loss.temperature;
};

inline void check_piece(const char* what, std::size_t student, std::size_t teacher) {
  if (student == teacher) return;
  core::fail(std::string{what} + ": " + std::to_string(student) + " of the student's logits, " +
             std::to_string(teacher) + " of the teacher's");
}
}  // namespace detail::distill

/// Adds some columns of one token's row to `seen`. All pieces of a row are observed at one
/// temperature.
template <class Arch = xsimd::default_arch, real_element S, real_element T>
void observe_piece(std::span<S> student, std::span<T> teacher, float temperature,
                   logit_statistics& seen) {
  detail::distill::check_piece("observe_piece", student.size(), teacher.size());
  const double inverse =
      1 / detail::distill::check_temperature("observe_piece", temperature, loss_mode::stable);
  using student_element = std::remove_const_t<S>;
  using teacher_element = std::remove_const_t<T>;
  detail::distill::logit_pair<double, Arch, student_element, teacher_element> pair{
      {student.data(), student.size()}, {teacher.data(), teacher.size()}, inverse};
  logit_statistics piece;
  pair.observe_teacher(piece);
  detail::distill::kept_powers<double> none;
  pair.observe_student(piece, none);
  pair.observe_forward(piece);
  seen.merge(piece, inverse);
}

/// The gradient, for some columns, of forward * KL(p||q) + reverse * KL(q||p) of the row whose
/// statistics are `whole`. T^2 and whatever weighs the token are the caller's, in the two factors.
/// Written, or added where `accumulate` is set.
template <class Arch = xsimd::default_arch, real_element S, real_element T,
          detail::distill::gradient_element G>
void piece_gradient(std::span<S> student, std::span<T> teacher, float temperature,
                    const logit_statistics& whole, double forward, double reverse,
                    std::span<G> gradient, bool accumulate = false) {
  detail::distill::check_piece("piece_gradient", student.size(), teacher.size());
  detail::distill::check_piece("piece_gradient", student.size(), gradient.size());
  const double inverse =
      1 / detail::distill::check_temperature("piece_gradient", temperature, loss_mode::stable);
  using student_element = std::remove_const_t<S>;
  using teacher_element = std::remove_const_t<T>;
  const detail::distill::logit_pair<double, Arch, student_element, teacher_element> pair{
      {student.data(), student.size()}, {teacher.data(), teacher.size()}, inverse, false};
  logit_statistics scratch = whole;
  pair.gradient(scratch, detail::distill::kept_powers<double>{},
                {.forward = forward, .reverse = reverse}, accumulate, gradient.data());
}

/// What pieces of a row add to a divergence that is a sum over the vocabulary. Pieces add up.
struct piece_sums {
  double value = 0;
  double slope = 0;
};
static_assert(std::is_trivially_copyable_v<piece_sums>);

/// Adds some columns' terms of `loss`; `whole` is the statistics of the whole row at the loss's
/// temperature. sums.value of all pieces is the loss of the token (T^2 aside).
template <class Arch = xsimd::default_arch, detail::distill::element_loss Loss, real_element S,
          real_element T>
void observe_terms(const Loss& loss, std::span<S> student, std::span<T> teacher,
                   const logit_statistics& whole, piece_sums& sums) {
  detail::distill::check_piece("observe_terms", student.size(), teacher.size());
  const double inverse =
      1 / detail::distill::check_temperature("observe_terms", loss.temperature, loss_mode::stable);
  const auto term = detail::distill::sum_terms<Arch>(
      loss.term(),
      detail::distill::logit_row<std::remove_const_t<S>>{student.data(), student.size()},
      detail::distill::logit_row<std::remove_const_t<T>>{teacher.data(), teacher.size()}, inverse,
      whole);
  sums.value += term.value;
  sums.slope += term.slope;
}

/// The gradient of factor * loss for some columns, given the whole row's statistics and sums.
template <class Arch = xsimd::default_arch, detail::distill::element_loss Loss, real_element S,
          real_element T, detail::distill::gradient_element G>
void piece_gradient(const Loss& loss, std::span<S> student, std::span<T> teacher,
                    const logit_statistics& whole, const piece_sums& sums, double factor,
                    std::span<G> gradient, bool accumulate = false) {
  detail::distill::check_piece("piece_gradient", student.size(), teacher.size());
  detail::distill::check_piece("piece_gradient", student.size(), gradient.size());
  const double inverse =
      1 / detail::distill::check_temperature("piece_gradient", loss.temperature, loss_mode::stable);
  detail::distill::term_gradient<Arch>(
      loss.term(),
      detail::distill::logit_row<std::remove_const_t<S>>{student.data(), student.size()},
      detail::distill::logit_row<std::remove_const_t<T>>{teacher.data(), teacher.size()}, inverse,
      whole, {sums.value, sums.slope}, factor, accumulate, gradient.data());
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
