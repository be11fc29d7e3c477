// SPDX-License-Identifier: Apache-2.0
// One of two translation units, which link where both have the same form of the library and not
// otherwise.
#include <edgerazor/matrix/packed_matrix.hpp>

std::size_t rows_elsewhere(const edgerazor::packed_view& weights);

int main() { return static_cast<int>(rows_elsewhere(edgerazor::packed_view{})); }
