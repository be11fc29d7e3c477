// SPDX-License-Identifier: Apache-2.0
/// A matrix whose rows are tokens of several heads: attention maps, cached keys and values.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// How a matrix holds tokens and heads.
enum class head_order {
  by_head,  ///< [samples, heads, tokens, width]: a row is one head of one token, the tokens of a head in sequence
  by_token  ///< [samples, tokens, heads, width]: a row is one token, its heads side by side
};

/// `heads` rows of `width()` elements for every token. With one head both orders are the plain
/// matrix of tokens.
template <class T>
struct head_view {
  matrix_view<T> matrix = {};
  std::size_t heads = 1;
  head_order order = head_order::by_head;

  constexpr head_view() = default;
  constexpr head_view(matrix_view<T> elements, std::size_t head_count = 1,
                      head_order how = head_order::by_head) noexcept
      : matrix(elements), heads(head_count), order(how) {}
  /// A view of mutable elements is a view of const ones.
  constexpr operator head_view<const T>() const noexcept
    requires(!std::is_const_v<T>)
  {
    return {matrix, heads, order};
  }

  [[nodiscard]] constexpr std::size_t tokens() const noexcept {
    return order == head_order::by_head ? matrix.rows / heads : matrix.rows;
  }
  [[nodiscard]] constexpr std::size_t width() const noexcept {
    return order == head_order::by_head ? matrix.cols : matrix.cols / heads;
  }
  /// One head of token `i`, of the sample whose tokens are [begin, end); a null pointer of a view
  /// without data.
  [[nodiscard]] constexpr T* row(std::size_t begin, std::size_t end, std::size_t head,
                                 std::size_t i) const noexcept {
    if (matrix.data == nullptr) return nullptr;
    if (order == head_order::by_token) return matrix.data + i * matrix.stride + head * width();
    return matrix.data + (begin * heads + head * (end - begin) + (i - begin)) * matrix.stride;
  }
};

namespace detail::distill {

/// Fails where the heads don't divide the matrix, or the matrix has rows that overlap.
template <class T>
void check_heads(const char* loss, const char* what, const head_view<T>& view) {
  const std::size_t divided =
      view.order == head_order::by_head ? view.matrix.rows : view.matrix.cols;
  if (view.heads == 0 || divided % view.heads != 0) {
    core::fail(std::string{loss} + ": the " + what + " has " + std::to_string(divided) +
               (view.order == head_order::by_head ? " rows" : " columns") +
               ", no multiple of its " + std::to_string(view.heads) + " heads");
  }
  if (view.matrix.rows > 1 && view.matrix.stride < view.matrix.cols) {
    core::fail(std::string{loss} + ": the " + what + " has rows of " +
               std::to_string(view.matrix.cols) + " elements, " +
               std::to_string(view.matrix.stride) + " apart");
  }
}

/// Fails where two views differ in tokens or, if `widths` matter, in width.
template <class A, class B>
void check_same_tokens(const char* loss, const char* what, const head_view<A>& a, const char* other,
                       const head_view<B>& b, bool widths = true) {
  if (a.tokens() == b.tokens() && (!widths || a.width() == b.width())) return;
  core::fail(std::string{loss} + ": the " + what + " has " + std::to_string(a.tokens()) +
             " tokens of width " + std::to_string(a.width()) + ", the " + other + " " +
             std::to_string(b.tokens()) + " of width " + std::to_string(b.width()));
}

/// Fails where there is a gradient and it has another shape than what it is the gradient of.
template <class S>
void check_gradient(const char* loss, const head_view<S>& student,
                    const head_view<float>& gradient) {
  if (gradient.matrix.data == nullptr) return;
  check_heads(loss, "gradient", gradient);
  check_same_tokens(loss, "student", student, "gradient", gradient);
  if (student.heads != gradient.heads) {
    core::fail(std::string{loss} + ": the student has " + std::to_string(student.heads) +
               " heads, the gradient " + std::to_string(gradient.heads));
  }
}

/// How many of the teacher's heads are averaged for one of the student's (reference: kd.py, "head
/// count mismatch"; it skips the layer where this fails).
[[nodiscard]] inline std::size_t heads_a_group(const char* loss, std::size_t student,
                                               std::size_t teacher) {
  if (teacher % student != 0 || teacher == 0) {
    core::fail(std::string{loss} + ": the teacher has " + std::to_string(teacher) +
               " heads, expected a multiple of the student's " + std::to_string(student));
  }
  return teacher / student;
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
