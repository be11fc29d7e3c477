// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/matrix/packed_matrix.hpp>

std::size_t rows_elsewhere(const edgerazor::packed_view& weights) { return weights.rows(); }
