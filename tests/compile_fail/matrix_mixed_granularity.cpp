// expect: satisf.*mixable_policies
// SPDX-License-Identifier: Apache-2.0
// Both precisions have the same groups.
#include <edgerazor/matrix/pack_mixed.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) {
  return er::pack_mixed<er::int4<er::per_group<64>>, er::ternary<er::per_group<32>>>(
      w, er::every_nth_row{8});
}
