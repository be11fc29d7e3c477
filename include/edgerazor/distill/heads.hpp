// SPDX-License-Identifier: Apache-2.0
/// Rows of tokens of several heads: attention maps, cached keys and values.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
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
    return order == head_order::by_head ? matrix.rows() / heads : matrix.rows();
  }
  [[nodiscard]] std::size_t width() const noexcept {
    return order == head_order::by_head ? matrix.cols() : matrix.cols() / heads;
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

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
