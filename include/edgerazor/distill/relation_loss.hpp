// SPDX-License-Identifier: Apache-2.0
/// Loss between self-relations of cached keys or values: how much each token's vector resembles
/// every other's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/float16.hpp>
#include <edgerazor/distill/exponential.hpp>
#include <edgerazor/distill/head_divergence.hpp>
#include <edgerazor/distill/head_view.hpp>
#include <edgerazor/distill/kl_parity.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/wide_lanes.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {

/// A row of relations is read in whole vectors: behind its last token stands a logarithm whose
/// exponential is 0.
inline constexpr std::size_t relation_padding = 64;
inline constexpr double no_relation = -1e30;

[[nodiscard]] constexpr std::size_t relation_row(std::size_t tokens) noexcept {
  return (tokens + relation_padding - 1) / relation_padding * relation_padding;
}

/// One head of one sample at a time. The workspace holds, as doubles, the student's rows, their
/// gradient and the rows of a group of the teacher's heads; and one row each of ln q, ln p and a
/// spare.
template <class Arch, class S, class T>
class relation_rows {
  using vector = wide<Arch>;
  static constexpr std::size_t lanes = wide_lanes<Arch>;
  static_assert(relation_padding % lanes == 0);

 public:
  relation_rows(const head_view<S>& student, const head_view<T>& teacher, std::size_t group,
                const head_view<float>& gradient, loss_mode mode, bool accumulate,
                double* workspace, std::size_t longest) noexcept
      : student_(student),
        teacher_(teacher),
        gradient_(gradient),
        group_(group),
        clamped_(mode == loss_mode::parity),
        accumulate_(accumulate),
        ln_q_(workspace),
        ln_p_(ln_q_ + relation_row(longest)),
        spare_(ln_p_ + relation_row(longest)),
        x_(spare_ + relation_row(longest)),
        slope_(x_ + longest * student.width()),
        y_(slope_ + longest * student.width()) {}

  void begin_teacher(const head_place& place) noexcept {
    const std::size_t tokens = place.end - place.begin, width = teacher_.width();
    for (std::size_t g = 0; g < group_; ++g) {
      for (std::size_t i = 0; i < tokens; ++i) {
        const T* row =
            teacher_.row(place.begin, place.end, place.head * group_ + g, place.begin + i);
        for (std::size_t c = 0; c < width; ++c)
          y_[(g * tokens + i) * width + c] = static_cast<double>(row[c]);
      }
    }
  }

  void begin_sample(const head_place& place) noexcept {
    begin_teacher(place);
    const std::size_t tokens = place.end - place.begin, width = student_.width();
    for (std::size_t i = 0; i < tokens; ++i) {
      const S* row = student_.row(place.begin, place.end, place.head, place.begin + i);
      for (std::size_t c = 0; c < width; ++c) x_[i * width + c] = static_cast<double>(row[c]);
    }
    std::fill_n(slope_, tokens * width, 0.0);
  }

  void end_sample(const head_place& place) noexcept {
    if (gradient_.matrix.data == nullptr) return;
    const std::size_t tokens = place.end - place.begin, width = student_.width();
    for (std::size_t i = 0; i < tokens; ++i) {
      float* out = gradient_.row(place.begin, place.end, place.head, place.begin + i);
      const wide_row<Arch, const double> sum{slope_ + i * width, width};
      for (std::size_t c = 0; c < width; c += lanes)
        store_wide<Arch>(out, width, c, sum[c], accumulate_);
    }
  }

  void skip(const head_place&) noexcept {}

