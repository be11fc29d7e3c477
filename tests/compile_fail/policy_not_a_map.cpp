// expect: satisf.*precision_map
// SPDX-License-Identifier: Apache-2.0
// A number is no precision map: every_nth_row{8} is.
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> in, er::matrix_view<float> out) {
  er::fake_quantize_mixed<er::int4<>, er::ternary<>>(in, out, 8);
}
