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
#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/hidden_loss.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/wide_lanes.hpp>

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
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(matrix_view<S> student, matrix_view<const float> projection,
                         matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<float> student_gradient,
                         matrix_view<float> projection_gradient,
                         std::span<double> workspace) const {
    check_shape("projection", projection.rows, projection.cols, teacher.cols, student.cols);
    check_shape("teacher", teacher.rows, teacher.cols, student.rows, projection.rows);
    if (student_gradient.data != nullptr) {
      check_shape("student's gradient", student_gradient.rows, student_gradient.cols, student.rows,
                  student.cols);
    }
    if (projection_gradient.data != nullptr) {
      check_shape("projection's gradient", projection_gradient.rows, projection_gradient.cols,
                  projection.rows, projection.cols);
    }
    if (workspace.size() < workspace_size(student.cols, teacher.cols)) {
      detail::core::fail("projected: the workspace has " + std::to_string(workspace.size()) +
                         " doubles, expected " +
                         std::to_string(workspace_size(student.cols, teacher.cols)));
    }
    const detail::distill::token_plan plan("projected", tokens, student.rows);
    if (projection_gradient.data != nullptr && !tokens.accumulate) {
      for (std::size_t r = 0; r < projection.rows; ++r)
        std::ranges::fill(projection_gradient.row(r), 0.0f);
    }
    std::array<detail::distill::counted_token, block> waiting;
    std::size_t count = 0;
    loss_result result;
    const auto pass = [&] {
      const std::span<const detail::distill::counted_token> batch(waiting.data(), count);
      double* const outputs = workspace.data();
      double* const slopes = outputs + block * teacher.cols;
      double* const sums = slopes + block * teacher.cols;
      const bool differentiate =
          student_gradient.data != nullptr || projection_gradient.data != nullptr;
      project<Arch>(student, projection, batch, outputs);
      for (std::size_t b = 0; b < count; ++b) {
        const double value = loss.template row<Arch>(
            outputs + b * teacher.cols, teacher.row(batch[b].index).data(), teacher.cols,
            batch[b].upstream, differentiate ? slopes + b * teacher.cols : nullptr, false);
        detail::distill::add_token(result, tokens, batch[b], value);
      }
      if (student_gradient.data != nullptr) {
        back_to_student<Arch>(projection, batch, slopes, sums, student_gradient, tokens.accumulate);
      }
      if (projection_gradient.data != nullptr)
        back_to_projection<Arch>(student, batch, slopes, projection_gradient);
      count = 0;
    };
    plan.for_each_token([&](const detail::distill::counted_token& token) {
      if (!token.counts) {
        if (student_gradient.data != nullptr && !tokens.accumulate) {
          std::ranges::fill(student_gradient.row(token.index), 0.0f);
        }
        detail::distill::add_token(result, tokens, token, 0);
        return;
      }
      waiting[count++] = token;
      if (count == block) pass();
    });
    pass();
    return result;
  }

 private:
  static void check_shape(const char* what, std::size_t rows, std::size_t cols,
                          std::size_t expected_rows, std::size_t expected_cols) {
    if (rows == expected_rows && cols == expected_cols) return;
    detail::core::fail("projected: the " + std::string{what} + " is " +
                       detail::core::shape_text(rows, cols) + ", expected " +
                       detail::core::shape_text(expected_rows, expected_cols));
  }

  /// outputs[b] = P s of each token.
  template <class Arch, class S>
  static void project(const matrix_view<S>& student, const matrix_view<const float>& projection,
                      std::span<const detail::distill::counted_token> batch,
                      double* outputs) noexcept {
    for (std::size_t r = 0; r < projection.rows; ++r) {
      const float* row = projection.row(r).data();
      for (std::size_t b = 0; b < batch.size(); ++b) {
        const S* features = student.row(batch[b].index).data();
        outputs[b * projection.rows + r] =
            detail::distill::wide_dot<Arch>(row, features, student.cols);
      }
    }
  }

  /// Each token's row of the gradient: P^T g, summed in `sums`.
  template <class Arch>
  static void back_to_student(const matrix_view<const float>& projection,
                              std::span<const detail::distill::counted_token> batch,
                              const double* slopes, double* sums,
                              const matrix_view<float>& gradient, bool add) noexcept {
    const std::size_t width = projection.cols;
    std::fill_n(sums, batch.size() * width, 0.0);
    for (std::size_t r = 0; r < projection.rows; ++r) {
      const detail::distill::wide_row<Arch, const float> row{projection.row(r).data(), width};
      for (std::size_t b = 0; b < batch.size(); ++b) {
        const detail::distill::wide<Arch> slope{slopes[b * projection.rows + r]};
        for (std::size_t i = 0; i < width; i += detail::distill::wide_lanes<Arch>) {
          detail::distill::store_wide<Arch>(sums + b * width, width, i, slope * row[i], true);
        }
      }
    }
    for (std::size_t b = 0; b < batch.size(); ++b) {
      const detail::distill::wide_row<Arch, const double> sum{sums + b * width, width};
      for (std::size_t i = 0; i < width; i += detail::distill::wide_lanes<Arch>) {
        detail::distill::store_wide<Arch>(gradient.row(batch[b].index).data(), width, i, sum[i],
                                          add);
      }
    }
  }

  /// Adds g s^T of each token.
  template <class Arch, class S>
  static void back_to_projection(const matrix_view<S>& student,
                                 std::span<const detail::distill::counted_token> batch,
                                 const double* slopes,
                                 const matrix_view<float>& gradient) noexcept {
    for (std::size_t r = 0; r < gradient.rows; ++r) {
      for (std::size_t i = 0; i < gradient.cols; i += detail::distill::wide_lanes<Arch>) {
        detail::distill::wide<Arch> sum{0.0};
        for (std::size_t b = 0; b < batch.size(); ++b) {
          const detail::distill::wide_row<Arch, S> features{student.row(batch[b].index).data(),
                                                            student.cols};
          sum += detail::distill::wide<Arch>{slopes[b * gradient.rows + r]} * features[i];
        }
        detail::distill::store_wide<Arch>(gradient.row(r).data(), gradient.cols, i, sum, true);
      }
    }
  }
};

template <hidden_loss Loss>
projected(Loss) -> projected<Loss>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