  [[nodiscard]] double entropy(const head_place& place) noexcept {
    const std::size_t row = relate_teacher(place);
    if (!clamped_) {
      return -wide_sum<Arch>(row, [&](std::size_t j) {
        return detail::distill::exponential(at(ln_p_, j)) * at(ln_p_, j);
      });
    }
    // The reference takes probabilities for logits here (compute_teacher_confidence).
    const std::size_t tokens = place.end - place.begin;
    double sum = 0, result = 0;
    for (std::size_t j = 0; j < tokens; ++j) sum += std::exp(std::exp(ln_p_[j]));
    for (std::size_t j = 0; j < tokens; ++j) {
      const double again = std::exp(std::exp(ln_p_[j])) / sum;
      result -= again * std::log(again + parity_epsilon);
    }
    return result;
  }

  /// With z = x_i . x_j / sqrt(width), the student's relations before softmax:
  ///
  ///     d KL(p||q) / dz_j = q_j - p_j        d KL(q||p) / dz_j = q_j (ln q_j - ln p_j - KL(q||p))
  ///     dx_i += sum_j dz_j x_j / sqrt(width)        dx_j += dz_j x_i / sqrt(width)
  kl_divergences divergences(const head_place& place, const kl_blend& blend) noexcept {
    const std::size_t row = relate_teacher(place), tokens = place.end - place.begin,
                      width = student_.width();
    relate(x_, tokens, width, place.token - place.begin, ln_q_);
    const bool differentiate = gradient_.matrix.data != nullptr;
    const kl_divergences both = clamped_ ? clamped_divergences(row, blend, differentiate)
                                         : stable_divergences(row, blend, differentiate);
    if (!differentiate) return both;
    const double inverse_root = 1 / std::sqrt(static_cast<double>(width));
    const std::size_t i = place.token - place.begin;
    for (std::size_t j = 0; j < tokens; ++j) {
      const vector slope{spare_[j] * inverse_root};
      const wide_row<Arch, const double> xi{x_ + i * width, width}, xj{x_ + j * width, width};
      for (std::size_t c = 0; c < width; c += lanes) {
        const vector of_i = slope * xi[c], of_j = slope * xj[c];
        store_wide<Arch>(slope_ + i * width, width, c, of_j, true);
        store_wide<Arch>(slope_ + j * width, width, c, of_i, true);
      }
    }
    return both;
  }

 private:
  [[nodiscard]] static vector at(const double* row, std::size_t j) noexcept {
    return vector::load_unaligned(row + j);
  }

