// expect: sum_of, scaled_columns and permuted_columns are composed of a packed_view
// SPDX-License-Identifier: Apache-2.0
// Real numbers are a part as an any_matrix, not as they are.
#include <edgerazor/matrix/matrix_sum.hpp>

namespace er = edgerazor;

er::matrix_sum wrong(const er::sparse_matrix& outliers, er::matrix_view<const float> w) {
  return er::sum_of{outliers, w};
}
