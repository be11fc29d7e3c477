// expect: real_element
// SPDX-License-Identifier: Apache-2.0
// Losses read rows of float and of 16 bits.
#include <edgerazor/distill/kl.hpp>

namespace er = edgerazor;

double wrong(er::matrix_view<const double> student, er::matrix_view<const float> teacher) {
  return er::forward_kl{}(student, teacher, er::token_batch{}).value;
}
