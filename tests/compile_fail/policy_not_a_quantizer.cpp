// expect: satisf.*quantizer
// SPDX-License-Identifier: Apache-2.0
// A granularity alone is no policy: int4<per_group<64>> is.
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> in, er::matrix_view<float> out) {
  er::fake_quantize<er::per_group<64>>(in, out);
}
