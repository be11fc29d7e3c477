// expect: satisf.*row_group_policy
// SPDX-License-Identifier: Apache-2.0
// Groups that run over row ends can't be split by rows.
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> in, er::matrix_view<float> out) {
  er::fake_quantize<er::int4<er::per_flat_group<64>>>(in, out, {}, {.rows = er::row_range{0, 4}});
}
