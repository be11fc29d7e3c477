// expect: a product takes a packed_view, packed_matrix, mixed_matrix or any_matrix
// SPDX-License-Identifier: Apache-2.0
// Real numbers are multiplied as an any_matrix, not as they are.
#include <span>

#include <edgerazor/product/gemv.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> w, std::span<const float> x, std::span<float> y) {
  er::gemv(w, x, y);
}
