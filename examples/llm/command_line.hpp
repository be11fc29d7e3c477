// SPDX-License-Identifier: Apache-2.0
/// The command line of llm.
#pragma once

#include <string>
#include <vector>

#include "support/command_line.hpp"

namespace llm {

/// Parses and performs what follows the program's name.
support::outcome run(std::vector<std::string> arguments);

}  // namespace llm
