// SPDX-License-Identifier: Apache-2.0
/// Losses straight from hidden states: the logits of a few tokens and a few thousand columns exist
/// at a time, never all.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

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
/// again in pieces: at most 128 tokens x `columns` at a time. Loss is one of the KL family,
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
/// leaves the teacher alone. Weights are finite and not negative, or the call fails before anything
/// is written.
template <class Loss>
struct fused_head {
  Loss loss = {};
  double task_weight = 0;
  double loss_weight = 1;
  std::size_t columns = 2048;

  static constexpr std::size_t block_tokens = 128;

  [[nodiscard]] std::size_t workspace_size(std::size_t tokens) const noexcept {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    // Of a number of columns that no memory holds: more than any workspace has.
    if (columns > (most - tokens) / (3 * block_tokens)) return most;
    return 3 * block_tokens * columns + tokens;
  }

  template <vocabulary_head StudentHead, vocabulary_head TeacherHead>
  fused_result operator()(matrix_view<const float> student, const StudentHead& student_head,
                          matrix_view<const float> teacher, const TeacherHead& teacher_head,
                          const token_batch& tokens, matrix_view<float> hidden_gradient,
                          std::span<float> workspace) const {
    return pass<StudentHead, TeacherHead>{*this,        student, student_head,    teacher,
                                          teacher_head, tokens,  hidden_gradient, workspace}
        .run();
  }

 private:
  static constexpr bool is_blend = requires(const Loss& l) { l.rule(); };
  using token = detail::distill::counted_token;
  using gamma_rule = detail::distill::gamma_rule;

  /// One call. Blocks of tokens, and for each several rounds over the vocabulary.
  template <class StudentHead, class TeacherHead>
  struct pass {
    const fused_head& self;
    matrix_view<const float> student;
    const StudentHead& student_head;
    matrix_view<const float> teacher;
    const TeacherHead& teacher_head;
    const token_batch& tokens;
    matrix_view<float> hidden_gradient;
    std::span<float> workspace;
    detail::distill::token_plan plan{"fused_head", tokens, student.rows};
    bool labelled = self.task_weight != 0, distills = self.loss_weight != 0;

    /// What is known of a token of the block.
    struct token_state {
      token here;
      logit_statistics seen = {};    ///< at the loss's temperature
      logit_statistics others = {};  ///< of all columns but the label's, at 1
      piece_sums sums = {};
      double label_logit = 0;
      double gamma = 0;

      /// The label's column in a piece, or something past its end.
      [[nodiscard]] std::size_t label_column(std::size_t first) const noexcept {
        return static_cast<std::size_t>(here.label) - first;  // wraps before the piece
      }
      void see_label(std::size_t first, std::span<const float> logits) noexcept {
        const std::size_t at = label_column(first);
        if (at < logits.size()) label_logit = static_cast<double>(logits[at]);
      }
      /// The label among the columns while they are observed.
      void observe_others(std::size_t first, std::span<float> logits) {
        const std::size_t at = label_column(first);
        constexpr float impossible = -std::numeric_limits<float>::infinity();
        const float label = at < logits.size() ? std::exchange(logits[at], impossible) : 0;
        observe_piece(logits, logits, 1.0f, others);
        if (at < logits.size()) logits[at] = label;
      }
      /// -ln q of the label: ln(1 + odds), odds = (1 - q) / q. The digits of a small loss are those
      /// of the others' sum.
      [[nodiscard]] double label_loss() const noexcept {
        if (label_logit == std::numeric_limits<double>::infinity())
          return label_logit - label_logit;
        const double apart = others.student_reference - label_logit,
                     odds = others.student_sum * std::exp(apart);
        return odds < 1 ? std::log1p(odds)
                        : apart + std::log(others.student_sum + std::exp(-apart));
      }
      [[nodiscard]] detail::row::softmax_sum softmax() const noexcept {
        const double reference = std::max(others.student_reference, label_logit);
        return {reference, others.student_sum * std::exp(others.student_reference - reference) +
                               std::exp(label_logit - reference)};
      }
    };
    using token_block = std::span<token_state>;

