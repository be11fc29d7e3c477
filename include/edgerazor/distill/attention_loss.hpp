// SPDX-License-Identifier: Apache-2.0
/// Loss between attention maps of student and teacher.
#pragma once

#include <cstddef>

#include <edgerazor/distill/heads.hpp>
#include <edgerazor/distill/row/positions.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {

/// Rows of maps for sum_head_divergences.
struct attention_rows {
  const head_rows& rows;
  std::size_t group;
  bool parity;
  bool accumulate;

  void begin_sample(const head_token&, bool) const noexcept {}
  void end_sample(const head_token&) const noexcept {}
  void skip(const head_token& token) const noexcept {
    rows.gradient.row(token, accumulate).clear();
  }

  [[nodiscard]] double entropy(const head_token& token) const noexcept {
    return row::attention_entropy(teacher(token), parity);
  }
  row::kl_divergences divergences(const head_token& token,
                                  const row::kl_blend& blend) const noexcept {
    const bool differentiated = blend.forward != 0 || blend.reverse != 0;
    return row::attention_row(rows.student.row(token), teacher(token), blend, parity,
                              differentiated ? rows.gradient.row(token, accumulate) : output_row{});
  }

 private:
  /// The group of the teacher's heads that stands for one of the student's.
  [[nodiscard]] row::row_group teacher(head_token token) const noexcept {
    const token_heads& heads = rows.teacher;
    token.head *= group;
    return {heads.row(token), group,
            heads.order == head_order::by_token ? heads.width()
                                                : token.sample_size() * heads.matrix.stride()};
  }
};

}  // namespace detail::distill

/// KL between attention maps, [samples, heads, queries, keys]: each row is a query's distribution
/// over keys, after softmax (EdgeRazor (Python), compute_kld on four dimensions). A token is a
/// query; keys are not masked.
///
/// Where the teacher has a multiple of the student's heads, the mean of each group of them is
/// compared with one head of the student. The gradient is with respect to the probabilities, each
/// taken for a free variable; the softmax that made them is the host's to go back through. A
/// probability of 0 gives what the limit gives: 0 ln 0 is 0, and a divergence may be infinite, its
/// gradient too, but never NaN. A NaN, or an entry below 0, makes the token's value NaN, and the
/// gradient of that entry.
struct attention_kl {
  kl_direction direction = kl_direction::forward;  ///< options: see kl_direction
  loss_mode mode = loss_mode::stable;
  std::size_t confidence_k = 16;
  bool sum_heads = false;

  /// Value, and gradient with respect to the student's map where `gradient` has data; it may be the
  /// student's own memory. Fails where shapes differ or the teacher's heads are no multiple of the
  /// student's.
  blended_result operator()(const token_heads& student, const token_heads& teacher,
                            const token_batch& tokens, const gradient_heads& gradient = {}) const {
    constexpr const char* name = "attention_kl";
    const detail::distill::head_rows rows{name, student, teacher, gradient};
    const std::size_t group = rows.heads_per_group();
    const detail::distill::token_plan plan(name, tokens, student.tokens());
    detail::distill::check_confidence_k(name, confidence_k);
    detail::distill::attention_rows maps{rows, group, mode == loss_mode::parity, tokens.accumulate};
    return detail::distill::sum_head_divergences(*this, student.heads, plan, maps, 1, false);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
