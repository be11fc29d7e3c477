// SPDX-License-Identifier: Apache-2.0
// Calls what the other unit has as well, in copies of its own: whichever is linked first.
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/ternary.hpp>

void quantize_fast(const float* in, std::size_t rows, std::size_t cols, float* out);

int main(int count, char**) {
  constexpr std::size_t rows = 4, cols = 256;
  static float w[rows * cols], out[rows * cols];
  for (std::size_t i = 0; i < rows * cols; ++i)
    w[i] = static_cast<float>(static_cast<int>(i * 7919 % 201) - 100) / 64.0f;
  if (count > 1) quantize_fast(w, rows, cols, out);
  edgerazor::fake_quantize<edgerazor::ternary<edgerazor::per_group<64>>>(
      edgerazor::matrix_view<const float>{w, rows, cols},
      edgerazor::matrix_view<float>{out, rows, cols});
  return out[0] < 0 && out[1] == 0 ? 0 : 1;
}
