// expect: packed_matrix: expected per_channel, or per_group<N> with N a multiple of 4
// SPDX-License-Identifier: Apache-2.0
// A slot of 4 columns has one scale.
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) { return er::pack<er::int8<er::per_group<6>>>(w); }
