// SPDX-License-Identifier: Apache-2.0
/// Options that several sub-commands have, by what they are about.
#pragma once

#include "run_options.hpp"
#include "support/command_line.hpp"

namespace qad {

/// --text, --split-block, --split-every.
void add_text(CLI::App& command, run_options& o);
/// --vocabulary and the sizes of a decoder.
void add_shape(CLI::App& command, shape& s);
/// --steps, --learning-rate and what else AdamW and its schedule have, batches, --seed.
void add_training(CLI::App& command, run_options& o);
/// --threads: those of the machine, as far as a process can use them.
void add_threads(CLI::App& command, training_options& t);
/// --checkpoint-every, --validation-tokens, --evaluate-every.
void add_bookkeeping(CLI::App& command, run_options& o);

}  // namespace qad
