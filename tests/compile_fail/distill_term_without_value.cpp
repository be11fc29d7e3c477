// expect: satisf.*objective_term
// SPDX-License-Identifier: Apache-2.0
// A term returns its value.
#include <edgerazor/distill/objective.hpp>

namespace er = edgerazor;

void wrong(er::objective<>& total) {
  total.add("task", 1, [](const er::token_batch&) {});
}
