// SPDX-License-Identifier: Apache-2.0
// A unit that its build compiles for a newer processor, and that calls of this program never reach.
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/ternary.hpp>

void quantize_fast(const float* in, std::size_t rows, std::size_t cols, float* out) {
  edgerazor::fake_quantize<edgerazor::ternary<edgerazor::per_group<64>>>(
      edgerazor::matrix_view<const float>{in, rows, cols},
      edgerazor::matrix_view<float>{out, rows, cols});
}
