// SPDX-License-Identifier: Apache-2.0
/// Hidden states of different widths: the student's are projected linearly to the teacher's width
/// before a loss of hidden states is taken. The projection is the host's to initialize and to
/// train.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/row/features.hpp>
#include <edgerazor/distill/tokens.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `loss` between P s and t for every token, with P the projection, d_t x d_s, s the student's d_s
/// features and t the teacher's d_t. With g = dl / d(P s):
///
///     dl/ds = P^T g        dl/dP = sum over tokens of g s^T
///
/// The projection is read once for every `block` tokens.
template <hidden_loss Loss = hidden_mse>
struct projected {
  Loss loss = {};

  static constexpr std::size_t block = 16;

  /// Doubles of the workspace, whatever the number of tokens.
  [[nodiscard]] static constexpr std::size_t workspace_size(std::size_t student_width,
                                                            std::size_t teacher_width) noexcept {
    return block * (2 * teacher_width + student_width);
  }

  /// Value, and those gradients that have data: with respect to the student (tokens x d_s) and to
  /// the projection (d_t x d_s). Without `accumulate` the projection's is the sum over this call's
  /// tokens. Fails, before anything is written, where a shape or the workspace doesn't fit.
  loss_result operator()(const token_rows& student, matrix_view<const float> projection,
                         const token_rows& teacher, const token_batch& tokens,
                         const gradient_rows& student_gradient,
                         matrix_view<float> projection_gradient,
                         std::span<double> workspace) const {
    const std::size_t width = student.cols(), height = teacher.cols();
    const gradient_rows to_projection{projection_gradient};
    const bool for_student = student_gradient.data() != nullptr,
               for_projection = to_projection.data() != nullptr;
    check_shape("projection", token_rows{projection}, height, width);
    check_shape("teacher", teacher, student.rows(), projection.rows);
    if (for_student) check_shape("student's gradient", student_gradient, student.rows(), width);
    if (for_projection) check_shape("projection's gradient", to_projection, height, width);
    if (workspace.size() < workspace_size(width, height)) {
      detail::core::fail("projected: the workspace has " + std::to_string(workspace.size()) +
                         " doubles, expected " + std::to_string(workspace_size(width, height)));
    }
    const detail::distill::token_plan plan("projected", tokens, student.rows());
    for (std::size_t r = 0; r < to_projection.rows(); ++r)
      to_projection.row(r, tokens.accumulate).clear();
    std::array<detail::distill::counted_token, block> waiting;
    std::array<input_row, block> rows;  // the student's
    std::size_t count = 0;
    loss_result result;
    double* const outputs = workspace.data();  // P s of each token
    double* const slopes = outputs + block * height;
    double* const sums = slopes + block * height;  // P^T g of each token
    // visit(row of P, place of its element in a token's P s or g, token)
    const auto for_each_product = [&](auto&& visit) {
      for (std::size_t r = 0; r < height; ++r)
        for (std::size_t b = 0; b < count; ++b) visit(projection.row(r), b * height + r, b);
    };
    // Of the tokens waiting: their values, and their gradients if `differentiated`.
    const auto pass = [&](bool differentiated) {
      for (std::size_t b = 0; b < count; ++b) rows[b] = student.row(waiting[b].index);
      for_each_product([&](const input_row& row, std::size_t at, std::size_t b) {
        outputs[at] = detail::row::dot(row, rows[b]);
      });
      for (std::size_t b = 0; b < count; ++b) {
        const output_row slope{
            differentiated && (for_student || for_projection) ? slopes + b * height : nullptr,
            height, false};
        plan.add(result, waiting[b],
                 loss.row({outputs + b * height, height}, teacher.row(waiting[b].index),
                          waiting[b].upstream, slope));
      }
      if (differentiated && for_projection) {
        for (std::size_t r = 0; r < height; ++r) {
          std::array<double, block> factors{};
          for (std::size_t b = 0; b < count; ++b) factors[b] = slopes[b * height + r];
          detail::row::add_multiples({factors.data(), count}, {rows.data(), count},
                                     to_projection.row(r, true));
        }
      }
      if (differentiated && for_student) {
        std::fill_n(sums, count * width, 0.0);
        for_each_product([&](const input_row& row, std::size_t at, std::size_t b) {
          detail::row::add_multiple(slopes[at], row, sums + b * width);
        });
        for (std::size_t b = 0; b < count; ++b) {
          student_gradient.row(waiting[b].index, tokens.accumulate)
              .store_wide(0, width, sums + b * width);
        }
      }
      count = 0;
    };
    plan.for_each_token([&](const detail::distill::counted_token& token) {
      if (!token.weighs()) {
        student_gradient.row(token.index, tokens.accumulate).clear();
        plan.add(result, token, 0);
        return;
      }
      if (token.upstream == 0) {  // has a value alone
        student_gradient.row(token.index, tokens.accumulate).clear();
        pass(true);
        waiting[count++] = token;
        pass(false);
        return;
      }
      waiting[count++] = token;
      if (count == block) pass(true);
    });
    pass(true);
    return result;
  }

 private:
  template <class Rows>
  static void check_shape(const char* what, const Rows& is, std::size_t rows, std::size_t cols) {
    if (is.rows() == rows && is.cols() == cols) return;
    detail::core::fail("projected: the " + std::string{what} + " is " +
                       detail::core::shape_text(is.rows(), is.cols()) + ", expected " +
                       detail::core::shape_text(rows, cols));
  }
};

template <hidden_loss Loss>
projected(Loss) -> projected<Loss>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
