// SPDX-License-Identifier: Apache-2.0
/// The generalized Jensen-Shannon divergence: finite whatever student and teacher say.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/element_divergence.hpp>
#include <edgerazor/distill/kl.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
struct js_term {
  double beta;

  template <class Reals>
  [[nodiscard]] element_term<Reals> operator()(const probability_pair<Reals>& x) const noexcept {
    const Reals log_m = log_mixture(std::log(beta), x.log_p, std::log1p(-beta), x.log_q);
    const Reals of_q = Reals{1 - beta} * x.q * if_possible(x.q, x.log_q - log_m);
    return {Reals{beta} * x.p * if_possible(x.p, x.log_p - log_m) + of_q, of_q};
  }
};
}  // namespace detail::distill

/// With the mixture m = beta p + (1 - beta) q of teacher p and student q (arXiv 2306.13649):
///
///     beta KL(p||m) + (1 - beta) KL(q||m)        d / ds = (1 - beta) q (ln(q/m) - sum q ln(q/m)) / T
///
/// beta weighs the teacher, as in TRL and Liger, whose conventions for the ends are kept too: 0 is
/// KL(p||q), 1 is KL(q||p). (DistiLLM's lambda weighs the student.) Arguments and guarantees as in
/// kl.hpp.
struct generalized_js {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;
  float beta = 0.5f;  ///< in [0, 1]

  /// One column, for losses that see the vocabulary in pieces or in part. The ends are no sums of
  /// this kind: fails there.
  [[nodiscard]] auto term() const {
    if (!(beta > 0 && beta < 1)) {
      detail::core::fail("generalized_js: beta is " + std::to_string(beta) +
                         ", expected one strictly between 0 and 1 here");
    }
    return detail::distill::js_term{static_cast<double>(beta)};
  }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<G> gradient = {}) const {
    if (!(beta >= 0 && beta <= 1))
      detail::core::fail("generalized_js: beta is " + std::to_string(beta) + ", expected 0 to 1");
    if (beta == 0 || beta == 1) {
      return symmetric_kl{.temperature = temperature,
                          .temperature_squared = temperature_squared,
                          .vocabulary = vocabulary,
                          .gamma = beta}
          .template operator()<Arch>(student, teacher, tokens, gradient);
    }
    return detail::distill::element_divergence<Arch>("generalized_js",
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
