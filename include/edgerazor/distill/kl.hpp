// SPDX-License-Identifier: Apache-2.0
/// Divergences between student and teacher over a vocabulary, with the gradient in the student's
/// logits.
///
/// With q = softmax(s / T) the student's and p = softmax(t / T) the teacher's distribution of a
/// token, in nats:
///
///     forward   KL(p||q) = sum p (ln p - ln q)       d / ds = (q - p) / T
///     reverse   KL(q||p) = sum q (ln q - ln p)       d / ds = q (ln q - ln p - KL(q||p)) / T
///     blends    gamma * reverse + (1 - gamma) * forward
///
/// each times T^2 unless `temperature_squared` is off. gamma depends on the teacher alone (at
/// temperature 1): no gradient flows through it.
///
/// Logits are `tokens x vocabulary` in float, float16 or bfloat16, with any stride.
/// Log-probabilities are logits too (softmax leaves them what they are), so a teacher may bring
/// either. Minus infinity is an impossible token. The gradient has the student's shape and may be
/// the student's own memory; data == nullptr asks for the value alone. Sums are kept in double, and
/// rows are reworked in double where float would not hold a relative 1e-6. Nothing is allocated.
/// Fails, before anything is written, where shapes or counts don't agree (naming both) or a
/// parameter has no meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/kl_rows.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/logit_statistics.hpp>
#include <edgerazor/distill/reduction.hpp>
#include <edgerazor/distill/teacher_confidence.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// KL(teacher || student): covers the teacher's modes (reference compute_kld_forward).
struct forward_kl {
  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;

  [[nodiscard]] auto policy() const noexcept { return detail::distill::fixed_gamma{0}; }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            const token_batch& tokens, matrix_view<G> gradient = {}) const {
    return detail::distill::blended_kl<Arch>("forward_kl",
                                             {temperature, temperature_squared, mode, vocabulary},
                                             policy(), student, teacher, tokens, gradient, {});
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            std::span<const std::int64_t> labels, reduction how,
                            matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// KL(student || teacher): seeks the teacher's modes (reference compute_kld_reverse).
struct reverse_kl {
  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;

  [[nodiscard]] auto policy() const noexcept { return detail::distill::fixed_gamma{1}; }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            const token_batch& tokens, matrix_view<G> gradient = {}) const {
    return detail::distill::blended_kl<Arch>("reverse_kl",
                                             {temperature, temperature_squared, mode, vocabulary},
                                             policy(), student, teacher, tokens, gradient, {});
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            std::span<const std::int64_t> labels, reduction how,
                            matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// gamma KL(student || teacher) + (1 - gamma) KL(teacher || student) with a gamma that the caller
/// sets.
struct symmetric_kl {
  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float gamma = 0.5f;  ///< in [0, 1]

  [[nodiscard]] auto policy() const noexcept {
    return detail::distill::fixed_gamma{static_cast<double>(gamma)};
  }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            const token_batch& tokens, matrix_view<G> gradient = {}) const {
    if (!(gamma >= 0 && gamma <= 1))
      detail::core::fail("symmetric_kl: gamma is " + std::to_string(gamma) + ", expected 0 to 1");
    return detail::distill::blended_kl<Arch>("symmetric_kl",
                                             {temperature, temperature_squared, mode, vocabulary},
                                             policy(), student, teacher, tokens, gradient, {});
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            std::span<const std::int64_t> labels, reduction how,
                            matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// The paper's loss, EAKLD (arXiv 2605.04062; reference compute_kld_confidence with use_entropy):
///
///     gamma = clamp(1 - mean H(p) / ln k, 0, 1), k = confidence_k
///
/// A sure teacher is imitated mode by mode (reverse), an unsure one is covered (forward). The mean
/// is over samples of each sample's mean over its counted tokens; a sample without one counts as
/// entropy 0, as in the reference.
struct entropy_aware_kl {
  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  std::size_t confidence_k = 16;  ///< at least 2
  gamma_scope scope = gamma_scope::batch;

  [[nodiscard]] auto policy() const noexcept {
    return detail::distill::entropy_gamma{static_cast<double>(confidence_k), scope};
  }

  /// `workspace`: one entry a token saves a second look at the teacher's logits for all but the
  /// first 64 tokens.
  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            const token_batch& tokens, matrix_view<G> gradient = {},
                            std::span<logit_statistics> workspace = {}) const {
    if (confidence_k < 2) {
      detail::core::fail("entropy_aware_kl: confidence_k is " + std::to_string(confidence_k) +
                         ", expected at least 2");
    }
    return detail::distill::blended_kl<Arch>(
        "entropy_aware_kl", {temperature, temperature_squared, mode, vocabulary}, policy(), student,
        teacher, tokens, gradient, workspace);
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            std::span<const std::int64_t> labels, reduction how,
                            matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// The older blend, CAKLD (arXiv 2402.10631; reference compute_kld_confidence without use_entropy):
/// gamma is the mean probability that the teacher gives the label; 0.5 without labels. A counted
/// token's label must be one of the teacher's columns.
struct confidence_aware_kl {
  float temperature = 1;
  bool temperature_squared = true;
  loss_mode mode = loss_mode::stable;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  gamma_scope scope = gamma_scope::batch;

  [[nodiscard]] auto policy() const noexcept { return detail::distill::label_gamma{scope}; }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            const token_batch& tokens, matrix_view<G> gradient = {},
                            std::span<logit_statistics> workspace = {}) const {
    return detail::distill::blended_kl<Arch>(
        "confidence_aware_kl", {temperature, temperature_squared, mode, vocabulary}, policy(),
        student, teacher, tokens, gradient, workspace);
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  blended_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                            std::span<const std::int64_t> labels, reduction how,
                            matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
