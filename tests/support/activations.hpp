// SPDX-License-Identifier: Apache-2.0
/// Made-up weights and activations for tests of calibration: heavy-tailed weights, columns that
/// depend on each other, a few hot ones. Tests only.
#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace samples {

/// rows x cols, x |x| for normal x: about as heavy-tailed as weights are.
inline std::vector<float> heavy_tailed(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> result(rows * cols);
  for (float& w : result) {
    const float x = normal(engine);
    w = 0.02f * x * std::fabs(x);
  }
  return result;
}

/// tokens x cols: each column follows a column before it by half; every eleventh is four times as
/// large.
inline std::vector<float> correlated(std::size_t tokens, std::size_t cols, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> result(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t) {
    float* const row = result.data() + t * cols;
    for (std::size_t c = 0; c < cols; ++c) {
      row[c] = normal(engine) + (c == 0 ? 0.0f : 0.9f * row[c / 2]);
    }
    for (std::size_t c = 3; c < cols; c += 11) row[c] *= 4;
  }
  return result;
}

}  // namespace samples
