// SPDX-License-Identifier: Apache-2.0
/// The losses of kl.hpp, token by token: one mechanism for every gamma, mode, element type and
/// vocabulary.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>

#include <edgerazor/core/float16.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/kl_parity.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/logit_pair.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/teacher_confidence.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

struct blended_result : loss_result {
  double gamma = 0;    ///< the batch's; the mean of theirs where each sample or token has its own
  double forward = 0;  ///< the reduced KL(p||q) and KL(q||p) that were blended
  double reverse = 0;
};

namespace detail::distill {

struct kl_options {
  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
};

/// Rows of fewer columns are worked in double at once. An error of 2^-24 in each of n probabilities
/// moves the logarithm of their sum by some 2^-24 / sqrt(n).
inline constexpr std::size_t float_cols = 8192;

/// True where float is enough: a product with ln q - ln p is not mostly rounding, and it is not the
/// powers of improbable tokens, known to 1e-6 at e^-7, that a divergence above 1e-3 of a row with
/// few likely tokens is made of.
[[nodiscard]] inline bool float_is_enough(const logit_statistics& seen) noexcept {
  if (!(std::fabs(seen.student_excess / seen.student_sum) < 8)) return false;
  return seen.teacher_sum > 4 || seen.reverse_kl() < 1e-3 || seen.reverse_kl() > 2e-2;
}
/// True where the difference of two rounded probabilities would be.
[[nodiscard]] inline bool are_close(const logit_statistics& seen) noexcept {
  return seen.reverse_kl() < 2e-2;
}

/// The divergences of one token, and its gradient if `out` isn't null. `known` holds the teacher's
/// sums, or is untouched. Nothing where Real is float and that is not enough.
template <class Real, class Arch, real_element S, real_element T, real_element G>
std::optional<kl_divergences> kl_row(logit_row<S> student, logit_row<T> teacher,
                                     double inverse_temperature, logit_statistics known,
                                     const kl_blend& blend, bool accumulate, G* out) noexcept {
  logit_pair<Real, Arch, S, T> pair{student, teacher, inverse_temperature};
  if (known.teacher_sum == 0) {
    pair.observe_teacher(known);
  } else {
    pair.expect_infinities(known);
  }
  kept_powers<Real> kept;
  if constexpr (std::is_same_v<Real, float> && std::is_same_v<G, float>) {
    // The gradient's row, not yet written, keeps e^a; unless it is the memory of a row that is
    // still to be read.
    const std::less<const void*> before{};
    const auto apart = [&](const auto* data, std::size_t size) {
      return !before(out, data + size) || !before(data, out + student.size);
    };
    if (out != nullptr && !accumulate && student.size >= teacher.size &&
        apart(student.data, student.size) && apart(teacher.data, teacher.size)) {
      kept = kept_powers<Real>{out};
    }
  }
  pair.observe_student(known, kept);
  if constexpr (std::is_same_v<Real, float>) {
    if (!float_is_enough(known)) return std::nullopt;
    if (are_close(known)) {
      if (pair.guarded() || student.size != teacher.size) return std::nullopt;
      const close_divergences result = pair.close(known, blend, accumulate, out);
      return kl_divergences{result.forward, result.reverse};
    }
  }
  if (out == nullptr) {
    pair.observe_forward(known);
  } else {
    pair.gradient(known, kept, blend, accumulate, out);
  }
  return kl_divergences{known.forward_kl(), known.reverse_kl()};
}

/// S_t and B of a teacher's row, in the precision in which kl_row will look at it first.
template <class Arch, real_element T>
[[nodiscard]] logit_statistics teacher_statistics(logit_row<T> teacher, std::size_t cols,
                                                  double inverse_temperature) noexcept {
  logit_statistics result;
  if (cols < float_cols) {
    logit_pair<double, Arch, T, T>{teacher, teacher, inverse_temperature}.observe_teacher(result);
  } else {
    logit_pair<float, Arch, T, T>{teacher, teacher, inverse_temperature}.observe_teacher(result);
  }
  return result;
}

template <class Arch, class Gamma, class S, class T, class G>
class blended_kl_batch {
  using student_element = std::remove_const_t<S>;
  using teacher_element = std::remove_const_t<T>;

 public:
  blended_kl_batch(const char* name, const kl_options& options, const Gamma& gamma,
                   const matrix_view<S>& student, const matrix_view<T>& teacher,
                   const token_batch& tokens, const matrix_view<G>& gradient,
                   std::span<logit_statistics> workspace)
      : options_(options),
        gamma_(gamma),
        student_(student),
        teacher_(teacher),
        tokens_(tokens),
        gradient_(gradient),
        shape_(check_logits(name, student, teacher, gradient, options.vocabulary)),
        temperature_(check_temperature(name, options.temperature, options.mode)),
        plan_(name, tokens, student.rows),
        memory_(workspace.empty() ? std::span<logit_statistics>{own_memory_} : workspace) {
    if constexpr (Gamma::reads_teacher) {
      if (gamma_.is_known(tokens_)) gamma_.check(tokens_, shape_.teacher_cols, plan_);
    }
    if (options.mode == loss_mode::parity && shape_.student_cols != shape_.teacher_cols) {
      core::fail(std::string{name} + ": parity mode knows no excluded columns");
    }
  }

