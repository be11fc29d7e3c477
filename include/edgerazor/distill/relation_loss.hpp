// SPDX-License-Identifier: Apache-2.0
/// Loss between self-relations of cached keys or values: how much each token's vector resembles
/// every other's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/distill/heads.hpp>
#include <edgerazor/distill/row/positions.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {

/// One head of one sample at a time. The workspace holds, as doubles, the student's rows, their
/// gradient and the rows of a group of the teacher's heads; and one row each of ln q, ln p and a
/// spare, which takes the slopes.
struct relation_rows {
  const head_rows& rows;
  std::size_t group;
  bool parity, accumulate;
  double* ln_q;         ///< the workspace's begin
  std::size_t longest;  ///< sample
  std::size_t cols = row::relation_cols(longest), student_size = longest * rows.student.width();
  double *ln_p = ln_q + cols, *spare = ln_p + cols, *x = spare + cols, *slope = x + student_size,
         *y = slope + student_size;
  bool differentiates = rows.gradient.matrix.data() != nullptr;

  void begin_sample(const head_token& token, bool student) const noexcept {
    const std::size_t tokens = token.sample_size();
    for (std::size_t g = 0; g < group; ++g)
      load(rows.teacher, token, token.head * group + g, y + g * tokens * rows.teacher.width());
    if (!student) return;
    load(rows.student, token, token.head, x);
    std::fill_n(slope, tokens * rows.student.width(), 0.0);
  }
  void end_sample(head_token token) const noexcept {
    const std::size_t width = rows.student.width();
    for (token.index = token.begin; differentiates && token.index < token.end; ++token.index) {
      rows.gradient.row(token, accumulate)
          .store_wide(0, width, slope + (token.index - token.begin) * width);
    }
  }
  void skip(const head_token&) const noexcept {}

  [[nodiscard]] double entropy(const head_token& token) const noexcept {
    relate_teacher(token);
    return row::relation_entropy(ln_p, token.sample_size(), parity);
  }

  row::kl_divergences divergences(const head_token& token,
                                  const row::kl_blend& blend) const noexcept {
    relate_teacher(token);
    const std::size_t tokens = token.sample_size(), width = rows.student.width(),
                      i = token.index - token.begin;
    row::relate(x, tokens, width, i, ln_q);
    const bool differentiated = differentiates && (blend.forward != 0 || blend.reverse != 0);
    const row::kl_divergences both =
        row::relation_row(ln_q, ln_p, tokens, blend, parity, differentiated ? spare : nullptr);
    if (differentiated) row::relate_back(x, tokens, width, i, spare, slope);
    return both;
  }

 private:
  static void load(const token_heads& of, head_token token, std::size_t head, double* to) noexcept {
    token.head = head;
    for (token.index = token.begin; token.index < token.end; ++token.index) {
      const input_row row = of.row(token);
      for (std::size_t c = 0; c < row.size; ++c) *to++ = row[c];
    }
  }

  /// ln p of a row: of the mean over the group's distributions.
  void relate_teacher(const head_token& token) const noexcept {
    const std::size_t tokens = token.sample_size(), width = rows.teacher.width(),
                      i = token.index - token.begin;
    row::relate(y, tokens, width, i, ln_p);
    for (std::size_t g = 1; g < group; ++g) {
      row::relate(y + g * tokens * width, tokens, width, i, spare);
      for (std::size_t j = 0; j < tokens; ++j) {
        // Where one is NaN, so is their distance.
        const double larger = std::max(ln_p[j], spare[j]), apart = std::fabs(ln_p[j] - spare[j]);
        ln_p[j] = larger + std::log1p(std::exp(-apart));
      }
    }
    const double ln_group = std::log(static_cast<double>(group));
    for (std::size_t j = 0; j < tokens; ++j) ln_p[j] -= ln_group;
  }
};

}  // namespace detail::distill

/// KL between self-relations of student and teacher (EdgeRazor (Python), kd.py, past_key_values
/// with compute_kld): with X the rows of one head of one sample,
///
///     R = softmax(X X^T / sqrt(width))        l of a token = KL of its row of R, averaged over heads
///
/// A padding token has no row that counts, but is one of the columns, as in EdgeRazor (Python).
/// Where the teacher has a multiple of the student's heads, the mean of each group's R is compared
/// with one head of the student; widths may differ. One row of R exists at a time. A NaN or an
/// infinity makes the value and the gradient of all that it is related to NaN.
struct relation_kl {
  kl_direction direction = kl_direction::forward;  ///< options: see kl_direction
  loss_mode mode = loss_mode::stable;
  std::size_t confidence_k = 16;
  bool sum_heads = false;

