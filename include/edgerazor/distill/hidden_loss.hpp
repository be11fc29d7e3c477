// SPDX-License-Identifier: Apache-2.0
/// Losses between hidden states of student and teacher: mean squared error and cosine distance of
/// each token's features.
///
/// A token's value l is over its features (and heads, where there are several); `token_batch` says
/// how tokens become one value. Features are finite; a NaN or an infinity gives what the formula
/// gives.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/head_view.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/wide_lanes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {

/// Writes 0 into a token's gradient rows.
inline void clear_token(const head_view<float>& gradient, std::size_t begin, std::size_t end,
                        std::size_t i) noexcept {
  for (std::size_t head = 0; head < gradient.heads; ++head) {
    float* row = gradient.row(begin, end, head, i);
    std::fill(row, row + gradient.width(), 0.0f);
  }
}

/// Sums a loss over rows: l of a token is the mean over its heads of
/// `loss.row<Arch>(student, teacher, width, upstream, gradient, add)`.
template <class Arch, class Loss, class S, class T>
loss_result sum_hidden_rows(const char* name, const Loss& loss, const head_view<S>& student,
                            const head_view<T>& teacher, const token_batch& batch,
                            const head_view<float>& gradient) {
  check_heads(name, "student", student);
  check_heads(name, "teacher", teacher);
  check_same_tokens(name, "student", student, "teacher", teacher);
  if (student.heads != teacher.heads) {
    core::fail(std::string{name} + ": the student has " + std::to_string(student.heads) +
               " heads, the teacher " + std::to_string(teacher.heads));
  }
  check_gradient(name, student, gradient);
  const token_plan plan(name, batch, student.tokens());
  const double a_head = 1.0 / static_cast<double>(student.heads);
  loss_result result;
  plan.for_each_token([&](const counted_token& token) {
    const std::size_t begin = token.sample == 0 ? 0 : plan.sample_end(token.sample - 1);
    const std::size_t end = plan.sample_end(token.sample);
    double value = 0;
    if (token.counts) {
      for (std::size_t head = 0; head < student.heads; ++head) {
        value += loss.template row<Arch>(
            student.row(begin, end, head, token.index), teacher.row(begin, end, head, token.index),
            student.width(), token.upstream * a_head, gradient.row(begin, end, head, token.index),
            batch.accumulate);
      }
    } else if (gradient.matrix.data != nullptr && !batch.accumulate) {
      clear_token(gradient, begin, end, token.index);
    }
    add_token(result, batch, token, value * a_head);
  });
  return result;
}

}  // namespace detail::distill

/// l = mean over features of (s - t)^2 (reference: compute_mse).
///
/// The reference's `sum` and `none` add features up instead of averaging them: `sum_features`. Its
/// `mean` counts a sample of nothing but padding as one token; here such a sample counts nothing.
struct hidden_mse {
  bool sum_features = false;  ///< l is the sum over features (and the mean over heads)

  /// l of one row of `width` features. Where `gradient` is not null, writes (or adds) upstream
  /// dl/ds.
  template <class Arch = xsimd::default_arch, feature_element S, feature_element T, class G>
  double row(const S* student, const T* teacher, std::size_t width, double upstream, G* gradient,
             bool add) const noexcept {
    const detail::distill::wide_row<Arch, S> s{student, width};
    const detail::distill::wide_row<Arch, T> t{teacher, width};
    const double share = sum_features || width == 0 ? 1.0 : 1.0 / static_cast<double>(width);
    const detail::distill::wide<Arch> slope{2 * upstream * share};
    return share * detail::distill::wide_sum<Arch>(width, [&](std::size_t i) {
             const detail::distill::wide<Arch> difference = s[i] - t[i];
             if (gradient != nullptr)
               detail::distill::store_wide<Arch>(gradient, width, i, slope * difference, add);
             return difference * difference;
           });
  }

