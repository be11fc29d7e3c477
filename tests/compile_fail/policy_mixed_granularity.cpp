// expect: satisf.*mixable_policies
// SPDX-License-Identifier: Apache-2.0
// Both policies of a mixed matrix have the same groups.
#include <edgerazor/policy/mixed_precision.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

void wrong(er::matrix_view<const float> in, er::matrix_view<float> out) {
  er::fake_quantize_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<32>>>(
      in, out, er::every_nth_row{8});
}
