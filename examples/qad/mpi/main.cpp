// SPDX-License-Identifier: Apache-2.0
/// qad_mpi: qad in several processes, which share the batches of a training run:
///
///     mpirun -n 2 qad_mpi student --teacher teacher.gguf --folder student
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include <unistd.h>

#include "mpi_group.hpp"
#include "qad/command_line.hpp"
#include "support/system.hpp"

int main(int argc, char** argv) {
  support::hold_standard_streams();
  qad::mpi_group group;
  const std::string rank = std::to_string(group.rank());
  // The first process speaks for all, but for the sentence with which another one fails.
  std::FILE* errors = stderr;
  if (group.rank() != 0) {
    if (const int descriptor = ::dup(2); descriptor >= 0) errors = ::fdopen(descriptor, "w");
    for (std::FILE* const stream : {stdout, stderr}) {
      if (std::freopen("/dev/null", "w", stream) == nullptr) qad::mpi_group::abort(1);
    }
  }
  const support::outcome end = qad::run({argv + (argc > 0 ? 1 : 0), argv + argc}, &group);
  if (group.rank() == 0) {
    if (const int code = support::finish("qad_mpi", end); code != 0) qad::mpi_group::abort(code);
  } else if (end.code != 0) {
    // Where all fail alike, the first has a second to say so.
    std::this_thread::sleep_for(std::chrono::seconds{1});
    if (errors != nullptr) {
      std::fprintf(errors, "qad_mpi: rank %s: %s\n", rank.c_str(), end.message.c_str());
      std::fflush(errors);
    }
    qad::mpi_group::abort(end.code);
  }
}
