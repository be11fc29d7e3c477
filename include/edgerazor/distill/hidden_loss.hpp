// SPDX-License-Identifier: Apache-2.0
/// Losses between hidden states of student and teacher: mean squared error and cosine distance of
/// each token's features.
///
/// A token's value l is over its features (and heads, where there are several); `token_batch` says
/// how tokens become one value. Features are finite; a NaN or an infinity gives what the formula
/// gives.
#pragma once

#include <concepts>
#include <cstddef>

#include <edgerazor/distill/heads.hpp>
#include <edgerazor/distill/row/features.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A loss that goes row by row: `loss.row(student, teacher, upstream, gradient)` is l of one row,
/// and writes upstream dl/ds where the gradient has data. `projected` takes any.
template <class Loss>
concept hidden_loss = requires(const Loss loss, const input_row& row, const output_row& gradient) {
  { loss.row(row, row, 1.0, gradient) } -> std::same_as<double>;
};

namespace detail::distill {

/// Sums a loss over rows: l of a token is the mean over its heads.
template <hidden_loss Loss>
loss_result sum_hidden_rows(const char* name, const Loss& loss, const token_heads& student,
                            const token_heads& teacher, const token_batch& batch,
                            const gradient_heads& gradient) {
  const head_rows rows{name, student, teacher, gradient};
  rows.check_same_heads("teacher", teacher.heads);
  const token_plan plan(name, batch, student.tokens());
  const double per_head = 1.0 / static_cast<double>(student.heads);
  loss_result result;
  plan.for_each_token([&](const counted_token& token) {
    double value = 0;
    for (std::size_t head = 0; head < student.heads; ++head) {
      const head_token at{token, head};
      const output_row out = gradient.row(at, batch.accumulate);
      const bool differentiated = token.weighs() && token.upstream != 0;
      if (token.weighs()) {
        value += loss.row(student.row(at), teacher.row(at), token.upstream * per_head,
                          differentiated ? out : output_row{});
      }
      if (!differentiated) out.clear();  // after the student's row was read
    }
    plan.add(result, token, value * per_head);
  });
  return result;
}

}  // namespace detail::distill

/// l = mean over features of (s - t)^2 (EdgeRazor (Python), compute_mse).
///
/// The `sum` and `none` of EdgeRazor (Python) add features up instead of averaging them:
/// `sum_features`. Its `mean` counts a sample of nothing but padding as one token; here such a
/// sample counts nothing.
struct hidden_mse {
  bool sum_features = false;  ///< l is the sum over features (and the mean over heads)

  double row(const input_row& student, const input_row& teacher, double upstream,
             const output_row& gradient) const noexcept {
    const std::size_t features = sum_features || student.size == 0 ? 1 : student.size;
    return detail::row::squared_distance(student, teacher, 1 / static_cast<double>(features),
                                         upstream, gradient);
  }

  /// Value, and gradient with respect to the student where `gradient` has data; it may be the
  /// student's own memory. Fails where shapes differ.
  loss_result operator()(const token_heads& student, const token_heads& teacher,
                         const token_batch& tokens, const gradient_heads& gradient = {}) const {
    return detail::distill::sum_hidden_rows("hidden_mse", *this, student, teacher, tokens,
                                            gradient);
  }
  /// The same, all tokens being one sample; no labels: all tokens count.
  loss_result operator()(const token_heads& student, const token_heads& teacher,
                         const label_span& labels, reduction how,
                         const gradient_heads& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// l = 1 - cos(s, t), in [0, 2]. The cosine with a vector of zeros is 0, and so is the gradient
/// there.
///
///     dl/ds = (cos s / |s| - t / |t|) / |s|
struct hidden_cosine {
  double row(const input_row& student, const input_row& teacher, double upstream,
             const output_row& gradient) const noexcept {
    return detail::row::cosine_distance(student, teacher, upstream, gradient);
  }

  /// As those of hidden_mse.
  loss_result operator()(const token_heads& student, const token_heads& teacher,
                         const token_batch& tokens, const gradient_heads& gradient = {}) const {
    return detail::distill::sum_hidden_rows("hidden_cosine", *this, student, teacher, tokens,
                                            gradient);
  }
  loss_result operator()(const token_heads& student, const token_heads& teacher,
                         const label_span& labels, reduction how,
                         const gradient_heads& gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
