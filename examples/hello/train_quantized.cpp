// SPDX-License-Identifier: Apache-2.0
// Quantization-aware training of one layer: the forward pass sees ternary weights, the gradient
// reaches the float weights behind them.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <random>
#include <vector>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

int main() {
  const std::size_t rows = 4, cols = 64, samples = 256;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> target(rows * cols), w(rows * cols), q(rows * cols), gradient(rows * cols);
  for (float& v : target) v = std::round(std::tanh(normal(random)));  // -1, 0, 1
  for (float& v : w) v = 0.1f * normal(random);
  std::vector<float> x(samples * cols);
  for (float& v : x) v = normal(random);

  float first = 0, last = 0;
  for (int step = 0; step < 100; ++step) {
    // ---- README.md
    using w158 = er::ternary<er::per_group<64>>;
    er::fake_quantize<w158>(er::matrix_view{w.data(), rows, cols},
                            er::matrix_view{q.data(), rows, cols});  // q = level * scale
    // ... forward and backward with q: `gradient` is that in q ...
    // ----
    last = 0;
    gradient.assign(gradient.size(), 0.0f);
    for (std::size_t s = 0; s < samples; ++s)
      for (std::size_t r = 0; r < rows; ++r) {
        float error = 0;
        for (std::size_t c = 0; c < cols; ++c)
          error += (q[r * cols + c] - target[r * cols + c]) * x[s * cols + c];
        last += error * error / samples;
        for (std::size_t c = 0; c < cols; ++c)
          gradient[r * cols + c] += 2 * error * x[s * cols + c] / samples;
      }
    if (step == 0) first = last;
    // ---- README.md
    er::straight_through(gradient, gradient);                                // the gradient in w
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= 0.01f * gradient[i];  // any optimizer
    // ----
  }
  std::printf("mean squared error %.2f, after 100 steps %.2f\n", static_cast<double>(first),
              static_cast<double>(last));
  return last < 0.5f * first && std::fflush(stdout) == 0 ? 0 : 1;
}
