// SPDX-License-Identifier: Apache-2.0
/// The sign of a weight in training, and a gradient in place of its derivative (OneBit, arXiv
/// 2402.11295; the published layer).
///
///     value    -1, 0 or 1                                   0 stays 0 while training
///     grad w   g * (1.001 - tanh(w)^2)                      that of tanh, and a little more: a
///                                                           weight far from 0 still moves
///
/// Stored signs have no 0: `binary` and `signs_with_scales` give it 1.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// The sign of every weight. `out` may be `weights`. A NaN stays NaN. Fails where sizes differ.
inline void smooth_sign(std::span<const float> weights, std::span<float> out) {
  if (weights.size() != out.size()) {
    detail::core::fail("smooth_sign: " + std::to_string(weights.size()) + " weights, " +
                       std::to_string(out.size()) + " signs");
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const float w = weights[i];
    out[i] = w > 0 ? 1.0f : w < 0 ? -1.0f : w == 0 ? 0.0f : w;
  }
}

/// The backward of that, in float. `grad_in` is written and may be `grad_out`. The tanh is the
/// standard library's: machines may differ in the last place. Fails where sizes differ.
inline void smooth_sign_backward(std::span<const float> weights, std::span<const float> grad_out,
                                 std::span<float> grad_in) {
  if (weights.size() != grad_out.size() || weights.size() != grad_in.size()) {
    detail::core::fail("smooth_sign_backward: " + std::to_string(weights.size()) +
                       " weights, gradients " + std::to_string(grad_out.size()) + " and " +
                       std::to_string(grad_in.size()));
  }
  for (std::size_t i = 0; i < grad_in.size(); ++i) {
    const float t = std::tanh(weights[i]);
    grad_in[i] = grad_out[i] * (1.001f - t * t);
  }
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
