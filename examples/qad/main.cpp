// SPDX-License-Identifier: Apache-2.0
/// qad, an application: trains a small language model, and low-bit students of it. See --help.
#include "command_line.hpp"
#include "support/system.hpp"

int main(int argc, char** argv) {
  support::hold_standard_streams();
  return support::finish("qad", qad::run({argv + (argc > 0 ? 1 : 0), argv + argc}));
}
