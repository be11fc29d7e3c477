// SPDX-License-Identifier: Apache-2.0
/// What the benchmark programs share around Google Benchmark: arguments of our own, and how a
/// measurement is reported.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {

/// Arguments that are not Google Benchmark's.
///
///   --all             everything there is, which takes hours; without it a selection that takes a minute or two
///   --model=<name>    the matrices of one model (model_shapes.hpp) in place of the selection
///   --kernel=<name>   one kernel; without it the fastest, and with --all every one but `scalar`.
///                     EDGERAZOR_KERNEL in the environment says the same
struct arguments {
  bool all = false;
  std::string model, kernel;

  /// Takes them out of argc and argv. A wrong one ends the program with a sentence.
  static arguments take(int& argc, char** argv);
  /// Names of the kernels to measure.
  [[nodiscard]] std::vector<std::string> kernels() const;
};

/// 1 and the number of processors, once where they are the same.
[[nodiscard]] std::vector<std::size_t> thread_counts();

/// "threads:2".
[[nodiscard]] std::string threads_name(std::size_t threads);

/// Registers a measurement. It is called once and sets the time of a call itself
/// (state.SetIterationTime): medians over passes that take turns with the limits (in_turn.hpp),
/// which Google Benchmark's own loop can't give.
void add(const std::string& name, const std::function<void(benchmark::State&)>& measurement);

/// Runs what was registered; the program's result. Names come out as they were registered.
int run(int argc, char** argv);

}  // namespace bench
