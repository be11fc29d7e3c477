// SPDX-License-Identifier: Apache-2.0
/// Losses straight from hidden states: the logits of a few tokens and a few thousand columns exist
/// at a time, never all.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/cross_entropy.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/teacher_confidence.hpp>
#include <edgerazor/distill/vocabulary_head.hpp>
#include <edgerazor/distill/vocabulary_pieces.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// value = task_weight * task + loss_weight * distillation.
struct fused_result : loss_result {
  double task = 0;          ///< cross-entropy with the labels
  double distillation = 0;  ///< the loss
  double gamma = 0;         ///< of a blend; the mean where samples or tokens have their own
};

/// task_weight * cross-entropy + loss_weight * Loss over logits H W^T that are made, used and made
/// again in pieces: at most 32 tokens x `columns` at a time. Loss is one of the KL family,
/// generalized_js (beta strictly between 0 and 1), skew_kl, skew_reverse_kl or total_variation, at
/// any temperature, in stable mode.
///
///     er::fused_head<er::entropy_aware_kl> loss{.task_weight = 0.1, .loss_weight = 2};
///     auto r = loss(student_hidden, student_head, teacher_hidden, teacher_head, tokens, hidden_gradient, workspace);
///
/// Hidden states are `tokens x hidden`, each model with its own width; both heads have the same
/// vocabulary. The gradient with respect to the student's hidden states is written (added where
/// `accumulate` is set; not wanted where data is null), that of the student's head is added to what
/// the head keeps. The workspace is the caller's, `workspace_size` floats. A loss_weight of 0
/// leaves the teacher alone.
template <class Loss>
struct fused_head {
  Loss loss = {};
  double task_weight = 0;
  double loss_weight = 1;
  std::size_t columns = 2048;

  static constexpr std::size_t block_tokens = 32;

  [[nodiscard]] std::size_t workspace_size(std::size_t tokens) const noexcept {
    return 3 * block_tokens * columns + tokens;
  }

  template <class Arch = xsimd::default_arch, vocabulary_head StudentHead,
            vocabulary_head TeacherHead>
  fused_result operator()(matrix_view<const float> student, const StudentHead& student_head,
                          matrix_view<const float> teacher, const TeacherHead& teacher_head,
                          const token_batch& tokens, matrix_view<float> hidden_gradient,
                          std::span<float> workspace) const {
    check(student, student_head.rows(), student_head.cols(), teacher, teacher_head.rows(),
          teacher_head.cols(), tokens, hidden_gradient, workspace.size());
    const detail::distill::token_plan plan{"fused_head", tokens, student.rows};
    check_labels(tokens, plan, student_head.rows());
    pass<Arch, StudentHead, TeacherHead> run{*this,        student, student_head, teacher,
                                             teacher_head, tokens,  plan,         workspace};
    return run.all(hidden_gradient);
  }

 private:
  static constexpr bool is_blend = requires(const Loss& l) { l.policy(); };

  void check(const matrix_view<const float>& student, std::size_t student_vocabulary,
             std::size_t student_width, const matrix_view<const float>& teacher,
             std::size_t teacher_vocabulary, std::size_t teacher_width, const token_batch& tokens,
             const matrix_view<float>& gradient, std::size_t workspace) const {
    if (student_vocabulary != teacher_vocabulary || student_vocabulary == 0) {
      detail::core::fail("fused_head: the student's head has " +
                         std::to_string(student_vocabulary) + " rows, the teacher's " +
                         std::to_string(teacher_vocabulary));
    }
    if (student.cols != student_width || teacher.cols != teacher_width ||
        student.rows != teacher.rows) {
      detail::core::fail(
          "fused_head: hidden states are " + detail::core::shape_text(student.rows, student.cols) +
          " and " + detail::core::shape_text(teacher.rows, teacher.cols) + ", the heads take " +
          std::to_string(student_width) + " and " + std::to_string(teacher_width) + " columns");
    }
    if (gradient.data != nullptr &&
        (gradient.rows != student.rows || gradient.cols != student.cols)) {
      detail::core::fail("fused_head: the student's hidden states are " +
                         detail::core::shape_text(student.rows, student.cols) + ", the gradient " +
                         detail::core::shape_text(gradient.rows, gradient.cols));
    }
    if (columns == 0 || workspace < workspace_size(student.rows)) {
      detail::core::fail("fused_head: a workspace of " + std::to_string(workspace) +
                         " floats, expected " + std::to_string(workspace_size(student.rows)));
    }
    if (task_weight != 0)
      detail::distill::check_tokens("fused_head", "labels", tokens.labels.size(), student.rows);
    detail::distill::check_temperature("fused_head", loss.temperature, loss_mode::stable);
    if constexpr (is_blend) {
      if (loss.mode == loss_mode::parity)
        detail::core::fail("fused_head: parity mode needs whole rows of logits");
    }
  }

