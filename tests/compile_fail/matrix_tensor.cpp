// expect: packed_matrix: expected per_channel, or per_group<N> with N a multiple of 4
// SPDX-License-Identifier: Apache-2.0
// One scale for the whole matrix has no packed form.
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) { return er::pack<er::int4<er::per_tensor>>(w); }
