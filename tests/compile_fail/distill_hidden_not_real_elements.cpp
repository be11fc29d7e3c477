// expect: satisf.*real_element
// SPDX-License-Identifier: Apache-2.0
// Hidden states are real numbers.
#include <edgerazor/distill/hidden_loss.hpp>

namespace er = edgerazor;

double wrong(er::matrix_view<const int> student, er::matrix_view<const float> teacher) {
  return er::hidden_mse{}(student, teacher, er::token_batch{}).value;
}
