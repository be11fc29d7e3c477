// SPDX-License-Identifier: Apache-2.0
/// The sub-command plot.
#pragma once

namespace CLI {
class App;
}

namespace qad {

void add_plot(CLI::App& program);

}  // namespace qad
