// expect: writable_element
// SPDX-License-Identifier: Apache-2.0
// The output is written.
#include <edgerazor/policy/fake_quantize.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> in, er::matrix_view<const float> out) {
  er::fake_quantize<er::int4<>>(in, out);
}
