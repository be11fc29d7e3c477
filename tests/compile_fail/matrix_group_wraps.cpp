// expect: packed_matrix: expected per_channel, or per_group<N> with N a multiple of 4 and at most
// SPDX-License-Identifier: Apache-2.0
// 2^32 + 4 columns are no group of 4.
#include <cstddef>

#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) {
  return er::pack<er::int8<er::per_group<(std::size_t{1} << 32) + 4>>>(w);
}
