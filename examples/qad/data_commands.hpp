// SPDX-License-Identifier: Apache-2.0
/// The sub-commands about data: write-data and inspect-data.
#pragma once

namespace CLI {
class App;
}

namespace qad {

void add_data_commands(CLI::App& program);

}  // namespace qad
