// SPDX-License-Identifier: Apache-2.0
/// Tokens of several heads (attention maps, cached keys and values): where their rows lie, and the
/// divergences between distributions over positions, one for every head of every token.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/gamma.hpp>
#include <edgerazor/distill/logits.hpp>
#include <edgerazor/distill/row/kl_statistics.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How a matrix holds tokens and heads.
enum class head_order {
  /// [samples, heads, tokens, width]: a row is one head of one token, the tokens of a head in
  /// sequence.
  by_head,
  /// [samples, tokens, heads, width]: a row is one token, its heads side by side.
  by_token
};

/// `heads` rows of equal width for every token. With one head both orders are the plain matrix of
/// tokens.
template <class T>
struct head_view {
  matrix_view<T> matrix = {};
  std::size_t heads = 1;
  head_order order = head_order::by_head;

  constexpr head_view() = default;
  constexpr head_view(matrix_view<T> elements, std::size_t head_count = 1,
                      head_order how = head_order::by_head) noexcept
      : matrix(elements), heads(head_count), order(how) {}
};

/// With p the teacher's distribution and q the student's:
///
///     forward         KL(p||q)
///     reverse         KL(q||p)
///     entropy_aware   gamma KL(q||p) + (1 - gamma) KL(p||q), gamma = clamp(1 - mean H(p) / ln k, 0, 1)
///
/// The mean is over samples and heads of the mean over a sample's counted tokens; a sample without
/// one counts as entropy 0. No gradient flows through gamma.
///
/// Options that the losses share: `mode`, where `parity` is the clamp of EdgeRazor (Python) at 1e-8
/// and its gamma, that of softmax(p) in place of p; `confidence_k`, at least 2; and `sum_heads`: a
/// token's value is the sum over its heads, not their mean. EdgeRazor (Python) adds them up with
/// `sum` and `mean`, and averages them with `batch_mean` and without labels.
enum class kl_direction { forward, reverse, entropy_aware };

namespace detail::distill {

/// One head of a token, of the sample whose tokens are [begin, end).
struct head_token : counted_token {
  std::size_t head = 0;

  [[nodiscard]] std::size_t sample_size() const noexcept { return end - begin; }
};

}  // namespace detail::distill

/// A head_view of any element type, or a matrix whose rows are tokens of one head. `Rows` is
/// token_rows or gradient_rows.
template <class Rows>
struct rows_of_heads {
  Rows matrix = {};
  std::size_t heads = 1;
  head_order order = head_order::by_head;

  rows_of_heads() = default;
  template <class T>
    requires std::is_constructible_v<Rows, matrix_view<T>>
  rows_of_heads(const head_view<T>& view) noexcept
      : matrix(view.matrix), heads(view.heads), order(view.order) {}
  template <class T>
    requires std::is_constructible_v<Rows, matrix_view<T>>
  rows_of_heads(const matrix_view<T>& rows) noexcept : matrix(rows) {}

  [[nodiscard]] std::size_t tokens() const noexcept {
    return order == head_order::by_head && heads != 0 ? matrix.rows() / heads : matrix.rows();
  }
  [[nodiscard]] std::size_t width() const noexcept {
    return order == head_order::by_head || heads == 0 ? matrix.cols() : matrix.cols() / heads;
  }
  /// The row of one head of a token; with `accumulate` to be written, or added to.
  template <std::same_as<bool>... Accumulate>
  [[nodiscard]] auto row(const detail::distill::head_token& at,
                         Accumulate... accumulate) const noexcept {
    if (order == head_order::by_token)
      return matrix.part(at.index, at.head * width(), width(), accumulate...);
    const std::size_t before = at.begin * heads + at.head * at.sample_size();
    return matrix.part(before + (at.index - at.begin), 0, matrix.cols(), accumulate...);
  }
};
using token_heads = rows_of_heads<token_rows>;
using gradient_heads = rows_of_heads<gradient_rows>;

namespace detail::distill {

/// Student, teacher and gradient, checked: fails where heads don't divide a matrix, rows overlap,
/// numbers of tokens or the student's and the gradient's shapes differ.
struct head_rows {
  const token_heads& student;
  const token_heads& teacher;
  const gradient_heads& gradient;

  /// `widths`: the teacher's has to be the student's too.
  head_rows(const char* name, const token_heads& of_student, const token_heads& of_teacher,
            const gradient_heads& of_gradient, bool widths = true)
      : student(of_student), teacher(of_teacher), gradient(of_gradient), name_(name) {
    check("student", student, true);
    check("teacher", teacher, widths);
    if (gradient.matrix.data() == nullptr) return;
    check("gradient", gradient, true);
    check_same_heads("gradient", gradient.heads);
  }

  void check_same_heads(const char* other, std::size_t heads) const {
    if (student.heads == heads) return;
    core::fail(std::string{name_} + ": the student has " + std::to_string(student.heads) +
               " heads, the " + other + " " + std::to_string(heads));
  }

