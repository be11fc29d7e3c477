// SPDX-License-Identifier: Apache-2.0
/// One product of a packed matrix with tokens: set up, checked against the scalar kernel, timed
/// beside its limits.
#pragma once

#include <cstddef>
#include <string>

#include <benchmark/benchmark.h>

#include "model_shapes.hpp"

namespace bench {

/// What is measured. `hot`: one matrix again and again, in whatever cache holds it. Otherwise
/// `dram`: in turn over copies of it that together take at least 512 MiB, so that no byte is in a
/// cache when it is read.
struct product_run {
  std::string format, kernel;
  shape size;
  std::size_t tokens = 1;
  bool hot = true;
  std::size_t threads = 1;
};

/// Activations are quantized beforehand (a host does that once for several matrices); several
/// threads share the rows in the library's own grains (kernel/executor.hpp), one takes all at once.
/// Every call's result is the scalar kernel's, bit for bit, or the measurement is an error.
///
/// Time: a call, the median of the passes. Counters, medians too, each over the limit measured in
/// the same pass:
///
///   weights/s         multiply-adds a second: rows * cols * tokens a call
///   packed_B/s        bytes of codes and scales a second
///   bits/weight       stored, scales and padding included
///   percent_of_read   packed_B/s over a plain loop that reads the same memory (all the copies, or the hot matrix) on
///                     the same threads
///   percent_of_peak   weights/s over the multiply-adds a second of the processor's widest dot-product instruction on
///                     the same threads, operands in registers (dot_product_peak.hpp); absent where that isn't known
///   weights/cycle     of one core, by the clock estimated in the same pass
///   busy_percent      of the time on the clock the threads were running. Below 98 or so others had the cores too,
///                     which spoils figures of several threads; one thread's are of its processor time (machine.hpp)
///   spread_percent    half the distance between the quartiles of the passes
void measure_product(benchmark::State& state, const product_run& run);

}  // namespace bench
