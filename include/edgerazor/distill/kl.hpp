// SPDX-License-Identifier: Apache-2.0
/// Divergences between student and teacher over a vocabulary, with the gradient in the student's
/// logits.
///
/// With q = softmax(s / T) the student's and p = softmax(t / T) the teacher's distribution of a
/// token, in nats:
///
///     forward   KL(p||q) = sum p (ln p - ln q)       d / ds = (q - p) / T
///     reverse   KL(q||p) = sum q (ln q - ln p)       d / ds = q (ln q - ln p - KL(q||p)) / T
///     blends    gamma * reverse + (1 - gamma) * forward
///
/// each times T^2 unless `temperature_squared` is off. gamma depends on the teacher alone (at
/// temperature 1): no gradient flows through it.
///
/// Logits are `tokens x vocabulary` in float, float16 or bfloat16, with any stride.
/// Log-probabilities are logits too (softmax leaves them what they are), so a teacher may bring
/// either. Minus infinity is an impossible token; a row with a NaN or plus infinity has the loss
/// NaN. The gradient has the student's shape and may be the student's own memory; without data the
/// value alone is computed. Sums are kept in double, and rows are reworked in double where float
/// would not hold a relative 1e-6. Nothing is allocated. Fails, before anything is written, where
/// shapes or counts don't agree (naming both) or a parameter has no meaning.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/row/kl_parity.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::distill {

/// The teacher's confidence, token by token. At temperature 1 what it saw of the first tokens is
/// kept for their divergences.
class teacher_confidence {
 public:
  teacher_confidence(const gamma_rule& rule, const logit_rows& rows, loss_mode mode,
                     std::span<logit_statistics> workspace) noexcept
      : rule_(rule),
        rows_(rows),
        mode_(mode),
        memory_(workspace.empty() ? std::span<logit_statistics>{own_memory_} : workspace) {}

  [[nodiscard]] double operator()(const counted_token& token) {
    const input_row teacher = rows_.pair(token.index).teacher;
    const auto label = static_cast<std::size_t>(token.label);
    const bool of_label = rule_.from == gamma_rule::source::label;
    if (mode_ == loss_mode::parity) {
      return of_label ? row::parity_softmax{teacher, 1}[label]
                      : rule_.of_entropy(row::parity_entropy(teacher));
    }
    const logit_statistics seen = row::teacher_statistics(
        teacher, std::max(rows_.student_cols, rows_.teacher_cols), 1, rows_.by);
    if (token.index < memory_.size()) {
      memory_[token.index] = seen;
      // Tokens in between that don't count leave entries that nobody reads.
      remembered_ = std::max(remembered_, token.index + 1);
    }
    return of_label ? std::exp(teacher[label] - seen.teacher_reference) / seen.teacher_sum
                    : rule_.of_entropy(seen.teacher_entropy());
  }
  /// The statistics of a token's teacher, or untouched ones.
  [[nodiscard]] logit_statistics known(std::size_t token) const noexcept {
    return token < remembered_ && rows_.inverse_temperature == 1 ? memory_[token]
                                                                 : logit_statistics{};
  }

 private:
  const gamma_rule& rule_;
  const logit_rows& rows_;
  loss_mode mode_;
  std::array<logit_statistics, 64> own_memory_{};
  std::span<logit_statistics> memory_;
  std::size_t remembered_ = 0;
};

/// A loss's rule for gamma in one call; fails where that has no meaning.
template <class Loss>
gamma_rule rule_of(const Loss& loss, std::optional<double> given, const token_plan& plan,
                   const logit_rows& rows) {
  const gamma_rule rule = loss.rule().with(Loss::name, given, plan.batch());
  if (rule.from == gamma_rule::source::label)
    plan.check_labels("the teacher's vocabulary", rows.teacher_cols);
  return rule;
}

/// Every loss of this file.
template <class Loss>
blended_result blended_kl(const Loss& loss, const token_rows& student, const token_rows& teacher,
                          const token_batch& tokens, const gradient_rows& gradient,
                          const blend_options& options = {}) {
  const logit_rows rows{Loss::name, loss, student, teacher, tokens, gradient, loss.mode};
  const token_plan plan{Loss::name, tokens, student.rows()};
  const gamma_rule rule = rule_of(loss, options.gamma, plan, rows);
  if (loss.mode == loss_mode::parity && rows.student_cols != rows.teacher_cols)
    core::fail(std::string{Loss::name} + ": parity mode knows no excluded columns");
  teacher_confidence confidence{rule, rows, loss.mode, options.workspace};
  scope_gammas gammas{rule, plan, confidence};
  blended_result result;
  plan.for_each_counted_row(
      result, gradient, [&](const counted_token& token, const output_row& out) {
        const double gamma = gammas.of(token), upstream = rows.square * token.upstream;
        const row::kl_blend blend{.forward = (1 - gamma) * upstream, .reverse = gamma * upstream};
        out.clear(rows.student_cols);  // what a vocabulary cut off has no gradient
        const row::logit_pair pair = rows.pair(token.index);
        const row::kl_divergences both =
            loss.mode == loss_mode::parity
                ? row::parity_kl(pair, blend, out)
                : row::kl_row(pair, confidence.known(token.index), blend, out);
        return add_divergences(result, token.share, gamma,
                               {rows.square * both.forward, rows.square * both.reverse});
      });
  result.gamma = gammas.mean();
  return result;
}