  /// ln softmax(rows of `states` . row `i` / sqrt(width)), padded.
  static void relate(const double* states, std::size_t tokens, std::size_t width, std::size_t i,
                     double* out) noexcept {
    const double inverse_root = 1 / std::sqrt(static_cast<double>(width));
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < tokens; ++j) {
      out[j] = inverse_root * wide_dot<Arch>(states + i * width, states + j * width, width);
      largest = std::max(largest, out[j]);
    }
    const std::size_t row = relation_row(tokens);
    std::fill(out + tokens, out + row, no_relation);
    const vector shift{largest};
    const double sum = wide_sum<Arch>(
        row, [&](std::size_t j) { return detail::distill::exponential(at(out, j) - shift); });
    const double ln_sum = largest + std::log(sum);
    for (std::size_t j = 0; j < tokens; ++j) out[j] -= ln_sum;
  }

  /// ln p of a row: of the mean over the group's distributions. Returns the row's padded length.
  std::size_t relate_teacher(const head_place& place) noexcept {
    const std::size_t tokens = place.end - place.begin, width = teacher_.width(),
                      i = place.token - place.begin;
    relate(y_, tokens, width, i, ln_p_);
    for (std::size_t g = 1; g < group_; ++g) {
      relate(y_ + g * tokens * width, tokens, width, i, spare_);
      for (std::size_t j = 0; j < tokens; ++j) {
        const double larger = std::max(ln_p_[j], spare_[j]),
                     smaller = std::min(ln_p_[j], spare_[j]);
        ln_p_[j] = larger + std::log1p(std::exp(smaller - larger));
      }
    }
    const double ln_group = std::log(static_cast<double>(group_));
    for (std::size_t j = 0; j < tokens; ++j) ln_p_[j] -= ln_group;
    return relation_row(tokens);
  }

  /// Leaves d / dz in `spare_`.
  kl_divergences stable_divergences(std::size_t row, const kl_blend& blend,
                                    bool differentiate) noexcept {
    const kl_divergences both{
        .forward = wide_sum<Arch>(row,
                                  [&](std::size_t j) {
                                    return detail::distill::exponential(at(ln_p_, j)) *
                                           (at(ln_p_, j) - at(ln_q_, j));
                                  }),
        .reverse = wide_sum<Arch>(row, [&](std::size_t j) {
          return detail::distill::exponential(at(ln_q_, j)) * (at(ln_q_, j) - at(ln_p_, j));
        })};
    if (!differentiate) return both;
    for (std::size_t j = 0; j < row; j += lanes) {
      const vector q = detail::distill::exponential(at(ln_q_, j)),
                   p = detail::distill::exponential(at(ln_p_, j));
      const vector turn = at(ln_q_, j) - at(ln_p_, j) - vector{both.reverse};
      (vector{blend.forward} * (q - p) + vector{blend.reverse} * q * turn)
          .store_unaligned(spare_ + j);
    }
    return both;
  }

  /// The same with probabilities clamped at 1e-8 and no gradient through a clamped one (see
  /// parity_kl).
  kl_divergences clamped_divergences(std::size_t row, const kl_blend& blend,
                                     bool differentiate) noexcept {
    kl_divergences both;
    double mean_slope = 0;
    const double ln_least = std::log(parity_epsilon);
    for (std::size_t j = 0; j < row; ++j) {
      const double ln_p = std::max(ln_p_[j], ln_least), ln_q = std::max(ln_q_[j], ln_least);
      both.forward += std::exp(ln_p) * (ln_p - ln_q);
      both.reverse += std::exp(ln_q) * (ln_q - ln_p);
      spare_[j] = 0;
      if (ln_q_[j] < ln_least) continue;
      spare_[j] =
          blend.reverse * std::exp(ln_q) * (ln_q - ln_p + 1) - blend.forward * std::exp(ln_p);
      mean_slope += spare_[j];
    }
    if (differentiate) {
      for (std::size_t j = 0; j < row; ++j) spare_[j] -= std::exp(ln_q_[j]) * mean_slope;
    }
    return both;
  }

  const head_view<S>& student_;
  const head_view<T>& teacher_;
  const head_view<float>& gradient_;
  std::size_t group_;
  bool clamped_;
  bool accumulate_;
  double *ln_q_, *ln_p_, *spare_, *x_, *slope_, *y_;
};

}  // namespace detail::distill

/// KL between self-relations of student and teacher (reference: kd.py, past_key_values with
/// compute_kld): with X the rows of one head of one sample,
///
///     R = softmax(X X^T / sqrt(width))        l of a token = KL of its row of R, averaged over heads
///
/// A padding token has no row that counts, but is one of the columns, as in the reference. Where
/// the teacher has a multiple of the student's heads, the mean of each group's R is compared with
/// one head of the student; widths may differ. One row of R exists at a time. Elements are finite.
struct relation_kl {
  kl_direction direction = kl_direction::forward;
  /// `parity`: the reference's clamp of probabilities at 1e-8, and its gamma, that of softmax(p) in
  /// place of p.
  loss_mode mode = loss_mode::stable;
  std::size_t confidence_k = 16;  ///< at least 2
  /// A token's value is the sum over its heads, not their mean. The reference adds them up with
  /// `sum` and `mean`, and averages them with `batch_mean` and without labels.
  bool sum_heads = false;

  /// Doubles of the workspace, for samples of at most `sample_tokens`; `group`: teacher's heads for
  /// one of the student's.
  [[nodiscard]] static constexpr std::size_t workspace_size(std::size_t sample_tokens,
                                                            std::size_t student_width,
                                                            std::size_t teacher_width,
                                                            std::size_t group = 1) noexcept {
    return 3 * detail::distill::relation_row(sample_tokens) +
           sample_tokens * (2 * student_width + group * teacher_width);
  }

