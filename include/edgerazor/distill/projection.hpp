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
    check_shape("projection", projection.rows, projection.cols, height, width);
    check_shape("teacher", teacher.rows(), height, student.rows(), projection.rows);
    if (student_gradient.data() != nullptr) {
      check_shape("student's gradient", student_gradient.rows(), student_gradient.cols(),
                  student.rows(), width);
    }
    if (projection_gradient.data != nullptr) {
      check_shape("projection's gradient", projection_gradient.rows, projection_gradient.cols,
                  height, width);
    }
    if (workspace.size() < workspace_size(width, height)) {
      detail::core::fail("projected: the workspace has " + std::to_string(workspace.size()) +
                         " doubles, expected " + std::to_string(workspace_size(width, height)));
    }
    const detail::distill::token_plan plan("projected", tokens, student.rows());
    const gradient_rows to_projection{projection_gradient};
    for (std::size_t r = 0; r < to_projection.rows(); ++r)
      to_projection.row(r, tokens.accumulate).clear();
    std::array<detail::distill::counted_token, block> waiting;
    std::size_t count = 0;
    loss_result result;
    double* const outputs = workspace.data();
    double* const slopes = outputs + block * height;
    double* const sums = slopes + block * height;
    const bool differentiates =
        student_gradient.data() != nullptr || projection_gradient.data != nullptr;
    const auto pass = [&] {
      const std::span batch(waiting.data(), count);
      project(student, projection, batch, outputs);
      for (std::size_t b = 0; b < count; ++b) {
        const output_row slope{differentiates ? slopes + b * height : nullptr, height, false};
        plan.add(result, batch[b],
                 loss.row({outputs + b * height, height}, teacher.row(batch[b].index),
                          batch[b].upstream, slope));
      }
      if (student_gradient.data() != nullptr) {
        back_to_student(projection, batch, slopes, sums);
        for (std::size_t b = 0; b < count; ++b) {
          student_gradient.row(batch[b].index, tokens.accumulate)
              .store_wide(0, width, sums + b * width);
        }
      }
      if (projection_gradient.data != nullptr)
        back_to_projection(student, batch, slopes, to_projection);
      count = 0;
    };
    plan.for_each_token([&](const detail::distill::counted_token& token) {
      if (!token.counts) {
        student_gradient.row(token.index, tokens.accumulate).clear();
        plan.add(result, token, 0);
        return;
      }
      waiting[count++] = token;
      if (count == block) pass();
    });
    pass();
    return result;
  }

 private:
  using token_block = std::span<const detail::distill::counted_token>;

  static void check_shape(const char* what, std::size_t rows, std::size_t cols,
                          std::size_t expected_rows, std::size_t expected_cols) {
    if (rows == expected_rows && cols == expected_cols) return;
    detail::core::fail("projected: the " + std::string{what} + " is " +
                       detail::core::shape_text(rows, cols) + ", expected " +
                       detail::core::shape_text(expected_rows, expected_cols));
  }

  /// outputs[b] = P s of each token.
  static void project(const token_rows& student, const matrix_view<const float>& projection,
                      token_block batch, double* outputs) noexcept {
    for (std::size_t r = 0; r < projection.rows; ++r) {
      for (std::size_t b = 0; b < batch.size(); ++b) {
        outputs[b * projection.rows + r] =
            detail::row::dot(projection.row(r), student.row(batch[b].index));
      }
    }
  }

  /// sums[b] = P^T g of each token.
  static void back_to_student(const matrix_view<const float>& projection, token_block batch,
                              const double* slopes, double* sums) noexcept {
    const std::size_t width = projection.cols;
    std::fill_n(sums, batch.size() * width, 0.0);
    for (std::size_t r = 0; r < projection.rows; ++r) {
      for (std::size_t b = 0; b < batch.size(); ++b) {
        detail::row::add_multiple(slopes[b * projection.rows + r], projection.row(r),
                                  sums + b * width);
      }
    }
  }

  /// Adds g s^T of each token.
  static void back_to_projection(const token_rows& student, token_block batch, const double* slopes,
                                 const gradient_rows& gradient) noexcept {
    std::array<input_row, block> rows;
    for (std::size_t b = 0; b < batch.size(); ++b) rows[b] = student.row(batch[b].index);
    for (std::size_t r = 0; r < gradient.rows(); ++r) {
      std::array<double, block> factors{};
      for (std::size_t b = 0; b < batch.size(); ++b) factors[b] = slopes[b * gradient.rows() + r];
      detail::row::add_multiples({factors.data(), batch.size()}, {rows.data(), batch.size()},
                                 gradient.row(r, true));
    }
  }
};

template <hidden_loss Loss>
projected(Loss) -> projected<Loss>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
