// expect: the checkpoint layout mixes rows of int4 with rows of int2
// SPDX-License-Identifier: Apache-2.0
#include <edgerazor/io/edgerazor_checkpoint.hpp>
#include <edgerazor/policy/symmetric.hpp>
#include <edgerazor/policy/ternary.hpp>

namespace er = edgerazor;

auto wrong(er::matrix_view<const float> w) {
  return er::quantize_to_checkpoint_mixed<er::ternary<>, er::int4<>>(w, er::checkpoint_rows_1_88,
                                                                     32);
}
