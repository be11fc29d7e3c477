// SPDX-License-Identifier: Apache-2.0
/// What a product is, from the words of DESIGN and kernel.hpp alone: levels as the layout's walk
/// finds them, sums in 64 bits, std::fma by hand. Shares no code with the kernels. Tests only.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "support/tile_places.hpp"
#include <edgerazor/matrix/activations.hpp>

namespace oracle {

/// Rows of levels, and which scale each column has: what a packed or a mixed matrix comes down to.
struct weights {
  std::size_t rows = 0, cols = 0, group_cols = 0, groups = 0;
  std::vector<int> levels;    ///< rows x cols
  std::vector<float> scales;  ///< rows x groups, as stored
  std::vector<float> zeros;   ///< the same, where the format has them
  edgerazor::zero_kind zero = edgerazor::zero_kind::none;

  weights() = default;
  explicit weights(const tile_places::matrix& m)
      : rows(m.rows),
        cols(m.cols),
        group_cols(m.group_cols),
        groups(m.groups),
        levels(m.levels),
        scales(m.scales),
        zeros(m.zeros),
        zero(m.fmt.zero) {}

  [[nodiscard]] float zero_of(std::size_t group) const { return zeros.empty() ? 0 : zeros[group]; }
  /// What a code stands for.
  [[nodiscard]] float value(std::size_t r, std::size_t c) const {
    const std::size_t group = r * groups + c / group_cols;
    const auto level = static_cast<float>(levels[r * cols + c]);
    if (zero == edgerazor::zero_kind::none) return level * scales[group];
    if (zero == edgerazor::zero_kind::point) {
      volatile float difference = level - zeros[group];
      return scales[group] * difference;
    }
    volatile float product = scales[group] * level;
    return product + zeros[group];
  }
};

/// The epilogue: sum is float(isum) or p, x_sum that of the group's activations.
inline float add_group(edgerazor::zero_kind kind, float sum, float w_scale, float zero,
                       float x_scale, float x_sum, float y) {
  if (kind == edgerazor::zero_kind::point) sum = std::fma(-zero, x_sum, sum);
  y = std::fma(sum, w_scale * x_scale, y);
  return kind == edgerazor::zero_kind::minimum ? std::fma(x_sum, zero * x_scale, y) : y;
}

/// W-A8: groups in order, y = fma(float(isum), w_scale * x_scale, y).
inline std::vector<float> product(const weights& w, const edgerazor::activation_view& x,
                                  std::size_t token) {
  std::vector<float> y(w.rows, 0.0f);
  const edgerazor::activation_view one = x.tokens_between(token, token + 1);
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t g = 0; g < w.groups; ++g) {
      std::int64_t isum = 0, x_sum = 0;
      for (std::size_t c = g * w.group_cols; c < (g + 1) * w.group_cols && c < w.cols; ++c) {
        isum += std::int64_t{w.levels[r * w.cols + c]} * one.codes[c];
        x_sum += one.codes[c];
      }
      if (isum != static_cast<std::int32_t>(isum))
        throw std::logic_error("the sum needs more than 32 bits");
      y[r] = add_group(w.zero, static_cast<float>(isum), w.scales[r * w.groups + g],
                       w.zero_of(r * w.groups + g), one.scales[g], static_cast<float>(x_sum), y[r]);
    }
  }
  return y;
}

/// W-A32: in a group four sums p_b = fma(level, x, p_b) over the columns c with c % 4 == b, in
/// order; y = fma((p_0 + p_1) + (p_2 + p_3), w_scale, y), groups in order.
inline std::vector<float> product(const weights& w, std::span<const float> x) {
  std::vector<float> y(w.rows, 0.0f);
  for (std::size_t r = 0; r < w.rows; ++r) {
    for (std::size_t g = 0; g < w.groups; ++g) {
      float p[4] = {}, q[4] = {};
      for (std::size_t c = g * w.group_cols; c < (g + 1) * w.group_cols && c < w.cols; ++c) {
        p[c % 4] = std::fma(static_cast<float>(w.levels[r * w.cols + c]), x[c], p[c % 4]);
        q[c % 4] += x[c];
      }
      y[r] = add_group(w.zero, (p[0] + p[1]) + (p[2] + p[3]), w.scales[r * w.groups + g],
                       w.zero_of(r * w.groups + g), 1.0f, (q[0] + q[1]) + (q[2] + q[3]), y[r]);
    }
  }
  return y;
}

/// A dense row times a token: 16 sums over the columns c with c % 16 == j, then halves are added.
inline float dense_product(std::span<const float> w, std::span<const float> x) {
  std::vector<float> s(16, 0.0f);
  for (std::size_t c = 0; c < w.size(); ++c) s[c % 16] = std::fma(w[c], x[c], s[c % 16]);
  while (s.size() > 1) {
    const std::size_t half = s.size() / 2;
    for (std::size_t j = 0; j < half; ++j) s[j] = s[j] + s[j + half];
    s.resize(half);
  }
  return s[0];
}

}  // namespace oracle