  /// Where labels are read: a counted token's must be a column.
  void check_labels(const token_batch& tokens, const detail::distill::token_plan& plan,
                    std::size_t vocabulary) const {
    if (task_weight == 0 && !std::is_same_v<Loss, confidence_aware_kl>) return;
    for (std::size_t i = 0; i < tokens.labels.size(); ++i) {
      const std::int64_t label = tokens.labels[i];
      if (!plan.counts(i) || (label >= 0 && static_cast<std::uint64_t>(label) < vocabulary))
        continue;
      detail::core::fail("fused_head: the label of token " + std::to_string(i) + " is " +
                         std::to_string(label) + ", the vocabulary has " +
                         std::to_string(vocabulary));
    }
  }

  /// One call. Blocks of tokens, and for each several rounds over the vocabulary.
  template <class Arch, class StudentHead, class TeacherHead>
  struct pass {
    const fused_head& self;
    matrix_view<const float> student;
    const StudentHead& student_head;
    matrix_view<const float> teacher;
    const TeacherHead& teacher_head;
    const token_batch& tokens;
    const detail::distill::token_plan& plan;
    std::span<float> workspace;

    /// What is known of a token of the block.
    struct token_state {
      detail::distill::counted_token token;
      logit_statistics seen, plain;  ///< at the loss's temperature, at 1
      piece_sums sums;
      double label_logit = 0;
      double gamma = 0;
    };

    [[nodiscard]] matrix_view<float> piece(std::size_t which, std::size_t rows,
                                           std::size_t cols) const noexcept {
      return {workspace.data() + which * block_tokens * self.columns, rows, cols};
    }
    [[nodiscard]] float& confidence(std::size_t token) const noexcept {
      return workspace[3 * block_tokens * self.columns + token];
    }
    [[nodiscard]] double inverse_temperature() const noexcept {
      return 1 / static_cast<double>(self.loss.temperature);
    }

    /// Calls visit(first, student's logits, teacher's logits) for the pieces of the vocabulary of
    /// tokens [begin, end).
    template <class Visit>
    void for_each_piece(std::size_t begin, std::size_t end, bool with_student, bool with_teacher,
                        Visit&& visit) const {
      const std::size_t vocabulary = student_head.rows();
      for (std::size_t first = 0; first < vocabulary; first += self.columns) {
        const std::size_t cols = std::min(self.columns, vocabulary - first);
        matrix_view<float> s = piece(0, end - begin, cols), t = piece(1, end - begin, cols);
        if (with_student) student_head.logits(student.rows_between(begin, end), first, s);
        if (with_teacher) teacher_head.logits(teacher.rows_between(begin, end), first, t);
        visit(first, with_student ? s : t, with_teacher ? t : s);
      }
    }

    /// The teacher's confidence in every token, for gammas that are means over more than one.
    void measure_confidence() const {
      if constexpr (is_blend) {
        const auto policy = self.loss.policy();
        if constexpr (decltype(policy)::reads_teacher) {
          if (!policy.is_known(tokens) || self.loss_weight == 0) return;
          for (std::size_t begin = 0; begin < student.rows; begin += block_tokens) {
            const std::size_t end = std::min(begin + block_tokens, student.rows);
            std::array<logit_statistics, block_tokens> seen{};
            std::array<float, block_tokens> at_label{};
            for_each_piece(
                begin, end, false, true, [&](std::size_t first, auto, matrix_view<float> t) {
                  for (std::size_t i = 0; i < end - begin; ++i) {
                    observe_piece<Arch>(t.row(i), t.row(i), 1.0f, seen[i]);
                    if (const std::size_t at = label_column(begin + i, first, t.cols); at < t.cols)
                      at_label[i] = t.row(i)[at];
                  }
                });
            for (std::size_t i = 0; i < end - begin; ++i) {
              confidence(begin + i) = static_cast<float>(policy.confidence(
                  seen[i], detail::distill::logit_row<float>{&at_label[i], 1}, 0));
            }
          }
        }
      }
    }

