// SPDX-License-Identifier: Apache-2.0
// Pack a float matrix at 2, 1.6 and 4 bits and multiply it.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

// ---- README.md
#include <edgerazor/quant.hpp>

namespace er = edgerazor;
// ----

int main() {
  const std::size_t rows = 300, cols = 576;
  std::vector<float> weights(rows * cols), x(cols), y(rows), y5(rows), y4(rows);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.02f * std::sin(0.7f * static_cast<float>(i));
  for (std::size_t c = 0; c < cols; ++c) x[c] = std::cos(0.3f * static_cast<float>(c));

  // ---- README.md

  const er::matrix_view view{weights.data(), rows, cols};  // row-major
  using w158 = er::ternary<er::per_group<64>>;             // {-1, 0, 1} * s,  s = 2 * mean|w|
  using w4 = er::int4<er::per_group<64>>;                  // [-7, 7] * s,     s = max|w| / 7

  auto w = er::pack<w158>(view);                            // 2 bits a weight
  auto base3 = er::pack<w158, er::codecs::ternary5>(view);  // the same weights at 1.6 bits
  auto four = er::pack<w4>(view);                           // 4 bits
  er::gemv(w, x, y);                                        // int8 activations, exact sums
  // ----
  er::gemv(base3, x, y5);
  er::gemv(four, x, y4);

  // 4 bits are near the floats' own product; the two ternary forms are the same number to the bit.
  float error = 0, size = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    float exact = 0;
    for (std::size_t c = 0; c < cols; ++c) exact += weights[r * cols + c] * x[c];
    error += (y4[r] - exact) * (y4[r] - exact);
    size += exact * exact;
  }
  std::printf("4 bits: relative error %.3f; 2 bits: %zu bytes, base 3: %zu bytes\n",
              static_cast<double>(std::sqrt(error / size)), w.bytes().size(), base3.bytes().size());
  return y == y5 && error < 0.04f * size && std::fflush(stdout) == 0 ? 0 : 1;
}
