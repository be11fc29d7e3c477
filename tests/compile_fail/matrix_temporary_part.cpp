// expect: a composition refers to its matrices: give one that owns its bytes a name first
// SPDX-License-Identifier: Apache-2.0
// The sparse matrix would be gone before the sum is multiplied.
#include <cstdint>
#include <span>

#include <edgerazor/matrix/matrix_sum.hpp>

namespace er = edgerazor;

er::matrix_sum wrong(er::packed_view w, er::matrix_view<const float> values,
                     std::span<const std::uint8_t> mask) {
  return er::sum_of{w, er::sparse_matrix::marked(values, mask)};
}
