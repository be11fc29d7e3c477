// SPDX-License-Identifier: Apache-2.0
/// llm, an application: a language model quantized, measured and run with edgerazor. See --help.
#include "command_line.hpp"
#include "support/system.hpp"

int main(int argc, char** argv) {
  support::hold_standard_streams();
  return support::finish("llm", llm::run({argv + (argc > 0 ? 1 : 0), argv + argc}));
}