  /// How many of the teacher's heads are averaged for one of the student's (EdgeRazor (Python),
  /// kd.py, "head count mismatch"; it skips the layer where this fails).
  [[nodiscard]] std::size_t heads_per_group() const {
    if (teacher.heads % student.heads != 0 || teacher.heads == 0) {
      core::fail(std::string{name_} + ": the teacher has " + std::to_string(teacher.heads) +
                 " heads, expected a multiple of the student's " + std::to_string(student.heads));
    }
    return teacher.heads / student.heads;
  }

 private:
  template <class Rows>
  void check(const char* what, const rows_of_heads<Rows>& view, bool widths) const {
    const auto& matrix = view.matrix;
    const bool by_head = view.order == head_order::by_head;
    const std::size_t divided = by_head ? matrix.rows() : matrix.cols();
    const std::string start = std::string{name_} + ": the ";
    if (view.heads == 0 || divided % view.heads != 0) {
      core::fail(start + what + " has " + std::to_string(divided) +
                 (by_head ? " rows" : " columns") + ", no multiple of its " +
                 std::to_string(view.heads) + " heads");
    }
    if (matrix.rows() > 1 && matrix.stride() < matrix.cols()) {
      core::fail(start + what + " has rows of " + std::to_string(matrix.cols()) + " elements, " +
                 std::to_string(matrix.stride()) + " apart");
    }
    if (student.tokens() != view.tokens() || (widths && student.width() != view.width())) {
      core::fail(start + "student has " + std::to_string(student.tokens()) + " tokens of width " +
                 std::to_string(student.width()) + ", the " + what + " " +
                 std::to_string(view.tokens()) + " of width " + std::to_string(view.width()));
    }
  }

  const char* name_;
};

/// Sums over heads, and over tokens within each. `Rows` says what a row is:
///
///     rows.begin_sample(token, student)      before a sample's tokens, for each head; the student's too?
///     rows.entropy(token)                    H(p)
///     rows.divergences(token, kl_blend)      both divergences, and the gradient of a blend that isn't 0
///     rows.skip(token)                       a token that has no gradient
///     rows.end_sample(token)                 after the sample's tokens
///
/// `scale` multiplies the value and the gradients; `add_values`: token values are added to what is
/// there. `Loss` is attention_kl or relation_kl.
template <class Loss, class Rows>
blended_result sum_head_divergences(const Loss& loss, std::size_t heads, const token_plan& plan,
                                    Rows& rows, double scale, bool add_values) {
  // visit(token, whether it is its sample's last) of every token of every head.
  const auto for_each_row = [&](bool student, auto&& visit) {
    for (std::size_t head = 0; head < heads; ++head) {
      plan.for_each_token([&](const counted_token& token) {
        const head_token at{token, head};
        if (token.index == token.begin) rows.begin_sample(at, student);
        visit(at, token.index + 1 == token.end);
      });
    }
  };
  blended_result result;
  if (loss.direction == kl_direction::reverse) result.gamma = 1;
  if (loss.direction == kl_direction::entropy_aware) {
    double mean = 0, sum = 0;
    std::size_t counted = 0;
    for_each_row(false, [&](const head_token& token, bool last) {
      if (token.weighs()) {
        sum += rows.entropy(token);
        ++counted;
      }
      if (!last) return;
      if (counted != 0) mean += sum / static_cast<double>(counted);
      sum = 0, counted = 0;
    });
    const auto count = static_cast<double>(plan.samples() * heads);
    const double unit = std::log(static_cast<double>(loss.confidence_k));
    result.gamma = clamp_gamma(1 - (count == 0 ? 0 : mean / (count * unit)));
  }
  const double gamma = result.gamma;
  const double per_head = scale * (loss.sum_heads ? 1.0 : 1.0 / static_cast<double>(heads));
  const std::span<float> values = plan.batch().token_values;
  for_each_row(true, [&](const head_token& token, bool last) {
    if (token.head == 0 && !add_values && !values.empty()) values[token.index] = 0;
    if (token.counts && token.head == 0) ++result.tokens;
    const double upstream = token.weighs() ? token.upstream * per_head : 0;
    const row::kl_blend blend = upstream == 0 ? row::kl_blend{}
                                              : row::kl_blend{.forward = (1 - gamma) * upstream,
                                                              .reverse = gamma * upstream};
    if (token.weighs()) {
      const row::kl_divergences both = rows.divergences(token, blend);
      const double value = per_head * add_divergences(result, token.share * per_head, gamma, both);
      if (!values.empty()) values[token.index] += static_cast<float>(token.weight * value);
      if (token.share != 0) result.value += token.share * value;
    }
    // After the student's row was read, whose memory the gradient may be.
    if (blend.forward == 0 && blend.reverse == 0) rows.skip(token);
    if (last) rows.end_sample(token);
  });
  return result;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
