// SPDX-License-Identifier: Apache-2.0
/// The sub-command inspect-config.
#pragma once

namespace CLI {
class App;
}

namespace qad {

void add_inspect_config(CLI::App& program);

}  // namespace qad