  /// Value, and gradient with respect to the student's keys or values where `gradient` has data.
  /// Fails, before anything is written, where numbers of tokens differ, the teacher's heads are no
  /// multiple of the student's or the workspace is too small.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  blended_result operator()(head_view<S> student, head_view<T> teacher, const token_batch& tokens,
                            head_view<float> gradient, std::span<double> workspace) const {
    return scaled<Arch>(student, teacher, tokens, gradient, workspace, 1, false);
  }

 private:
  friend struct key_value_relation_kl;

  template <class Arch, class S, class T>
  blended_result scaled(const head_view<S>& student, const head_view<T>& teacher,
                        const token_batch& tokens, const head_view<float>& gradient,
                        std::span<double> workspace, double scale, bool add_values) const {
    constexpr const char* name = "relation_kl";
    detail::distill::check_heads(name, "student", student);
    detail::distill::check_heads(name, "teacher", teacher);
    detail::distill::check_same_tokens(name, "student", student, "teacher", teacher, false);
    detail::distill::check_gradient(name, student, gradient);
    const std::size_t group = detail::distill::heads_a_group(name, student.heads, teacher.heads);
    const detail::distill::token_plan plan(name, tokens, student.tokens());
    std::size_t longest = 0;
    for (std::size_t sample = 0, begin = 0; sample < plan.samples();
         begin = plan.sample_end(sample++)) {
      longest = std::max(longest, plan.sample_end(sample) - begin);
    }
    if (longest != 0 && (student.width() == 0 || teacher.width() == 0))
      detail::core::fail("relation_kl: rows of width 0");
    const std::size_t needed = workspace_size(longest, student.width(), teacher.width(), group);
    if (workspace.size() < needed) {
      detail::core::fail("relation_kl: the workspace has " + std::to_string(workspace.size()) +
                         " doubles, expected " + std::to_string(needed));
    }
    detail::distill::relation_rows<Arch, S, T> rows(student, teacher, group, gradient, mode,
                                                    tokens.accumulate, workspace.data(), longest);
    const detail::distill::head_kl_options options{direction, mode, confidence_k, sum_heads};
    return detail::distill::head_divergence(name, options, student.heads, plan, tokens, rows)
        .run(scale, add_values);
  }
};

/// Cached keys and values of one layer.
template <class T>
struct key_value_views {
  head_view<T> keys = {};
  head_view<T> values = {};
};

/// Whose self-relations are compared (reference: self_relation_distill_component).
enum class relation_component { key, value, both };

/// `relation` between keys, between values (the reference's default) or the mean of the two. Views
/// of what isn't compared may be empty, and gradients of it are left alone.
struct key_value_relation_kl {
  relation_kl relation = {};
  relation_component component = relation_component::value;

  /// See relation_kl, whose workspace it needs. With `both`, gamma is the mean of the two.
  template <class Arch = xsimd::default_arch, real_element S, real_element T>
  blended_result operator()(const key_value_views<S>& student, const key_value_views<T>& teacher,
                            const token_batch& tokens, const key_value_views<float>& gradient,
                            std::span<double> workspace) const {
    const auto keys = [&](double scale) {
      return relation.scaled<Arch>(student.keys, teacher.keys, tokens, gradient.keys, workspace,
                                   scale, false);
    };
    const auto values = [&](double scale, bool add) {
      return relation.scaled<Arch>(student.values, teacher.values, tokens, gradient.values,
                                   workspace, scale, add);
    };
    if (component == relation_component::key) return keys(1);
    if (component == relation_component::value) return values(1, false);
    blended_result result = keys(0.5);
    const blended_result second = values(0.5, true);
    result.value += second.value;
    result.forward += second.forward;
    result.reverse += second.reverse;
    result.gamma = 0.5 * (result.gamma + second.gamma);
    return result;
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