  /// Value, and gradient with respect to the student where `gradient` has data; it may be the
  /// student's own memory. Fails where shapes differ.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(head_view<S> student, head_view<T> teacher, const token_batch& tokens,
                         head_view<float> gradient = {}) const {
    return detail::distill::sum_hidden_rows<Arch>("hidden_mse", *this, student, teacher, tokens,
                                                  gradient);
  }
  /// The same for rows that are tokens.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<float> gradient = {}) const {
    return operator()<Arch>(head_view<S>(student), head_view<T>(teacher), tokens,
                            head_view<float>(gradient));
  }
  /// The same, all tokens being one sample; no labels: all tokens count.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                         std::span<const std::int64_t> labels, reduction how,
                         matrix_view<float> gradient = {}) const {
    return operator()<Arch>(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// l = 1 - cos(s, t), in [0, 2]. The cosine with a vector of zeros is 0, and so is the gradient
/// there.
struct hidden_cosine {
  /// l of one row of `width` features. Where `gradient` is not null, writes (or adds) upstream
  /// dl/ds:
  ///
  ///     dl/ds = (cos s / |s| - t / |t|) / |s|
  template <class Arch = xsimd::default_arch, feature_element S, feature_element T, class G>
  double row(const S* student, const T* teacher, std::size_t width, double upstream, G* gradient,
             bool add) const noexcept {
    using wide = detail::distill::wide<Arch>;
    const detail::distill::wide_row<Arch, S> s{student, width};
    const detail::distill::wide_row<Arch, T> t{teacher, width};
    // Squares of floats neither overflow nor vanish in double: no epsilon is needed.
    const double student_norm = std::sqrt(detail::distill::wide_dot<Arch>(student, student, width));
    const double teacher_norm = std::sqrt(detail::distill::wide_dot<Arch>(teacher, teacher, width));
    const bool directed = student_norm != 0 && teacher_norm != 0;
    const wide unit_s{directed ? 1 / student_norm : 0.0}, unit_t{directed ? 1 / teacher_norm : 0.0};
    const double cosine = detail::distill::wide_sum<Arch>(
        width, [&](std::size_t i) { return (s[i] * unit_s) * (t[i] * unit_t); });
    double value = 1 - cosine;
    // Near 1 the difference would cancel; half the squared distance of the unit vectors is the same
    // and doesn't.
    if (cosine > 0.5) {
      value = 0.5 * detail::distill::wide_sum<Arch>(width, [&](std::size_t i) {
                const wide difference = s[i] * unit_s - t[i] * unit_t;
                return difference * difference;
              });
    }
    if (gradient != nullptr) {
      const wide along{cosine}, slope{directed ? upstream / student_norm : 0.0};
      for (std::size_t i = 0; i < width; i += detail::distill::wide_lanes<Arch>) {
        const wide turn = along * (s[i] * unit_s) - t[i] * unit_t;
        detail::distill::store_wide<Arch>(gradient, width, i, slope * turn, add);
      }
    }
    return value;
  }

  /// Value, and gradient with respect to the student where `gradient` has data; it may be the
  /// student's own memory. Fails where shapes differ.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(head_view<S> student, head_view<T> teacher, const token_batch& tokens,
                         head_view<float> gradient = {}) const {
    return detail::distill::sum_hidden_rows<Arch>("hidden_cosine", *this, student, teacher, tokens,
                                                  gradient);
  }
  /// The same for rows that are tokens.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<float> gradient = {}) const {
    return operator()<Arch>(head_view<S>(student), head_view<T>(teacher), tokens,
                            head_view<float>(gradient));
  }
  /// The same, all tokens being one sample; no labels: all tokens count.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                         std::span<const std::int64_t> labels, reduction how,
                         matrix_view<float> gradient = {}) const {
    return operator()<Arch>(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// A loss that goes row by row, such as the two above; `projected` takes any.
template <class Loss>
concept hidden_loss = requires(const Loss loss, const double* row, double* gradient) {
  { loss.row(row, row, std::size_t{}, 1.0, gradient, false) } -> std::same_as<double>;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
