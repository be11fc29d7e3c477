// SPDX-License-Identifier: Apache-2.0
/// The command line of qad.
#pragma once

#include <string>
#include <vector>

#include "support/command_line.hpp"

namespace qad {

/// Parses and performs what follows the program's name.
support::outcome run(std::vector<std::string> arguments);

}  // namespace qad