/// The confidence that `loss` would average, alone.
template <class Loss>
confidence_sums sum_confidence(const Loss& loss, const token_rows& teacher,
                               const token_batch& tokens) {
  logit_rows rows{Loss::name, teacher, teacher, {}, vocabulary_mismatch::fail};
  rows.by = loops_of(tokens.engine);
  const token_plan plan{Loss::name, tokens, teacher.rows()};
  const gamma_rule rule = rule_of(loss, std::nullopt, plan, rows);
  if (rule.from == gamma_rule::source::constant) return {.without = rule.value};
  teacher_confidence confidence{rule, rows, loss.mode, {}};
  return scope_gammas{rule, plan, confidence}.sums();
}

/// One of the two directions: gamma 0 or 1.
template <bool Reverse>
struct one_way_kl {
  static constexpr const char* name = Reverse ? "reverse_kl" : "forward_kl";

  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;

  [[nodiscard]] gamma_rule rule() const noexcept { return {.value = Reverse ? 1.0 : 0.0}; }

  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const token_batch& tokens, const gradient_rows& gradient = {}) const {
    return blended_kl(*this, student, teacher, tokens, gradient);
  }
  /// The same with all tokens being one sample; no labels: all tokens count.
  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const label_span& labels, reduction how,
                            const gradient_rows& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};
}  // namespace detail::distill

/// KL(teacher || student): covers the teacher's modes (EdgeRazor (Python), compute_kld_forward).
using forward_kl = detail::distill::one_way_kl<false>;

/// KL(student || teacher): seeks one of the teacher's modes (EdgeRazor (Python),
/// compute_kld_reverse).
using reverse_kl = detail::distill::one_way_kl<true>;

/// gamma KL(student || teacher) + (1 - gamma) KL(teacher || student) with a gamma that the caller
/// sets.
struct symmetric_kl {
  static constexpr const char* name = "symmetric_kl";

  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float gamma = 0.5f;  ///< in [0, 1]

  [[nodiscard]] detail::distill::gamma_rule rule() const noexcept {
    return {.value = static_cast<double>(gamma)};
  }

  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const token_batch& tokens, const gradient_rows& gradient = {}) const {
    return detail::distill::blended_kl(*this, student, teacher, tokens, gradient,
                                       {.gamma = rule().value});
  }
  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const label_span& labels, reduction how,
                            const gradient_rows& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// The paper's loss, EAKLD (arXiv 2605.04062; EdgeRazor (Python), compute_kld_confidence with
/// use_entropy):
///
///     gamma = clamp(1 - mean H(p) / ln k, 0, 1), k = confidence_k
///
/// A sure teacher is imitated mode by mode (reverse), an unsure one is covered (forward). The mean
/// is over samples of each sample's mean over its counted tokens; a sample without one counts as
/// entropy 0, as in EdgeRazor (Python).
struct entropy_aware_kl {
  static constexpr const char* name = "entropy_aware_kl";

  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  std::size_t confidence_k = 16;  ///< at least 2
  gamma_scope scope = gamma_scope::batch;

  [[nodiscard]] detail::distill::gamma_rule rule() const noexcept {
    return {detail::distill::gamma_rule::source::entropy, static_cast<double>(confidence_k), scope};
  }

  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const token_batch& tokens, const gradient_rows& gradient = {},
                            const blend_options& options = {}) const {
    return detail::distill::blended_kl(*this, student, teacher, tokens, gradient, options);
  }
  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const label_span& labels, reduction how,
                            const gradient_rows& gradient = {},
                            const blend_options& options = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient, options);
  }
  /// The teacher's confidence in these tokens alone, whatever the scope: with `merge`, the gamma of
  /// several micro-batches or ranks, to be given as an option.
  [[nodiscard]] confidence_sums confidence(const token_rows& teacher,
                                           const token_batch& tokens) const {
    return detail::distill::sum_confidence(*this, teacher, tokens);
  }
};

/// The older blend, CAKLD (arXiv 2402.10631; EdgeRazor (Python), compute_kld_confidence without
/// use_entropy): gamma is the mean probability that the teacher gives the label; 0.5 without
/// labels. A counted token's label must be one of the teacher's columns.
struct confidence_aware_kl {
  static constexpr const char* name = "confidence_aware_kl";
  static constexpr bool reads_labels = true;

  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  gamma_scope scope = gamma_scope::batch;

  [[nodiscard]] detail::distill::gamma_rule rule() const noexcept {
    return {detail::distill::gamma_rule::source::label, 0, scope};
  }

  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const token_batch& tokens, const gradient_rows& gradient = {},
                            const blend_options& options = {}) const {
    return detail::distill::blended_kl(*this, student, teacher, tokens, gradient, options);
  }
  blended_result operator()(const token_rows& student, const token_rows& teacher,
                            const label_span& labels, reduction how,
                            const gradient_rows& gradient = {},
                            const blend_options& options = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient, options);
  }
  /// As that of entropy_aware_kl.
  [[nodiscard]] confidence_sums confidence(const token_rows& teacher,
                                           const token_batch& tokens) const {
    return detail::distill::sum_confidence(*this, teacher, tokens);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
