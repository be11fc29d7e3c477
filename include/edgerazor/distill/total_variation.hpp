// SPDX-License-Identifier: Apache-2.0
/// Total variation: the mass that would have to move.
#pragma once

#include <cstdint>
#include <span>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/views.hpp>
#include <edgerazor/distill/element_divergence.hpp>
#include <edgerazor/distill/logit_options.hpp>
#include <edgerazor/distill/reduction.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::distill {
struct total_variation_term {
  template <class Reals>
  [[nodiscard]] element_term<Reals> operator()(const probability_pair<Reals>& x) const noexcept {
    const Reals half = Reals{0.5} * x.q;
    const Reals above = xsimd::select(x.q > x.p, half, Reals{0}),
                below = xsimd::select(x.q < x.p, half, Reals{0});
    return {Reals{0.5} * xsimd::abs(x.p - x.q), above - below};
  }
};
}  // namespace detail::distill

/// sum |p - q| / 2, in [0, 1]:
///
///     d / ds = q (sign(q - p) - sum q sign(q - p)) / 2 T        sign(0) = 0
///
/// Arguments and guarantees as in kl.hpp.
struct total_variation {
  float temperature = 1;
  bool temperature_squared = true;
  vocabulary_mismatch vocabulary = vocabulary_mismatch::fail;

  /// One column, for vocabulary_pieces.hpp.
  [[nodiscard]] auto term() const noexcept { return detail::distill::total_variation_term{}; }

  template <class Arch = xsimd::default_arch, real_element S, real_element T,
            detail::distill::gradient_element G = float>
  loss_result operator()(matrix_view<S> student, matrix_view<T> teacher, const token_batch& tokens,
                         matrix_view<G> gradient = {}) const {
    return detail::distill::element_divergence<Arch>("total_variation",
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
