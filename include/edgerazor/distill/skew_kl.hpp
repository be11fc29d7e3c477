// SPDX-License-Identifier: Apache-2.0
/// Skew divergences: KL against a mixture that holds some of the first argument, so that no ratio
/// is large.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/element_divergence.hpp>
#include <edgerazor/distill/exponential.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
inline void check_alpha(const char* loss, float alpha) {
  if (alpha >= 0 && alpha < 1) return;
  core::fail(std::string{loss} + ": alpha is " + std::to_string(alpha) + ", expected 0 to below 1");
}

struct skew_forward_term {
  double alpha;

  template <class Reals>
  [[nodiscard]] element_term<Reals> operator()(const probability_pair<Reals>& x) const noexcept {
    const Reals log_m = log_mixture(std::log(alpha), x.log_p, std::log1p(-alpha), x.log_q);
    const Reals ratio = if_possible(x.q, detail::distill::exponential(x.log_q - log_m));
    return {x.p * if_possible(x.p, x.log_p - log_m), Reals{alpha - 1} * x.p * ratio};
  }
};

struct skew_reverse_term {
  double alpha;

  template <class Reals>
  [[nodiscard]] element_term<Reals> operator()(const probability_pair<Reals>& x) const noexcept {
    const Reals log_m = log_mixture(std::log1p(-alpha), x.log_p, std::log(alpha), x.log_q);
    const Reals log_ratio = if_possible(x.q, x.log_q - log_m);
    return {x.q * log_ratio,
            x.q * (log_ratio - Reals{alpha} * detail::distill::exponential(log_ratio))};
  }
};
}  // namespace detail::distill

/// KL(p || m), m = alpha p + (1 - alpha) q, p the teacher (arXiv 2402.03898):
///
///     d / ds = (1 - alpha) q (sum p q / m - p / m) / T
///
/// alpha 0 is the forward divergence. Arguments and guarantees as in kl.hpp.
struct skew_kl {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float alpha = 0.1f;  ///< in [0, 1)

  /// One column, for vocabulary_pieces.hpp.
  [[nodiscard]] auto term() const noexcept {
    return detail::distill::skew_forward_term{static_cast<double>(alpha)};
  }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<G> gradient = {}) const {
    detail::distill::check_alpha("skew_kl", alpha);
    return detail::distill::element_divergence<Arch>("skew_kl",
                                                     {temperature, temperature_squared, vocabulary},
                                                     term(), student, teacher, tokens, gradient);
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                         std::span<const std::int64_t> labels, reduction how,
                         matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

/// KL(q || m), m = (1 - alpha) p + alpha q: the reverse divergence, skewed. alpha 0 is the reverse
/// divergence.
struct skew_reverse_kl {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float alpha = 0.1f;  ///< in [0, 1)

  /// One column, for vocabulary_pieces.hpp.
  [[nodiscard]] auto term() const noexcept {
    return detail::distill::skew_reverse_term{static_cast<double>(alpha)};
  }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<G> gradient = {}) const {
    detail::distill::check_alpha("skew_reverse_kl", alpha);
    return detail::distill::element_divergence<Arch>("skew_reverse_kl",
                                                     {temperature, temperature_squared, vocabulary},
                                                     term(), student, teacher, tokens, gradient);
  }
  template <real_element S, real_element T, detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher,
                         std::span<const std::int64_t> labels, reduction how,
                         matrix_view<G> gradient = {}) const {
    return (*this)(student, teacher, token_batch{.labels = labels, .how = how}, gradient);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
