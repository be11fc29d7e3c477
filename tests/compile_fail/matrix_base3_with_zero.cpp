// expect: packed_matrix: the codec has too few levels for the policy
// SPDX-License-Identifier: Apache-2.0
// Base 3 has no form with a zero of the group.
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/asymmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) {
  return er::pack<er::asymmetric<2>, er::codecs::ternary5>(w);
}
