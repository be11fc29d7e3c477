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

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/element_divergence.hpp>
#include <edgerazor/distill/generalized_js.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/teacher_confidence.hpp>
#include <edgerazor/distill/top_k_rows.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// What becomes of the mass of tokens that are not known.
enum class top_k_tail {
  renormalise,  ///< both distributions are those of the known tokens alone
  bucket        ///< it is one outcome, unless every column is known
};

/// The known part of a teacher, `tokens x k`. Ids of a row are distinct columns of the student in
/// any order; an entry whose id is negative is not in use, and its log-probability not read.
struct top_k_teacher {
  matrix_view<const std::int32_t> ids;
  matrix_view<const float>
      log_probabilities;  ///< natural logarithms, at temperature 1; minus infinity is allowed
  top_k_tail tail = top_k_tail::bucket;
  /// Least mass of the bucket, in [0, 1). A sure teacher's probabilities may be rounded to a sum of
  /// 1: it then has none, and the reverse divergence is infinite.
  float tail_floor = 0;
};

namespace detail::distill {

struct blended_kl_term {
  double forward, reverse;

  template <class Reals>
  [[nodiscard]] element_term<Reals> operator()(const probability_pair<Reals>& x) const noexcept {
    element_term<Reals> result{Reals{0}, Reals{0}};
    if (forward != 0) {
      result.value += Reals{forward} * x.p * if_possible(x.p, x.log_p - x.log_q);
      result.slope -= Reals{forward} * x.p;
    }
    if (reverse != 0) {
      const Reals of_q = Reals{reverse} * x.q * if_possible(x.q, x.log_q - x.log_p);
      result.value += of_q;
      result.slope += of_q;
    }
    return result;
  }
};

[[nodiscard]] inline fixed_gamma gamma_of(const forward_kl&) noexcept {
  return {0};
}
[[nodiscard]] inline fixed_gamma gamma_of(const reverse_kl&) noexcept {
  return {1};
}
[[nodiscard]] inline fixed_gamma gamma_of(const symmetric_kl& loss) noexcept {
  return {static_cast<double>(loss.gamma)};
}
[[nodiscard]] inline entropy_gamma gamma_of(const entropy_aware_kl& loss) noexcept {
  return {static_cast<double>(loss.confidence_k), loss.scope};
}

template <class Loss>
concept blended_kl_loss = requires(const Loss& loss) { gamma_of(loss); };
/// Losses whose divergence is a sum over outcomes.
template <class Loss>
concept outcome_loss = blended_kl_loss<Loss> || requires(const Loss& loss) { loss.term(); };

/// gamma of the counted tokens, asked for in order. confidence(token) is that of one.
template <class Gamma, class Confidence>
class scope_gammas {
 public:
  scope_gammas(const Gamma& rule, const token_plan& plan, const Confidence& confidence)
      : rule_(rule), plan_(plan), confidence_(confidence) {}

  double of(const counted_token& token) {
    if constexpr (!Gamma::reads_teacher) {
      return rule_.gamma;
    } else {
      const bool next_sample = rule_.scope == gamma_scope::sample && token.sample != sample_;
      if (count_ == 0 || next_sample || rule_.scope == gamma_scope::token) {
        gamma_ = clamp_gamma(rule_.scope == gamma_scope::token    ? confidence_(token.index)
                             : rule_.scope == gamma_scope::sample ? of_sample(token.sample)
                                                                  : of_batch());
        sum_ += gamma_;
        ++count_;
      }
      sample_ = token.sample;
      return gamma_;
    }
  }
  /// Over scopes; that of the batch if no token counts.
  [[nodiscard]] double mean() const {
    if constexpr (!Gamma::reads_teacher)
      return rule_.gamma;
    else
      return count_ == 0 ? clamp_gamma(of_batch()) : sum_ / static_cast<double>(count_);
  }

