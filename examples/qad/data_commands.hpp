// SPDX-License-Identifier: Apache-2.0
/// The sub-commands about data: write-data, inspect-data and gradients.
#pragma once

namespace CLI {
class App;
}

namespace qad {

struct conversation_rules;

/// Options of how conversations become tokens.
void add_rules(CLI::App& command, conversation_rules& rules);
void add_data_commands(CLI::App& program);

}  // namespace qad
