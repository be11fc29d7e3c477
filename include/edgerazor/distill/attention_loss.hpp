// SPDX-License-Identifier: Apache-2.0
/// Loss between attention maps of student and teacher.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/distill/head_divergence.hpp>
#include <edgerazor/distill/head_view.hpp>
#include <edgerazor/distill/kl_parity.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/wide_lanes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {

/// A row of the teacher's map for one of the student's heads: the mean over a group of the
/// teacher's heads.
template <class Arch, class T>
class mean_row {
 public:
  mean_row(const head_view<T>& teacher, std::size_t group, const head_place& place) noexcept
      : teacher_(teacher), group_(group), place_(place) {}
  [[nodiscard]] wide<Arch> operator[](std::size_t i) const noexcept {
    wide<Arch> sum{0.0};
    for (std::size_t g = 0; g < group_; ++g) sum += wide_row<Arch, T>{head(g), teacher_.width()}[i];
    return group_ == 1 ? sum : sum / wide<Arch>{static_cast<double>(group_)};
  }
  /// Element `i` alone.
  [[nodiscard]] double at(std::size_t i) const noexcept {
    double sum = 0;
    for (std::size_t g = 0; g < group_; ++g) sum += static_cast<double>(head(g)[i]);
    return sum / static_cast<double>(group_);
  }

 private:
  [[nodiscard]] const T* head(std::size_t g) const noexcept {
    return teacher_.row(place_.begin, place_.end, place_.head * group_ + g, place_.token);
  }

  const head_view<T>& teacher_;
  std::size_t group_;
  const head_place& place_;
};

template <class Arch, class S, class T>
class attention_rows {
  using vector = wide<Arch>;

 public:
  attention_rows(const head_view<S>& student, const head_view<T>& teacher, std::size_t group,
                 const head_view<float>& gradient, loss_mode mode, bool accumulate) noexcept
      : student_(student),
        teacher_(teacher),
        gradient_(gradient),
        group_(group),
        clamped_(mode == loss_mode::parity),
        accumulate_(accumulate) {}

  void begin_teacher(const head_place&) noexcept {}
  void begin_sample(const head_place&) noexcept {}
  void end_sample(const head_place&) noexcept {}

  void skip(const head_place& place) noexcept {
    float* row = gradient_.row(place.begin, place.end, place.head, place.token);
    if (row != nullptr && !accumulate_) std::fill(row, row + gradient_.width(), 0.0f);
  }

  [[nodiscard]] double entropy(const head_place& place) noexcept {
    const mean_row<Arch, T> p{teacher_, group_, place};
    const std::size_t width = teacher_.width();
    if (!clamped_) {
      return -wide_sum<Arch>(width, [&](std::size_t i) {
        const vector pi = p[i];
        return xsimd::select(pi > vector{0.0}, pi * xsimd::log(pi), vector{0.0});
      });
    }
    // The reference takes probabilities for logits here (compute_teacher_confidence).
    double sum = 0, result = 0;
    for (std::size_t i = 0; i < width; ++i) sum += std::exp(p.at(i));
    for (std::size_t i = 0; i < width; ++i) {
      const double again = std::exp(p.at(i)) / sum;
      result -= again * std::log(again + parity_epsilon);
    }
    return result;
  }

  /// With a = ln(q / p): KL(q||p) = sum q a and KL(p||q) = -sum p a, where 0 ln 0 is 0.
  ///
  ///     d KL(q||p) / dq = a + 1        d KL(p||q) / dq = -p / q        0 where both are 0
  kl_divergences divergences(const head_place& place, const kl_blend& blend) noexcept {
    const std::size_t width = student_.width();
    const wide_row<Arch, S> student{student_.row(place.begin, place.end, place.head, place.token),
                                    width};
    const mean_row<Arch, T> teacher{teacher_, group_, place};
    float* out = gradient_.row(place.begin, place.end, place.head, place.token);
    const vector zero{0.0}, least{clamped_ ? parity_epsilon : 0.0};
    vector forward{0.0}, reverse{0.0};
    for (std::size_t i = 0; i < width; i += wide_lanes<Arch>) {
      const vector seen = student[i], q = xsimd::max(seen, least),
                   p = xsimd::max(teacher[i], least);
      const auto in_p = p > zero, in_q = q > zero;
      const vector ratio = xsimd::log(q / p);
      forward -= xsimd::select(in_p, p * ratio, zero);
      reverse += xsimd::select(in_q, q * ratio, zero);
      if (out == nullptr) continue;
      vector slope = zero;
      if (blend.forward != 0) slope -= xsimd::select(in_p, vector{blend.forward} * (p / q), zero);
      if (blend.reverse != 0) {
        slope += xsimd::select(in_p || in_q, vector{blend.reverse} * (ratio + vector{1.0}), zero);
      }
      store_wide<Arch>(out, width, i, xsimd::select(seen >= least, slope, zero), accumulate_);
    }
    return {xsimd::reduce_add(forward), xsimd::reduce_add(reverse)};
  }

 private:
  const head_view<S>& student_;
  const head_view<T>& teacher_;
  const head_view<float>& gradient_;
  std::size_t group_;
  bool clamped_;
  bool accumulate_;
};

}  // namespace detail::distill

/// KL between attention maps, [samples, heads, queries, keys]: each row is a query's distribution
/// over keys, after softmax (reference compute_kld on four dimensions). A token is a query; keys
/// are not masked.
///
/// Where the teacher has a multiple of the student's heads, the mean of each group of them is
/// compared with one head of the student. The gradient is with respect to the probabilities, each
/// taken for a free variable; the softmax that made them is the host's to go back through. A
/// probability of 0 gives what the limit gives: 0 ln 0 is 0, and a divergence may be infinite, its
/// gradient too, but never NaN. Entries are not negative.
struct attention_kl {
  kl_direction direction = kl_direction::forward;
  /// `parity`: the reference's clamp of probabilities at 1e-8, and its gamma, that of softmax(p) in
  /// place of p.
  loss_mode mode = loss_mode::stable;
  std::size_t confidence_k = 16;  ///< at least 2
  /// A token's value is the sum over its heads, not their mean. The reference adds them up with
  /// `sum` and `mean`, and averages them with `batch_mean` and without labels.
  bool sum_heads = false;

  /// Value, and gradient with respect to the student's map where `gradient` has data; it may be the
  /// student's own memory. Fails where shapes differ or the teacher's heads are no multiple of the
  /// student's.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  blended_result operator()(head_view<S> student, head_view<T> teacher, const token_batch& tokens,
                            head_view<float> gradient = {}) const {
    constexpr const char* name = "attention_kl";
    detail::distill::check_heads(name, "student", student);
    detail::distill::check_heads(name, "teacher", teacher);
    detail::distill::check_same_tokens(name, "student", student, "teacher", teacher);
    detail::distill::check_gradient(name, student, gradient);
    const std::size_t group = detail::distill::heads_a_group(name, student.heads, teacher.heads);
    const detail::distill::token_plan plan(name, tokens, student.tokens());
    detail::distill::attention_rows<Arch, S, T> rows(student, teacher, group, gradient, mode,
                                                     tokens.accumulate);
    return detail::distill::head_divergence(name, {direction, mode, confidence_k, sum_heads},
                                            student.heads, plan, tokens, rows)
        .run(1, false);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