 private:
  [[nodiscard]] double of_sample(std::size_t sample) const {
    double sum = 0;
    std::size_t counted = 0;
    for (std::size_t i = sample == 0 ? 0 : plan_.sample_end(sample - 1);
         i < plan_.sample_end(sample); ++i) {
      if (!plan_.counts(i)) continue;
      sum += confidence_(i);
      ++counted;
    }
    return counted == 0 ? Gamma::of_empty_sample : sum / static_cast<double>(counted);
  }
  [[nodiscard]] double of_batch() const {
    double sum = 0;
    for (std::size_t sample = 0; sample < plan_.samples(); ++sample) sum += of_sample(sample);
    return plan_.samples() == 0 ? Gamma::of_empty_sample
                                : sum / static_cast<double>(plan_.samples());
  }

  const Gamma& rule_;
  const token_plan& plan_;
  const Confidence& confidence_;
  std::size_t sample_ = 0, count_ = 0;
  double gamma_ = 0, sum_ = 0;
};

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
/// agree, an id of a counted token is no column or there twice (naming both), a parameter has no
/// meaning or the mode is parity.
template <detail::distill::outcome_loss Loss>
struct top_k_loss {
  Loss loss;

  template <class Arch = xsimd::default_arch, real_element S,
            detail::distill::gradient_element G = float>
  auto operator()(matrix_view<S> student, const top_k_teacher& teacher, const token_batch& tokens,
                  matrix_view<G> gradient = {}) const {
    const detail::distill::token_plan plan = check(student, teacher, tokens, gradient);
    if constexpr (detail::distill::blended_kl_loss<Loss>) {
      return blended<Arch>(detail::distill::gamma_of(loss), student, teacher, tokens, gradient,
                           plan);
    } else {
      if constexpr (std::same_as<Loss, generalized_js>) {
        if (loss.beta == 0 || loss.beta == 1) {
          const detail::distill::fixed_gamma end{static_cast<double>(loss.beta)};
          return loss_result{blended<Arch>(end, student, teacher, tokens, gradient, plan)};
        }
      }
      loss_result result;
      for_each_token<Arch>(
          student, teacher, tokens, gradient, plan, result,
          [&](const detail::distill::counted_token& token, const auto& pair, G* out) {
            const detail::distill::term_sums sums = pair.sum(loss.term());
            if (out != nullptr && !std::isinf(sums.value)) {
              pair.gradient(loss.term(), sums.slope, square() * token.upstream, tokens.accumulate,
                            out);
            } else if (out != nullptr) {  // an infinite divergence has no direction
              detail::distill::clear_gradient_row(tokens.accumulate, gradient.row(token.index));
            }
            return square() * not_negative(sums.value);
          });
      return result;
    }
  }
  template <real_element S, detail::distill::gradient_element G = float>
  auto operator()(matrix_view<S> student, const top_k_teacher& teacher,
                  std::span<const std::int64_t> labels, reduction how,
                  matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }

 private:
  static constexpr const char* name = "top_k_loss";

  [[nodiscard]] double temperature() const noexcept {
    return static_cast<double>(loss.temperature);
  }
  [[nodiscard]] double square() const noexcept {
    return loss.temperature_squared ? temperature() * temperature() : 1;
  }
  static double not_negative(double x) noexcept { return x < 0 ? 0 : x; }

  template <class S, class G>
  detail::distill::token_plan check(matrix_view<S> student, const top_k_teacher& teacher,
                                    const token_batch& tokens, matrix_view<G> gradient) const {
    detail::distill::check_logits(name, student, student, gradient, vocabulary_mismatch::fail);
    const matrix_view<const std::int32_t>& ids = teacher.ids;
    const matrix_view<const float>& log_probabilities = teacher.log_probabilities;
    if (ids.rows != student.rows || log_probabilities.rows != ids.rows ||
        log_probabilities.cols != ids.cols) {
      detail::core::fail(std::string{name} + ": the student's logits are " +
                         detail::core::shape_text(student.rows, student.cols) +
                         ", the teacher's ids " + detail::core::shape_text(ids.rows, ids.cols) +
                         ", its log-probabilities " +
                         detail::core::shape_text(log_probabilities.rows, log_probabilities.cols));
    }
    if (!(teacher.tail_floor >= 0 && teacher.tail_floor < 1)) {
      detail::core::fail(std::string{name} + ": the tail's floor is " +
                         std::to_string(teacher.tail_floor) + ", expected 0 to below 1");
    }
    if constexpr (requires { loss.mode; }) {
      if (loss.mode == loss_mode::parity)
        detail::core::fail(std::string{name} + ": parity mode knows no teacher's top k");
    }
    const matrix_view<const float> nothing;
    loss(nothing, nothing, token_batch{});  // checks its own parameters
    const detail::distill::token_plan plan{name, tokens, student.rows};
    detail::distill::check_ids(name, ids, student.cols, plan);
    return plan;
  }