  blended_result run() {
    blended_result result;
    double gamma = 0, gamma_sum = 0;
    std::size_t last_sample = plan_.samples(), gammas = 0;
    plan_.for_each_token([&](const counted_token& token) {
      if (!token.counts) {
        clear(token.index);
        add_token(result, tokens_, token, 0);
        return;
      }
      if (last_sample == plan_.samples() || starts_scope(token.sample, last_sample)) {
        gamma = scope_gamma(token);
        gamma_sum += gamma;
        ++gammas;
      }
      last_sample = token.sample;
      const double square = options_.temperature_squared ? temperature_ * temperature_ : 1;
      const kl_divergences both = divergences(token.index, gamma, square * token.upstream);
      const double forward = square * both.forward, reverse = square * both.reverse;
      // 0 * infinity: a direction without weight adds nothing.
      add_token(result, tokens_, token,
                (gamma < 1 ? (1 - gamma) * forward : 0) + (gamma > 0 ? gamma * reverse : 0));
      if (token.share != 0) {
        result.forward += token.share * forward;
        result.reverse += token.share * reverse;
      }
    });
    if (gammas == 0) gamma_sum = scope_gamma({}), gammas = 1;
    result.gamma = gamma_sum / static_cast<double>(gammas);
    return result;
  }

 private:
  [[nodiscard]] logit_row<student_element> student_row(std::size_t i) const noexcept {
    return {student_.data + i * student_.stride, shape_.student_cols};
  }
  [[nodiscard]] logit_row<teacher_element> teacher_row(std::size_t i) const noexcept {
    return {teacher_.data + i * teacher_.stride, shape_.teacher_cols};
  }
  [[nodiscard]] std::size_t cols() const noexcept {
    return std::max(shape_.student_cols, shape_.teacher_cols);
  }

  void clear(std::size_t i) const noexcept {
    if (gradient_.data != nullptr) clear_gradient_row(tokens_.accumulate, gradient_.row(i));
  }

  kl_divergences divergences(std::size_t i, double gamma, double upstream) {
    const kl_blend blend{.forward = (1 - gamma) * upstream, .reverse = gamma * upstream};
    G* out = gradient_.data == nullptr ? nullptr : gradient_.data + i * gradient_.stride;
    if (out != nullptr && gradient_.cols > shape_.student_cols) {  // truncated
      clear_gradient_row(tokens_.accumulate, gradient_.row(i).subspan(shape_.student_cols));
    }
    const double inverse = 1 / temperature_;
    if (options_.mode == loss_mode::parity) {
      return parity_kl(student_row(i), teacher_row(i), inverse, blend, tokens_.accumulate, out);
    }
    logit_statistics known;
    if (i < remembered_ && temperature_ == 1) known = memory_[i];
    std::optional<kl_divergences> result;
    if (cols() >= float_cols) {
      result = kl_row<float, Arch>(student_row(i), teacher_row(i), inverse, known, blend,
                                   tokens_.accumulate, out);
      if (!result) known = {};
    }
    if (!result) {
      result = kl_row<double, Arch>(student_row(i), teacher_row(i), inverse, known, blend,
                                    tokens_.accumulate, out);
    }
    return *result;
  }

  [[nodiscard]] bool starts_scope(std::size_t sample, std::size_t last_sample) const noexcept {
    if constexpr (Gamma::reads_teacher) {
      return gamma_.scope == gamma_scope::token ||
             (gamma_.scope == gamma_scope::sample && sample != last_sample);
    }
    return false;
  }

  /// gamma of the scope that the token begins.
  double scope_gamma(const counted_token& token) {
    if constexpr (!Gamma::reads_teacher) {
      return gamma_.gamma;
    } else {
      if (!gamma_.is_known(tokens_)) return Gamma::without_labels;
      if (gamma_.scope == gamma_scope::token && token.counts)
        return clamp_gamma(confidence(token.index));
      if (gamma_.scope == gamma_scope::sample && token.counts)
        return clamp_gamma(sample_confidence(token.sample));
      double sum = 0;
      for (std::size_t sample = 0; sample < plan_.samples(); ++sample)
        sum += sample_confidence(sample);
      return clamp_gamma(plan_.samples() == 0 ? Gamma::of_empty_sample
                                              : sum / static_cast<double>(plan_.samples()));
    }
  }
  double sample_confidence(std::size_t sample) {
    double sum = 0;
    std::size_t counted = 0;
    for (std::size_t i = sample == 0 ? 0 : plan_.sample_end(sample - 1);
         i < plan_.sample_end(sample); ++i) {
      if (!plan_.counts(i)) continue;
      sum += confidence(i);
      ++counted;
    }
    return counted == 0 ? Gamma::of_empty_sample : sum / static_cast<double>(counted);
  }
  double confidence(std::size_t i) {
    const std::int64_t label = tokens_.labels.empty() ? 0 : tokens_.labels[i];
    if (options_.mode == loss_mode::parity) return gamma_.parity_confidence(teacher_row(i), label);
    const logit_statistics seen = teacher_statistics<Arch>(teacher_row(i), cols(), 1);
    if (i < memory_.size()) {
      memory_[i] = seen;
      // Tokens in between that don't count leave entries that nobody reads.
      remembered_ = std::max(remembered_, i + 1);
    }
    return gamma_.confidence(seen, teacher_row(i), label);
  }

  const kl_options& options_;
  const Gamma& gamma_;
  matrix_view<S> student_;
  matrix_view<T> teacher_;
  const token_batch& tokens_;
  matrix_view<G> gradient_;
  logit_shape shape_;
  double temperature_;
  token_plan plan_;
  std::array<logit_statistics, 64> own_memory_{};
  std::span<logit_statistics> memory_;
  std::size_t remembered_ = 0;
};

template <class Arch, class Gamma, class S, class T, class G>
blended_result blended_kl(const char* name, const kl_options& options, const Gamma& gamma,
                          matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                          matrix_view<G> gradient, std::span<logit_statistics> workspace) {
  return blended_kl_batch<Arch, Gamma, S, T, G>{name,    options, gamma,    student,
                                                teacher, tokens,  gradient, workspace}
      .run();
}

}  // namespace detail::distill
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
