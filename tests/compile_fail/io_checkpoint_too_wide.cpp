// expect: the checkpoint layout holds levels of at most 4 bits
// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/io/edgerazor_checkpoint.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) { return er::quantize_to_checkpoint<er::int8<>>(w, 32); }
