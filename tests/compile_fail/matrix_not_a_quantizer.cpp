// expect: constraints not satisfied
// SPDX-License-Identifier: Apache-2.0
// A format is no policy: int4<per_group<64>> is.
#include <edgerazor/matrix/pack.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) { return er::pack<er::format>(w); }
