// SPDX-License-Identifier: Apache-2.0
/// The losses over logits in pieces of the vocabulary: for logits that arrive in chunks, lie on
/// several threads, or on several ranks.
///
///     1. Each piece of a token's row: `observe_piece` adds it to that token's logit_statistics.
///        Statistics of different pieces `merge`; they are trivially copyable: send them as bytes.
///     2. Divergences that are sums over the vocabulary (generalized_js, skew_kl, total_variation):
///        `observe_terms` of each piece, given the statistics of the whole row; the sums add up.
///        The KL family needs no such round.
///     3. Each piece: `piece_gradient`, from the statistics (and sums) of the whole row.
///
/// The result is that of the whole row up to 1e-6. A piece is two spans, of float, float16 or
/// bfloat16, of the same columns; nothing is allocated.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/terms.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
template <class Loss>
concept term_loss = requires(const Loss& loss) {
  { loss.term() } -> std::same_as<row::divergence_term>;
  loss.temperature;
};

/// Fails where the numbers of columns differ, the temperature has no meaning, or `seen` are
/// statistics of another one.
inline row::logit_pair check_piece(const char* what, float temperature, const input_row& student,
                                   const input_row& teacher, std::size_t gradient,
                                   const logit_statistics& seen) {
  if (student.size != teacher.size || student.size != gradient) {
    core::fail(std::string{what} + ": " + std::to_string(student.size) +
               " of the student's logits, " +
               std::to_string(student.size != teacher.size ? teacher.size : gradient) +
               " of the teacher's");
  }
  const double inverse = 1 / check_temperature(what, temperature, loss_mode::stable);
  if (!seen.empty() && seen.inverse_temperature != inverse) {
    core::fail(std::string{what} + ": the temperature is " + std::to_string(temperature) +
               ", that of the statistics " + std::to_string(1 / seen.inverse_temperature));
  }
  return {student, teacher, inverse};
}
}  // namespace detail::distill

/// Adds some columns of one token's row to `seen`. All pieces of a row are observed at one
/// temperature: fails, adding nothing, where `seen` has seen others at another.
inline void observe_piece(const input_row& student, const input_row& teacher, float temperature,
                          logit_statistics& seen) {
  const detail::row::logit_pair rows = detail::distill::check_piece(
      "observe_piece", temperature, student, teacher, student.size, seen);
  seen.merge(detail::row::row_statistics(rows, true));
}

/// The gradient, for some columns, of forward * KL(p||q) + reverse * KL(q||p) of the row whose
/// statistics are `whole`. T^2 and whatever weighs the token are the caller's, in the two factors,
/// which must be finite. Written, or added where the gradient accumulates. Fails, writing nothing,
/// where the temperature isn't that of the statistics.
inline void piece_gradient(const input_row& student, const input_row& teacher, float temperature,
                           const logit_statistics& whole, double forward, double reverse,
                           const output_row& gradient) {
  const detail::row::logit_pair rows = detail::distill::check_piece(
      "piece_gradient", temperature, student, teacher, gradient.size, whole);
  detail::distill::check_finite("piece_gradient", "the forward factor", forward);
  detail::distill::check_finite("piece_gradient", "the reverse factor", reverse);
  detail::row::kl_gradient(rows, whole, {.forward = forward, .reverse = reverse}, gradient);
}

/// What pieces of a row add to a divergence that is a sum over the vocabulary: its value and slope.
/// Pieces add up.
using piece_sums = detail::row::term_sums;
static_assert(std::is_trivially_copyable_v<piece_sums>);

/// Adds some columns' terms of `loss`; `whole` is the statistics of the whole row at the loss's
/// temperature. sums.value of all pieces is the loss of the token (T^2 aside).
template <detail::distill::term_loss Loss>
void observe_terms(const Loss& loss, const input_row& student, const input_row& teacher,
                   const logit_statistics& whole, piece_sums& sums) {
  const piece_sums more =
      detail::row::sum_terms(loss.term(),
                             detail::distill::check_piece("observe_terms", loss.temperature,
                                                          student, teacher, student.size, whole),
                             whole);
  sums.value += more.value;
  sums.slope += more.slope;
}

/// The gradient of factor * loss for some columns, given the whole row's statistics and sums.
template <detail::distill::term_loss Loss>
void piece_gradient(const Loss& loss, const input_row& student, const input_row& teacher,
                    const logit_statistics& whole, const piece_sums& sums, double factor,
                    const output_row& gradient) {
  const detail::row::logit_pair rows = detail::distill::check_piece(
      "piece_gradient", loss.temperature, student, teacher, gradient.size, whole);
  detail::distill::check_finite("piece_gradient", "the factor", factor);
  detail::row::term_gradient(loss.term(), rows, whole, sums, factor, gradient);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
