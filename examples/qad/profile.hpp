// SPDX-License-Identifier: Apache-2.0
/// What `--profile` tells.
#pragma once

#include <cstddef>

#include "training_step.hpp"

namespace qad {

/// Multiplications and additions a second of one thread in a large product of single-precision
/// matrices, which is Eigen's: what this build can have of the machine. Takes a few tenths of a
/// second.
double measured_peak();

/// Where the time of a run went, and how much of the peak its products had, on standard error.
/// `seconds`: on the clock, for `tokens`. Parts are time on a processor of all threads together.
void print_times(const trainer::time_spent& spent, double seconds, std::size_t threads,
                 std::size_t tokens);

}  // namespace qad