    [[nodiscard]] fused_result run() const {
      check();
      gamma_rule rule;
      if constexpr (is_blend) rule = self.loss.rule().with("fused_head", std::nullopt, tokens);
      if (distills && rule.from != gamma_rule::source::constant) measure_confidence(rule);
      const auto confidence_of = [&](const token& i) { return double{confidence(i.index)}; };
      detail::distill::scope_gammas gammas{rule, plan, confidence_of};
      fused_result result;
      for_each_block([&](token_block block) {
        for (token_state& state : block) {
          if (state.here.weighs() && distills) state.gamma = gammas.of(state.here);
        }
        run_block(block, result);
      });
      if (distills) result.gamma = gammas.mean();
      return result;
    }

    void check() const {
      using detail::core::fail, detail::core::shape_text, std::to_string;
      const std::size_t rows = student_head.rows(), needed = self.workspace_size(student.rows);
      if (rows != teacher_head.rows() || rows == 0) {
        fail("fused_head: the student's head has " + to_string(rows) + " rows, the teacher's " +
             to_string(teacher_head.rows()));
      }
      if (student.cols != student_head.cols() || teacher.cols != teacher_head.cols() ||
          student.rows != teacher.rows) {
        fail("fused_head: hidden states are " + shape_text(student.rows, student.cols) + " and " +
             shape_text(teacher.rows, teacher.cols) + ", the heads take " +
             to_string(student_head.cols()) + " and " + to_string(teacher_head.cols()) +
             " columns");
      }
      detail::distill::check_gradient("fused_head", "the student's hidden states", student.rows,
                                      student.cols, hidden_gradient);
      if (self.columns == 0 || workspace.size() < needed) {
        fail("fused_head: a workspace of " + to_string(workspace.size()) + " floats, expected " +
             to_string(needed));
      }
      if (labelled)
        detail::distill::check_tokens("fused_head", "labels", tokens.labels.size(), student.rows);
      if ((labelled || requires { Loss::reads_labels; }) && !tokens.labels.empty())
        plan.check_labels("the vocabulary", rows);
      detail::distill::check_weight("fused_head", "the task's weight", self.task_weight);
      detail::distill::check_weight("fused_head", "the loss's weight", self.loss_weight);
      detail::distill::check_temperature("fused_head", self.loss.temperature, loss_mode::stable);
      if constexpr (is_blend) {
        if (self.loss.mode == loss_mode::parity)
          fail("fused_head: parity mode needs whole rows of logits");
      } else if (distills) {
        static_cast<void>(self.loss.term());  // checks its parameters
      }
    }

    [[nodiscard]] matrix_view<float> piece(std::size_t which, std::size_t rows,
                                           std::size_t cols) const noexcept {
      return {workspace.data() + which * block_tokens * self.columns, rows, cols};
    }
    [[nodiscard]] float& confidence(std::size_t i) const noexcept {
      return workspace[3 * block_tokens * self.columns + i];
    }

    /// Calls visit(tokens) for the tokens in blocks.
    template <class Visit>
    void for_each_block(Visit&& visit) const {
      std::array<token_state, block_tokens> block{};
      std::size_t count = 0;
      plan.for_each_token([&](const token& i) {
        block[count++] = {.here = i};
        if (count != block_tokens && i.index + 1 != student.rows) return;
        visit(std::span{block}.first(count));
        count = 0;
      });
    }
    template <class T>
    [[nodiscard]] static matrix_view<T> rows_of(token_block block, matrix_view<T> all) noexcept {
      if (all.data == nullptr) return {};
      const std::size_t begin = block.front().here.index;
      return all.rows_between(begin, begin + block.size());
    }
    /// Calls visit(first, student's logits, teacher's logits) for the pieces of the vocabulary; for
    /// a model that isn't asked, with the other's.
    template <class Visit>
    void for_each_piece(token_block block, bool with_student, bool with_teacher,
                        Visit&& visit) const {
      const std::size_t vocabulary = student_head.rows();
      for (std::size_t first = 0; first < vocabulary; first += self.columns) {
        const std::size_t cols = std::min(self.columns, vocabulary - first);
        matrix_view<float> s = piece(0, block.size(), cols), t = piece(1, block.size(), cols);
        if (with_student) student_head.logits(rows_of(block, student), first, s);
        if (with_teacher) teacher_head.logits(rows_of(block, teacher), first, t);
        visit(first, with_student ? s : t, with_teacher ? t : s);
      }
    }
    /// Calls visit(state, first, its rows of both pieces) for the tokens that count.
    template <class Visit>
    void for_each_row(token_block block, bool with_student, bool with_teacher,
                      Visit&& visit) const {
      for_each_piece(block, with_student, with_teacher,
                     [&](std::size_t first, const auto& s, const auto& t) {
                       for (std::size_t i = 0; i < block.size(); ++i)
                         if (block[i].here.weighs()) visit(block[i], first, s.row(i), t.row(i));
                     });
    }