  /// Doubles of the workspace, for samples of at most `sample_tokens`; `group`: teacher's heads for
  /// one of the student's.
  [[nodiscard]] static constexpr std::size_t workspace_size(std::size_t sample_tokens,
                                                            std::size_t student_width,
                                                            std::size_t teacher_width,
                                                            std::size_t group = 1) noexcept {
    return 3 * detail::row::relation_cols(sample_tokens) +
           sample_tokens * (2 * student_width + group * teacher_width);
  }

  /// Value, and gradient with respect to the student's keys or values where `gradient` has data.
  /// Fails, before anything is written, where numbers of tokens differ, the teacher's heads are no
  /// multiple of the student's or the workspace is too small.
  blended_result operator()(const token_heads& student, const token_heads& teacher,
                            const token_batch& tokens, const gradient_heads& gradient,
                            std::span<double> workspace) const {
    return scaled(student, teacher, tokens, gradient, workspace, 1, false);
  }

 private:
  friend struct key_value_relation_kl;

  void check(const token_heads& student, const token_heads& teacher, const token_batch& tokens,
             const gradient_heads& gradient, std::span<double> workspace) const {
    constexpr const char* name = "relation_kl";
    const detail::distill::head_rows rows{name, student, teacher, gradient, false};
    const std::size_t group = rows.heads_per_group();
    const detail::distill::token_plan plan(name, tokens, student.tokens());
    const std::size_t longest = longest_sample(plan);
    if (longest != 0 && (student.width() == 0 || teacher.width() == 0))
      detail::core::fail("relation_kl: rows of width 0");
    const std::size_t needed = workspace_size(longest, student.width(), teacher.width(), group);
    if (workspace.size() < needed) {
      detail::core::fail("relation_kl: the workspace has " + std::to_string(workspace.size()) +
                         " doubles, expected " + std::to_string(needed));
    }
    detail::distill::check_confidence_k(name, confidence_k);
  }
  [[nodiscard]] static std::size_t longest_sample(
      const detail::distill::token_plan& plan) noexcept {
    std::size_t longest = 0;
    for (std::size_t sample = 0; sample < plan.samples(); ++sample)
      longest = std::max(longest, plan.sample_end(sample) - plan.sample_begin(sample));
    return longest;
  }
  [[nodiscard]] blended_result scaled(const token_heads& student, const token_heads& teacher,
                                      const token_batch& tokens, const gradient_heads& gradient,
                                      std::span<double> workspace, double scale,
                                      bool add_values) const {
    check(student, teacher, tokens, gradient, workspace);
    constexpr const char* name = "relation_kl";
    const detail::distill::head_rows rows{name, student, teacher, gradient, false};
    const std::size_t group = rows.heads_per_group();
    const detail::distill::token_plan plan(name, tokens, student.tokens());
    const std::size_t longest = longest_sample(plan);
    const detail::distill::relation_rows relations{
        rows, group, mode == loss_mode::parity, tokens.accumulate, workspace.data(), longest};
    return detail::distill::sum_head_divergences(*this, student.heads, plan, relations, scale,
                                                 add_values);
  }
};

/// Cached keys and values of one layer.
template <class T>
struct key_value_views {
  head_view<T> keys = {};
  head_view<T> values = {};
};

/// Whose self-relations are compared (EdgeRazor (Python), self_relation_distill_component).
enum class relation_component { key, value, both };

/// `relation` between keys, between values (the default of EdgeRazor (Python)) or the mean of the
/// two. Views of what isn't compared may be empty, and gradients of it are left alone.
struct key_value_relation_kl {
  relation_kl relation = {};
  relation_component component = relation_component::value;

  /// See relation_kl, whose workspace it needs. With `both`, gamma is the mean of the two.
  template <class S, class T>
  blended_result operator()(const key_value_views<S>& student, const key_value_views<T>& teacher,
                            const token_batch& tokens, const key_value_views<float>& gradient,
                            std::span<double> workspace) const {
    const bool both = component == relation_component::both;
    const double share = both ? 0.5 : 1;
    if (both)  // before anything is written for the keys
      relation.check(student.values, teacher.values, tokens, gradient.values, workspace);
    blended_result result;
    const auto add = [&](const auto& of_student, const auto& of_teacher, const auto& of_gradient,
                         bool second) {
      const blended_result part =
          relation.scaled(of_student, of_teacher, tokens, of_gradient, workspace, share, second);
      result.value += part.value;
      result.tokens = part.tokens;
      result.gamma += share * part.gamma;
      result.forward += part.forward;
      result.reverse += part.reverse;
    };
    if (component != relation_component::value)
      add(student.keys, teacher.keys, gradient.keys, false);
    if (component != relation_component::key)
      add(student.values, teacher.values, gradient.values, both);
    return result;
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
