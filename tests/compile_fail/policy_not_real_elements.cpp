// expect: satisf.*real_element
// SPDX-License-Identifier: Apache-2.0
// Elements are float, float16 or bfloat16.
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const double> in, er::matrix_view<float> out) {
  er::fake_quantize<er::int4<>>(in, out);
}
