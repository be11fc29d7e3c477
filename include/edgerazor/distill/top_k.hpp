// SPDX-License-Identifier: Apache-2.0
/// Distillation from a teacher of which some (token id, log-probability) pairs a token are known:
/// what inference servers return, and what is worth storing of a teacher that ran beforehand.
///
/// Both models are compared over outcomes: the known tokens, and with `top_k_tail::bucket` the
/// tail, one outcome for all tokens that are not known. With s the student's logits and p the
/// teacher's probabilities,
///
///     known token j    z_j = s_j                                l_j = ln p_j
///     tail             z = ln of the sum of e^s over the tail    l = ln(1 - sum of the known p)
///
/// the student's distribution is softmax(z / T), the teacher's softmax(l / T): the tail is one
/// outcome at temperature T as well, and equal models have divergence 0 at any. Gradients: a known
/// token's logit has that of its z, a column of the tail has that of the tail's z times the
/// column's share of the tail's e^s, and without a bucket 0.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/row/outcomes.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What becomes of the mass of tokens that are not known.
enum class top_k_tail {
  renormalize,  ///< both distributions are those of the known tokens alone
  bucket        ///< it is one outcome, unless every column is known
};

/// The known part of a teacher, `tokens x k`. Ids of a row are distinct columns of the student in
/// any order; an entry whose id is negative is not in use, and its log-probability not read.
struct top_k_teacher {
  matrix_view<const std::int32_t> ids;
  /// Natural logarithms, at temperature 1: none above 0, which no probability has; minus infinity
  /// is allowed.
  matrix_view<const float> log_probabilities;
  top_k_tail tail = top_k_tail::bucket;
  /// Least mass of the bucket, in [0, 1). A sure teacher's probabilities may be rounded to a sum of
  /// 1: it then has none, and the reverse divergence is infinite.
  float tail_floor = 0;
};

namespace detail::distill {

/// Blends whose gamma the outcomes can say: not that of a label.
template <class Loss>
concept outcome_blend =
    requires(const Loss& loss) { loss.rule(); } && !requires { Loss::reads_labels; };
/// Losses whose divergence is a sum over outcomes.
template <class Loss>
concept outcome_loss = outcome_blend<Loss> || requires(const Loss& loss) { loss.term(); };

/// Ids of tokens that count are columns, each at most once a row, or the loss fails.
inline void check_ids(const char* loss, matrix_view<const std::int32_t> ids, std::size_t cols,
                      const token_plan& plan) {
  const auto refuse = [loss](std::size_t token, std::int32_t id, const std::string& why) {
    core::fail(std::string{loss} + ": token " + std::to_string(token) + " has id " +
               std::to_string(id) + why);
  };
  constexpr std::size_t window = 32768;  // columns of which one bit each is kept
  plan.for_each_token([&](const counted_token& token) {
    for (std::size_t first = 0; token.counts && first < cols; first += window) {
      std::array<std::uint64_t, window / 64> seen{};
      for (const std::int32_t id : ids.row(token.index)) {
        if (id < 0) continue;
        if (static_cast<std::size_t>(id) >= cols) {
          refuse(token.index, id, ", the student's vocabulary has " + std::to_string(cols));
        }
        const std::size_t column = static_cast<std::size_t>(id) - first;
        if (column >= window) continue;
        const std::uint64_t bit = std::uint64_t{1} << column % 64;
        if ((seen[column / 64] & bit) != 0) refuse(token.index, id, " twice");
        seen[column / 64] |= bit;
      }
    }
  });
}

/// Log-probabilities of entries in use, of tokens that weigh something, are not above 0, or the
/// loss fails. A NaN gives NaN.
inline void check_log_probabilities(const char* loss, const top_k_teacher& teacher,
                                    const token_plan& plan) {
  plan.for_each_token([&](const counted_token& token) {
    if (!token.weighs()) return;
    const auto ids = teacher.ids.row(token.index);
    const auto logs = teacher.log_probabilities.row(token.index);
    for (std::size_t j = 0; j < ids.size(); ++j) {
      if (ids[j] < 0 || !(logs[j] > 0)) continue;
      core::fail(std::string{loss} + ": token " + std::to_string(token.index) + " has id " +
                 std::to_string(ids[j]) + " with log-probability " + std::to_string(logs[j]) +
                 ", expected none above 0");
    }
  });
}

}  // namespace detail::distill

/// `Loss` over the outcomes above: forward_kl, reverse_kl, symmetric_kl, entropy_aware_kl (whose
/// entropy is that of the outcomes at temperature 1), generalized_js, skew_kl, skew_reverse_kl or
/// total_variation.
///
///     top_k_loss{forward_kl{.temperature = 2}}(student, teacher, tokens, gradient)
///
/// Student, tokens, gradient and result are those of Loss; `vocabulary` has no meaning, as every id
/// must be one of the student's columns. A token of which nothing is known has divergence and
/// entropy 0. Known tokens that are all impossible, without a bucket, have no distribution: NaN.
/// Works in double and allocates nothing. Fails, before anything is written, where shapes don't
/// agree, an id of a counted token is no column or there twice (naming both), its log-probability
/// is above 0, a parameter has no meaning or the mode is parity.
template <detail::distill::outcome_loss Loss>
struct top_k_loss {
  Loss loss;