    /// The teacher's confidence in every token, for gammas that are means over more than one.
    void measure_confidence(const gamma_rule& rule) const {
      for_each_block([&](token_block block) {
        for_each_row(block, false, true, [](token_state& state, std::size_t first, auto, auto t) {
          observe_piece(t, t, 1.0f, state.seen);
          state.see_label(first, t);
        });
        for (const token_state& state : block) {
          if (!state.here.weighs()) continue;
          confidence(state.here.index) =
              static_cast<float>(rule.from == gamma_rule::source::label
                                     ? std::exp(state.label_logit - state.seen.teacher_reference) /
                                           state.seen.teacher_sum
                                     : rule.of_entropy(state.seen.teacher_entropy()));
        }
      });
    }

    void run_block(token_block block, fused_result& result) const {
      for_each_row(block, true, distills,
                   [&](token_state& state, std::size_t first, auto s, auto t) {
                     if (distills) observe_piece(s, t, self.loss.temperature, state.seen);
                     if (labelled) state.observe_others(first, s);
                     state.see_label(first, s);
                   });
      if constexpr (!is_blend) {
        if (distills) {
          for_each_row(block, true, true, [&](token_state& state, std::size_t, auto s, auto t) {
            observe_terms(self.loss, s, t, state.seen, state.sums);
          });
        }
      }
      const matrix_view<float> to_hidden = rows_of(block, hidden_gradient);
      for (const token_state& state : block) add_values(state, result);
      for (std::size_t i = 0; i < to_hidden.rows; ++i)
        output_row{to_hidden.row(i), tokens.accumulate}.clear();
      for_each_piece(block, true, distills, [&](std::size_t first, const auto& s, const auto& t) {
        matrix_view<float> g = piece(2, block.size(), s.cols);
        for (std::size_t i = 0; i < block.size(); ++i)
          write_gradient(block[i], first, s.row(i), t.row(i), g.row(i));
        student_head.backward(g, first, rows_of(block, student), to_hidden);
      });
    }

    [[nodiscard]] double square() const noexcept {
      const double t = static_cast<double>(self.loss.temperature);
      return self.loss.temperature_squared ? t * t : 1;
    }

    void add_values(const token_state& state, fused_result& result) const {
      double task = 0, distillation = 0;
      if (state.here.weighs() && labelled) task = state.label_loss();
      if (state.here.weighs() && distills) {
        if constexpr (is_blend) {
          distillation =
              detail::row::blended(state.gamma, state.seen.forward_kl(), state.seen.reverse_kl());
        } else {
          distillation = detail::row::not_negative(state.sums.value);
        }
        distillation *= square();
      }
      plan.add(result, state.here,
               (labelled ? self.task_weight * task : 0) +
                   (distills ? self.loss_weight * distillation : 0));
      if (state.here.share != 0) {
        result.task += state.here.share * task;
        result.distillation += state.here.share * distillation;
      }
    }

    void write_gradient(const token_state& state, std::size_t first, std::span<float> s,
                        std::span<float> t, std::span<float> g) const {
      std::fill(g.begin(), g.end(), 0.0f);
      if (!state.here.weighs() || state.here.upstream == 0) return;
      if (distills) {
        const double factor = self.loss_weight * state.here.upstream * square();
        if constexpr (is_blend) {
          // Not piece_gradient, which refuses the gamma of a teacher that is NaN.
          detail::row::kl_gradient(
              {s, t, state.seen.inverse_temperature}, state.seen,
              {.forward = (1 - state.gamma) * factor, .reverse = state.gamma * factor}, g);
        } else {
          detail::row::term_gradient(self.loss.term(), {s, t, state.seen.inverse_temperature},
                                     state.seen, state.sums, factor, g);
        }
      }
      if (labelled) {
        const double factor = self.task_weight * state.here.upstream;
        const std::size_t at = state.label_column(first);
        const float before = at < s.size() ? g[at] : 0;
        detail::row::softmax_gradient(s, state.softmax(), factor, 0.0, output_row{g, true});
        // q - 1 without cancellation in float.
        if (at < s.size())
          g[at] = before + static_cast<float>(factor * std::expm1(-state.label_loss()));
      }
    }
  };
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
