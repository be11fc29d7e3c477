// SPDX-License-Identifier: Apache-2.0
// A sum of matrices: a few weights in 16 bits, the others, whose range is then small, in 4.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

int main() {
  const std::size_t rows = 256, cols = 512;
  std::vector<float> weights(rows * cols), small(rows * cols), x(cols, 0.5f), y(rows), again(rows);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.02f * std::sin(0.7f * static_cast<float>(i)) * (i % 97 == 0 ? 9.0f : 1.0f);
  const er::matrix_view view{weights.data(), rows, cols};

  // ---- README.md
  const auto outliers = er::sparse_matrix::above(view, 0.03f);  // column and fp16 value each
  for (std::size_t i = 0; i < weights.size(); ++i)
    small[i] = std::fabs(weights[i]) > 0.03f ? 0 : weights[i];  // int4 has a 0: parts add
  const auto codes =
      er::pack<er::int4<er::per_group<64>>>(er::matrix_view{small.data(), rows, cols});
  const er::sum_of sum{codes, outliers};
  er::gemv(sum, x, y);

  const auto w = er::any_matrix::joined(sum);          // "int4_g64+sparse", one block of bytes
  std::vector<std::byte> room(er::input_bytes(w, 1));  // your memory
  const auto in = er::prepare(w, x, room);             // once a token; every thread reads it
  er::gemv(w, in, again);
  // ----

  float error = 0;
  std::vector<float> row(cols);
  for (std::size_t r = 0; r < rows; ++r) {
    er::look_up_row(w, r, row);
    for (std::size_t c = 0; c < cols; ++c)
      error = std::max(error, std::fabs(row[c] - weights[r * cols + c]));
  }
  std::printf("%s: %zu entries, %.2f bits a weight, largest error %.4f\n", w.fmt().name().c_str(),
              outliers.view().entries(), w.bits_per_weight(), static_cast<double>(error));
  return y == again && error < 0.03f / 14 + 0.001f && std::fflush(stdout) == 0 ? 0 : 1;
}
