// SPDX-License-Identifier: Apache-2.0
// Two precisions in one matrix: every 8th row at 4 bits, the others ternary.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include <edgerazor/quant.hpp>

namespace er = edgerazor;

int main() {
  const std::size_t rows = 512, cols = 1024;
  std::vector<float> weights(rows * cols), x(cols, 0.5f), y(rows), again(rows);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = 0.02f * std::sin(0.7f * static_cast<float>(i));
  const er::matrix_view view{weights.data(), rows, cols};

  // ---- README.md
  using w158 = er::ternary<er::per_group<256>>;
  using w4 = er::int4<er::per_group<256>>;

  auto mixed = er::pack_mixed<w4, w158, er::codecs::int4, er::codecs::ternary5>(
      view, er::every_nth_row{8});  // 1/8 * 4 + 7/8 * 1.6 bits
  er::gemv(mixed, x, y);

  // The same, where a file or a user names the format.
  const auto fmt = er::matrix_format::parse("int4_g256+ternary5_g256:every_8_rows");
  auto named = er::any_matrix::pack(*fmt, view);
  er::gemv(named, x, again);
  // ----

  const double bits =
      8.0 * static_cast<double>(named.bytes().size()) / static_cast<double>(weights.size());
  std::printf("%s: %.2f bits a weight with scales\n", named.fmt().name().c_str(), bits);
  return y == again && bits < 2.1 && std::fflush(stdout) == 0 ? 0 : 1;
}