    /// The label's column in a piece, or something past its end.
    [[nodiscard]] std::size_t label_column(std::size_t token, std::size_t first,
                                           std::size_t cols) const noexcept {
      if (tokens.labels.empty() || !plan.counts(token)) return cols;
      return static_cast<std::size_t>(tokens.labels[token]) -
             first;  // wraps to a large number before the piece
    }

    [[nodiscard]] double sample_confidence(std::size_t sample, double of_empty) const {
      double sum = 0;
      std::size_t counted = 0;
      for (std::size_t i = sample == 0 ? 0 : plan.sample_end(sample - 1);
           i < plan.sample_end(sample); ++i) {
        if (!plan.counts(i)) continue;
        sum += static_cast<double>(confidence(i));
        ++counted;
      }
      return counted == 0 ? of_empty : sum / static_cast<double>(counted);
    }

    [[nodiscard]] double gamma_of(const detail::distill::counted_token& token) const {
      if constexpr (!is_blend) {
        return 0;
      } else {
        const auto policy = self.loss.policy();
        using policy_type = std::remove_const_t<decltype(policy)>;
        if constexpr (!policy_type::reads_teacher) {
          return policy.gamma;
        } else {
          if (!policy.is_known(tokens)) return policy_type::without_labels;
          if (policy.scope == gamma_scope::token)
            return detail::distill::clamp_gamma(static_cast<double>(confidence(token.index)));
          if (policy.scope == gamma_scope::sample) {
            return detail::distill::clamp_gamma(
                sample_confidence(token.sample, policy_type::of_empty_sample));
          }
          double sum = 0;
          for (std::size_t s = 0; s < plan.samples(); ++s)
            sum += sample_confidence(s, policy_type::of_empty_sample);
          return detail::distill::clamp_gamma(sum / static_cast<double>(plan.samples()));
        }
      }
    }

    fused_result all(matrix_view<float> hidden_gradient) const {
      fused_result result;
      measure_confidence();
      std::array<token_state, block_tokens> block{};
      std::size_t count = 0, begin = 0, gamma_sample = plan.samples();
      double gamma = 0, gamma_sum = 0, gammas = 0;
      plan.for_each_token([&](const detail::distill::counted_token& token) {
        if (token.counts && self.loss_weight != 0) {
          const bool own = scope() == gamma_scope::token;
          if (own || gamma_sample == plan.samples() ||
              (scope() == gamma_scope::sample && gamma_sample != token.sample)) {
            gamma = gamma_of(token);
            gamma_sum += gamma;
            ++gammas;
          }
          gamma_sample = token.sample;
        }
        block[count] = {};
        block[count].token = token;
        block[count].gamma = gamma;
        if (++count == block_tokens || token.index + 1 == student.rows) {
          run_block(begin, std::span{block}.first(count), hidden_gradient, result);
          begin += count;
          count = 0;
        }
      });
      result.gamma = gammas == 0 ? 0 : gamma_sum / gammas;
      return result;
    }

    [[nodiscard]] gamma_scope scope() const noexcept {
      if constexpr (requires { self.loss.scope; }) return self.loss.scope;
      return gamma_scope::batch;
    }