  auto operator()(const token_rows& student, const top_k_teacher& teacher,
                  const token_batch& tokens, const gradient_rows& gradient = {}) const {
    const call here{loss, student, teacher, gradient, check(student, teacher, tokens, gradient)};
    if constexpr (detail::distill::outcome_blend<Loss>) {
      return here.blend(loss.rule());
    } else {
      if constexpr (requires { loss.end_rule(); }) {
        if (const auto end = loss.end_rule()) return loss_result{here.blend(*end)};
      }
      return here.sum(loss.term());
    }
  }
  auto operator()(const token_rows& student, const top_k_teacher& teacher, const label_span& labels,
                  reduction how, const gradient_rows& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }

 private:
  using token = detail::distill::counted_token;
  using term = detail::row::divergence_term;
  using outcomes = detail::row::outcome_pair;

  [[nodiscard]] detail::distill::token_plan check(const token_rows& student,
                                                  const top_k_teacher& teacher,
                                                  const token_batch& tokens,
                                                  const gradient_rows& gradient) const {
    using detail::core::fail, detail::core::shape_text;
    static_cast<void>(detail::distill::logit_rows{"top_k_loss", student, student, gradient,
                                                  vocabulary_mismatch::fail});
    const auto& [ids, logs, tail, tail_floor] = teacher;
    if (ids.rows != student.rows() || logs.rows != ids.rows || logs.cols != ids.cols) {
      fail("top_k_loss: the student's logits are " + shape_text(student.rows(), student.cols()) +
           ", the teacher's ids " + shape_text(ids.rows, ids.cols) + ", its log-probabilities " +
           shape_text(logs.rows, logs.cols));
    }
    detail::distill::check_option(tail_floor >= 0 && tail_floor < 1, "top_k_loss",
                                  "the tail's floor", tail_floor, "0 to below 1");
    if constexpr (requires { loss.mode; }) {
      if (loss.mode == loss_mode::parity) fail("top_k_loss: parity mode knows no teacher's top k");
    }
    loss(token_rows{}, token_rows{}, token_batch{});  // checks its own parameters
    const detail::distill::token_plan plan{"top_k_loss", tokens, student.rows()};
    detail::distill::check_ids("top_k_loss", ids, student.cols(), plan);
    detail::distill::check_log_probabilities("top_k_loss", teacher, plan);
    return plan;
  }

  /// One call's arguments.
  struct call {
    const Loss& loss;
    const token_rows& student;
    const top_k_teacher& teacher;
    const gradient_rows& gradient;
    const detail::distill::token_plan plan;
    double temperature = static_cast<double>(loss.temperature);
    double square = loss.temperature_squared ? temperature * temperature : 1;

    [[nodiscard]] detail::row::teacher_outcomes known(const token& i) const noexcept {
      return {teacher.ids.row(i.index), teacher.log_probabilities.row(i.index).data(),
              student.cols(), teacher.tail == top_k_tail::bucket,
              static_cast<double>(teacher.tail_floor)};
    }
    /// T^2 times the term's sum.
    [[nodiscard]] double value(const outcomes& both, const term& of) const noexcept {
      return square * detail::row::not_negative(both.sum(of).value);
    }

    /// value_of(token, both distributions, its row of the gradient) is the token's l.
    template <class ValueOf>
    void for_each(loss_result& result, ValueOf&& value_of) const {
      plan.for_each_counted_row(result, gradient, [&](const token& i, const output_row& out) {
        return value_of(i, outcomes{student.row(i.index), known(i), 1 / temperature}, out);
      });
    }

    [[nodiscard]] loss_result sum(const term& of) const {
      loss_result result;
      for_each(result, [&](const token& i, const outcomes& both, const output_row& out) {
        const detail::row::term_sums sums = both.sum(of);
        if (std::isinf(sums.value)) {
          out.clear();  // an infinite divergence has no direction
        } else if (out) {
          both.gradient(of, sums.slope, square * i.upstream, out);
        }
        return square * detail::row::not_negative(sums.value);
      });
      return result;
    }

    [[nodiscard]] blended_result blend(const detail::distill::gamma_rule& rule) const {
      using detail::row::term_kind;
      const auto confidence = [&](const token& i) { return rule.of_entropy(known(i).entropy()); };
      detail::distill::scope_gammas gammas{rule, plan, confidence};
      blended_result result;
      for_each(result, [&](const token& i, const outcomes& both, const output_row& out) {
        const double gamma = gammas.of(i), forward = value(both, {term_kind::kl_blend, 1, 0}),
                     reverse = value(both, {term_kind::kl_blend, 0, 1});
        if (out) {
          // The reverse part of a token whose KL(q||p) is infinite has no direction; the forward
          // one always has.
          const term of{term_kind::kl_blend, 1 - gamma, std::isinf(reverse) ? 0 : gamma};
          both.gradient(of, both.sum(of).slope, square * i.upstream, out);
        }
        return detail::distill::add_divergences(result, i.share, gamma, {forward, reverse});
      });
      result.gamma = gammas.mean();
      return result;
    }
  };
};
template <class Loss>
top_k_loss(Loss) -> top_k_loss<Loss>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
