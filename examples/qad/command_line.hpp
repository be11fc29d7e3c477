// SPDX-License-Identifier: Apache-2.0
/// The command line of qad.
#pragma once

#include <string>
#include <vector>

#include "process_group.hpp"
#include "support/command_line.hpp"

namespace qad {

/// Parses and performs what follows the program's name. `group`: processes that were started with
/// the same arguments, of which teacher and student share the batches; other sub-commands refuse
/// several.
support::outcome run(std::vector<std::string> arguments, process_group* group = nullptr);

}  // namespace qad