    void run_block(std::size_t begin, std::span<token_state> block,
                   matrix_view<float> hidden_gradient, fused_result& result) const {
      const std::size_t end = begin + block.size();
      const bool distills = self.loss_weight != 0, labelled = self.task_weight != 0;
      for_each_piece(begin, end, true, distills,
                     [&](std::size_t first, matrix_view<float> s, matrix_view<float> t) {
                       for (std::size_t i = 0; i < block.size(); ++i) {
                         if (!block[i].token.counts) continue;
                         if (distills)
                           observe_piece<Arch>(s.row(i), t.row(i), self.loss.temperature,
                                               block[i].seen);
                         if (labelled)
                           observe_piece<Arch>(s.row(i), s.row(i), 1.0f, block[i].plain);
                         const std::size_t at = label_column(begin + i, first, s.cols);
                         if (at < s.cols) block[i].label_logit = static_cast<double>(s.row(i)[at]);
                       }
                     });
      if constexpr (!is_blend) {
        if (distills) {
          for_each_piece(
              begin, end, true, true, [&](std::size_t, matrix_view<float> s, matrix_view<float> t) {
                for (std::size_t i = 0; i < block.size(); ++i) {
                  if (!block[i].token.counts) continue;
                  observe_terms<Arch>(self.loss, s.row(i), t.row(i), block[i].seen, block[i].sums);
                }
              });
        }
      }
      for (const token_state& state : block) add_values(state, result);
      if (hidden_gradient.data != nullptr && !tokens.accumulate) {
        for (std::size_t i = begin; i < end; ++i)
          detail::distill::clear_gradient_row(false, hidden_gradient.row(i));
      }
      for_each_piece(begin, end, true, distills,
                     [&](std::size_t first, matrix_view<float> s, matrix_view<float> t) {
                       matrix_view<float> g = piece(2, block.size(), s.cols);
                       for (std::size_t i = 0; i < block.size(); ++i)
                         write_gradient(block[i], begin + i, first, s.row(i), t.row(i), g.row(i));
                       const matrix_view<float> into =
                           hidden_gradient.data == nullptr
                               ? matrix_view<float>{}
                               : hidden_gradient.rows_between(begin, end);
                       student_head.backward(g, first, student.rows_between(begin, end), into);
                     });
    }

    [[nodiscard]] double square() const noexcept {
      const double t = static_cast<double>(self.loss.temperature);
      return self.loss.temperature_squared ? t * t : 1;
    }

    void add_values(const token_state& state, fused_result& result) const {
      double task = 0, distillation = 0;
      if (state.token.counts && self.task_weight != 0) {
        task =
            std::log(state.plain.student_sum) - (state.label_logit - state.plain.student_reference);
      }
      if (state.token.counts && self.loss_weight != 0) {
        if constexpr (is_blend) {
          distillation = (state.gamma < 1 ? (1 - state.gamma) * state.seen.forward_kl() : 0) +
                         (state.gamma > 0 ? state.gamma * state.seen.reverse_kl() : 0);
        } else {
          distillation = state.sums.value < 0 ? 0 : state.sums.value;
        }
        distillation *= square();
      }
      const double value = (self.task_weight != 0 ? self.task_weight * task : 0) +
                           (self.loss_weight != 0 ? self.loss_weight * distillation : 0);
      detail::distill::add_token(result, tokens, state.token, value);
      if (state.token.share != 0) {
        result.task += state.token.share * task;
        result.distillation += state.token.share * distillation;
      }
    }

    void write_gradient(const token_state& state, std::size_t token, std::size_t first,
                        std::span<float> s, std::span<float> t, std::span<float> g) const {
      std::fill(g.begin(), g.end(), 0.0f);
      if (!state.token.counts) return;
      if (self.loss_weight != 0) {
        const double factor = self.loss_weight * state.token.upstream * square();
        if constexpr (is_blend) {
          piece_gradient<Arch>(s, t, self.loss.temperature, state.seen, (1 - state.gamma) * factor,
                               state.gamma * factor, g);
        } else {
          piece_gradient<Arch>(self.loss, s, t, state.seen, state.sums, factor, g);
        }
      }
      if (self.task_weight != 0) {
        const double factor = self.task_weight * state.token.upstream,
                     log_sum = state.plain.student_log_sum();
        detail::distill::softmax_gradient<double, Arch>(
            detail::distill::logit_row<float>{s.data(), s.size()}, log_sum, factor, 0.0, true,
            g.data());
        if (const std::size_t at = label_column(token, first, s.size()); at < s.size()) {
          g[at] -= static_cast<float>(factor);
        }
      }
    }
  };
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
