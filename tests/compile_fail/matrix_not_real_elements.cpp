// expect: satisf.*real_element
// SPDX-License-Identifier: Apache-2.0
// Weights are float, float16 or bfloat16.
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const double> w) { return er::pack<er::int4<>>(w); }