  [[nodiscard]] static detail::distill::top_k_outcomes outcomes(const top_k_teacher& teacher,
                                                                std::size_t cols,
                                                                std::size_t token) noexcept {
    return {teacher.ids.row(token), teacher.log_probabilities.row(token).data(), cols,
            teacher.tail == top_k_tail::bucket, static_cast<double>(teacher.tail_floor)};
  }

  /// value_of(token, pair, its row of the gradient or null) is the token's l.
  template <class Arch, class S, class G, class ValueOf>
  void for_each_token(matrix_view<S> student, const top_k_teacher& teacher,
                      const token_batch& tokens, matrix_view<G> gradient,
                      const detail::distill::token_plan& plan, loss_result& result,
                      ValueOf&& value_of) const {
    plan.for_each_token([&](const detail::distill::counted_token& token) {
      if (!token.counts) {
        if (gradient.data != nullptr)
          detail::distill::clear_gradient_row(tokens.accumulate, gradient.row(token.index));
        detail::distill::add_token(result, tokens, token, 0);
        return;
      }
      using element = std::remove_const_t<S>;
      const detail::distill::logit_row<element> row{student.data + token.index * student.stride,
                                                    student.cols};
      const detail::distill::top_k_outcomes known = outcomes(teacher, student.cols, token.index);
      const detail::distill::top_k_pair<Arch, element> pair{row, known, 1 / temperature()};
      G* out = gradient.data == nullptr ? nullptr : gradient.data + token.index * gradient.stride;
      detail::distill::add_token(result, tokens, token, value_of(token, pair, out));
    });
  }

  template <class Arch, class Gamma, class S, class G>
  blended_result blended(const Gamma& gamma_rule, matrix_view<S> student,
                         const top_k_teacher& teacher, const token_batch& tokens,
                         matrix_view<G> gradient, const detail::distill::token_plan& plan) const {
    const auto confidence = [&](std::size_t i) {
      if constexpr (!Gamma::reads_teacher)
        return gamma_rule.gamma;
      else
        return 1 - outcomes(teacher, student.cols, i).entropy() / std::log(gamma_rule.k);
    };
    blended_result result;
    detail::distill::scope_gammas<Gamma, decltype(confidence)> gammas{gamma_rule, plan, confidence};
    for_each_token<Arch>(
        student, teacher, tokens, gradient, plan, result,
        [&](const detail::distill::counted_token& token, const auto& pair, G* out) {
          const double gamma = gammas.of(token);
          const double forward =
              square() * not_negative(pair.sum(detail::distill::blended_kl_term{1, 0}).value);
          const double reverse =
              square() * not_negative(pair.sum(detail::distill::blended_kl_term{0, 1}).value);
          if (out != nullptr) {
            // The reverse part of a token whose KL(q||p) is infinite has no direction; the forward
            // one always has.
            const detail::distill::blended_kl_term blend{1 - gamma,
                                                         std::isinf(reverse) ? 0 : gamma};
            pair.gradient(blend, pair.sum(blend).slope, square() * token.upstream,
                          tokens.accumulate, out);
          }
          if (token.share != 0) {
            result.forward += token.share * forward;
            result.reverse += token.share * reverse;
          }
          // 0 * infinity: a direction without weight adds nothing.
          return (gamma < 1 ? (1 - gamma) * forward : 0) + (gamma > 0 ? gamma * reverse : 0);
        });
    result.gamma = gammas.mean();
    return result;
  }
};
template <class Loss>
top_k_loss(Loss) -> top_k_loss<Loss>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
