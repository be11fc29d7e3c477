// expect: packed_matrix: the codec has too few levels for the policy
// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) { return er::pack<er::int4<>, er::codecs::ternary2>(w); }
