// expect: packed_matrix: expected per_channel, or per_group<N> with N a multiple of 4
// SPDX-License-Identifier: Apache-2.0
// Groups that run over row ends have no packed form.
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) {
  return er::pack<er::ternary<er::per_flat_group<64>>>(w);
}
