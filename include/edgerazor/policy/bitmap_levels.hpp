// SPDX-License-Identifier: Apache-2.0
/// Training of weights with four levels a group: a sign B, and a bitmap G that says which of two
/// scales and offsets a weight has (LBLLM, arXiv 2604.19167).
///
///     w_q = G (a1 B + m1) + (1 - G) (a0 B + m0)        levels  m1 - a1, m0 - a0, m0 + a0, m1 + a1
///
/// Its three stages, and what each takes from here:
///
///     1  start       weighted means of four classes                    calibrate/four_levels.hpp
///     2  weights     layer by layer, activations as they are: W, the levels and a relaxed G by
///                    straight-through; the squared error of the layer's output (`hidden_mse`,
///                    summed) and `bitmap_regularizer`
///     3  activations W and G stay: the levels, by `level_gradients`; scales of activations as
///                    learned steps
///
/// One stage that trains weights and activations together diverges, its authors report.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>
#include <edgerazor/policy/levels.hpp>
#include <edgerazor/policy/magnitude.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Levels of a group, ascending; the level of code k is levels[k]. The outer two are those of
/// G = 1, the upper two those of B = 1.
using four_levels = std::array<float, 4>;

/// The code of a sign and a bit of the map.
[[nodiscard]] constexpr std::uint8_t bitmap_code(bool positive, bool outer) noexcept {
  return static_cast<std::uint8_t>(positive ? (outer ? 3 : 2) : (outer ? 0 : 1));
}

namespace detail::policy {
inline void check_sizes(const char* function, std::size_t expected, std::size_t a, std::size_t b) {
  if (a == expected && b == expected) return;
  core::fail(std::string{function} + ": " + std::to_string(expected) + " weights, but " +
             std::to_string(a) + " and " + std::to_string(b) + " numbers beside them");
}
}  // namespace detail::policy

/// Codes of one group: B is 1 where w >= 0, the relaxed G counts as 1 from 1/2 on. A NaN of either
/// counts as B = 1, G = 0. Fails where sizes differ.
inline void bitmap_codes(std::span<const float> weights, std::span<const float> relaxed,
                         std::span<std::uint8_t> codes) {
  detail::policy::check_sizes("bitmap_codes", weights.size(), relaxed.size(), codes.size());
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = bitmap_code(detail::policy::is_nan(weights[i]) || sign_level(weights[i]) > 0,
                           relaxed[i] >= 0.5f);
}

/// The gradient of each level of a group, dl_k = sum of the gradients of the weights with code k,
/// added in double. Scales and offsets have these: da1 = dl_3 - dl_0, dm1 = dl_3 + dl_0,
/// da0 = dl_2 - dl_1, dm0 = dl_2 + dl_1. Fails where sizes differ or a code is above 3.
[[nodiscard]] inline four_levels level_gradients(std::span<const std::uint8_t> codes,
                                                 std::span<const float> grad_out) {
  detail::policy::check_sizes("level_gradients", codes.size(), grad_out.size(), codes.size());
  std::array<double, 4> sums{};
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (codes[i] > 3) {
      detail::core::fail("level_gradients: code " + std::to_string(codes[i]) + " of weight " +
                         std::to_string(i) + ", expected 0 to 3");
    }
    sums[codes[i]] += static_cast<double>(grad_out[i]);
  }
  four_levels result{};
  for (std::size_t k = 0; k < 4; ++k) result[k] = static_cast<float>(sums[k]);
  return result;
}

/// The gradient of the relaxed map of one group, as if w_q were linear in it:
///
///     dG = g * (level of (B, 1) - level of (B, 0))
///
/// that of the weights is g itself (`straight_through`). Written; may be `grad_out`. Fails where
/// sizes differ.
inline void bitmap_backward(std::span<const float> weights, const four_levels& levels,
                            std::span<const float> grad_out, std::span<float> grad_map) {
  detail::policy::check_sizes("bitmap_backward", weights.size(), grad_out.size(), grad_map.size());
  for (std::size_t i = 0; i < grad_map.size(); ++i) {
    const bool positive = sign_level(weights[i]) > 0;
    grad_map[i] =
        grad_out[i] * (levels[bitmap_code(positive, true)] - levels[bitmap_code(positive, false)]);
  }
}

/// What drives a relaxed map to 0 and 1:
///
///     r_i = 1 - |2 G_i - 1|^beta        value = factor * sum r_i^2
///     dG_i = -4 factor r_i beta |2 G_i - 1|^(beta - 1) sign(2 G_i - 1)
///
/// 0 where every G is 0 or 1, `factor` each where it is 1/2, whose gradient is 0 for beta > 1. The
/// paper lowers beta in training, as AdaRound does.
struct bitmap_regularizer {
  float beta = 2;  ///< at least 1
  float factor = 1;

  /// The value; the gradient is added to `grad_map`, unless that is empty. NaN gives NaN. Fails
  /// where sizes differ, or beta is below 1 or not a number.
  double operator()(std::span<const float> relaxed, std::span<float> grad_map = {}) const {
    if (!(beta >= 1)) {
      detail::core::fail("bitmap_regularizer: beta is " + std::to_string(beta) +
                         ", expected a number of at least 1");
    }
    if (!grad_map.empty()) {
      detail::policy::check_sizes("bitmap_regularizer", relaxed.size(), grad_map.size(),
                                  relaxed.size());
    }
    const auto b = static_cast<double>(beta), f = static_cast<double>(factor);
    double sum = 0;
    for (std::size_t i = 0; i < relaxed.size(); ++i) {
      const double centred = 2 * static_cast<double>(relaxed[i]) - 1;
      const double r = 1 - std::pow(std::fabs(centred), b);
      sum += r * r;
      if (grad_map.empty()) continue;
      const double slope = b * std::pow(std::fabs(centred), b - 1) * (centred < 0 ? -1 : 1);
      grad_map[i] += static_cast<float>(-4 * f * r * (centred == 0 ? 0.0 : slope));
    }
    return f * sum;
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
