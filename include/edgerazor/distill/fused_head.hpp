// SPDX-License-Identifier: Apache-2.0
/// Losses straight from hidden states: the logits of a few tokens and a few thousand columns exist
/// at a time, never all.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/row/softmax.hpp>
#include <edgerazor/distill/tokens.hpp>
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
///     auto r = loss(student_hidden, student_head, teacher_hidden, teacher_head, tokens,
///                   hidden_gradient, workspace);
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

  template <vocabulary_head StudentHead, vocabulary_head TeacherHead>
  fused_result operator()(matrix_view<const float> student, const StudentHead& student_head,
                          matrix_view<const float> teacher, const TeacherHead& teacher_head,
                          const token_batch& tokens, matrix_view<float> hidden_gradient,
                          std::span<float> workspace) const {
    check(student, student_head.rows(), student_head.cols(), teacher, teacher_head.rows(),
          teacher_head.cols(), tokens, hidden_gradient, workspace.size());
    const detail::distill::token_plan plan{"fused_head", tokens, student.rows};
    if ((task_weight != 0 || requires { Loss::reads_labels; }) && !tokens.labels.empty())
      plan.check_labels("the vocabulary", student_head.rows());
    const pass<StudentHead, TeacherHead> run{*this,        student, student_head, teacher,
                                             teacher_head, tokens,  plan,         workspace};
    return run.all(hidden_gradient);
  }

 private:
  static constexpr bool is_blend = requires(const Loss& l) { l.rule(); };

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
    detail::distill::check_gradient("fused_head", "the student's hidden states", student.rows,
                                    student.cols, gradient);
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

  /// One call. Blocks of tokens, and for each several rounds over the vocabulary.
  template <class StudentHead, class TeacherHead>
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

      /// The label's column in a piece, or something past its end.
      [[nodiscard]] std::size_t label_column(std::size_t first) const noexcept {
        return static_cast<std::size_t>(token.label) - first;  // wraps before the piece
      }
    };

    [[nodiscard]] matrix_view<float> piece(std::size_t which, std::size_t rows,
                                           std::size_t cols) const noexcept {
      return {workspace.data() + which * block_tokens * self.columns, rows, cols};
    }
    [[nodiscard]] float& confidence(std::size_t token) const noexcept {
      return workspace[3 * block_tokens * self.columns + token];
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

    /// Calls run(tokens) for the tokens in blocks.
    template <class Run>
    void for_each_block(Run&& run) const {
      std::array<token_state, block_tokens> block{};
      std::size_t count = 0;
      plan.for_each_token([&](const detail::distill::counted_token& token) {
        block[count] = {};
        block[count].token = token;
        if (++count != block_tokens && token.index + 1 != student.rows) return;
        run(std::span{block}.first(count));
        count = 0;
      });
    }

    /// The teacher's confidence in every token, for gammas that are means over more than one.
    void measure_confidence(const detail::distill::gamma_rule& rule) const {
      for_each_block([&](std::span<token_state> block) {
        const std::size_t begin = block.front().token.index, end = begin + block.size();
        for_each_piece(begin, end, false, true,
                       [&](std::size_t first, auto&&, const matrix_view<float>& t) {
                         for (std::size_t i = 0; i < block.size(); ++i) {
                           observe_piece(t.row(i), t.row(i), 1.0f, block[i].seen);
                           if (const std::size_t at = block[i].label_column(first); at < t.cols)
                             block[i].label_logit = static_cast<double>(t.row(i)[at]);
                         }
                       });
        for (const token_state& state : block) {
          confidence(state.token.index) =
              static_cast<float>(rule.from == detail::distill::gamma_rule::source::label
                                     ? std::exp(state.label_logit - state.seen.teacher_log_sum())
                                     : rule.of_entropy(state.seen.teacher_entropy()));
        }
      });
    }

    [[nodiscard]] fused_result all(matrix_view<float> hidden_gradient) const {
      fused_result result;
      detail::distill::gamma_rule rule;
      if constexpr (is_blend) rule = self.loss.rule().with("fused_head", std::nullopt, tokens);
      const bool distills = self.loss_weight != 0;
      if (distills && rule.from != detail::distill::gamma_rule::source::constant)
        measure_confidence(rule);
      const auto confidence_of = [&](const detail::distill::counted_token& token) {
        return static_cast<double>(confidence(token.index));
      };
      detail::distill::scope_gammas gammas{rule, plan, confidence_of};
      for_each_block([&](std::span<token_state> block) {
        for (token_state& state : block) {
          if (state.token.counts && distills) state.gamma = gammas.of(state.token);
        }
        run_block(block, hidden_gradient, result);
      });
      if (distills) result.gamma = gammas.mean();
      return result;
    }

    void run_block(std::span<token_state> block, matrix_view<float> hidden_gradient,
                   fused_result& result) const {
      const std::size_t begin = block.front().token.index, end = begin + block.size();
      const bool distills = self.loss_weight != 0, labelled = self.task_weight != 0;
      // visit(state, first, its rows of both pieces) for the tokens that count.
      const auto for_each_row = [&](auto&& visit) {
        for_each_piece(begin, end, true, distills,
                       [&](std::size_t first, const auto& s, const auto& t) {
                         for (std::size_t i = 0; i < block.size(); ++i) {
                           if (block[i].token.counts) visit(block[i], first, s.row(i), t.row(i));
                         }
                       });
      };
      for_each_row([&](token_state& state, std::size_t first, auto s, auto t) {
        if (distills) observe_piece(s, t, self.loss.temperature, state.seen);
        if (labelled) observe_piece(s, s, 1.0f, state.plain);
        const std::size_t at = state.label_column(first);
        if (at < s.size()) state.label_logit = static_cast<double>(s[at]);
      });
      if constexpr (!is_blend) {
        if (distills) {
          for_each_row([&](token_state& state, std::size_t, auto s, auto t) {
            observe_terms(self.loss, s, t, state.seen, state.sums);
          });
        }
      }
      for (const token_state& state : block) {
        add_values(state, result);
        if (hidden_gradient.data != nullptr)
          output_row{hidden_gradient.row(state.token.index), tokens.accumulate}.clear();
      }
      for_each_piece(begin, end, true, distills,
                     [&](std::size_t first, const auto& s, const auto& t) {
                       matrix_view<float> g = piece(2, block.size(), s.cols);
                       for (std::size_t i = 0; i < block.size(); ++i)
                         write_gradient(block[i], first, s.row(i), t.row(i), g.row(i));
                       student_head.backward(g, first, student.rows_between(begin, end),
                                             hidden_gradient.data == nullptr
                                                 ? matrix_view<float>{}
                                                 : hidden_gradient.rows_between(begin, end));
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
          distillation =
              detail::row::blended(state.gamma, state.seen.forward_kl(), state.seen.reverse_kl());
        } else {
          distillation = detail::row::not_negative(state.sums.value);
        }
        distillation *= square();
      }
      const double value = (self.task_weight != 0 ? self.task_weight * task : 0) +
                           (self.loss_weight != 0 ? self.loss_weight * distillation : 0);
      plan.add(result, state.token, value);
      if (state.token.share != 0) {
        result.task += state.token.share * task;
        result.distillation += state.token.share * distillation;
      }
    }

    void write_gradient(const token_state& state, std::size_t first, std::span<float> s,
                        std::span<float> t, std::span<float> g) const {
      std::fill(g.begin(), g.end(), 0.0f);
      if (!state.token.counts) return;
      if (self.loss_weight != 0) {
        const double factor = self.loss_weight * state.token.upstream * square();
        if constexpr (is_blend) {
          piece_gradient(s, t, self.loss.temperature, state.seen, (1 - state.gamma) * factor,
                         state.gamma * factor, g);
        } else {
          piece_gradient(self.loss, s, t, state.seen, state.sums, factor, g);
        }
      }
      if (self.task_weight != 0) {
        const double factor = self.task_weight * state.token.upstream;
        detail::row::softmax_gradient(s, state.plain.student_log_sum(), factor, 0.0,
                                      output_row{g, true});
        if (const std::size_t at = state.label_column(first); at < s.size())
          g[at] -= static_cast<float>(factor);
      }
    }
  };
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
