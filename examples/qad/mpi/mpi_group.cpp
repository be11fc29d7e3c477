// SPDX-License-Identifier: Apache-2.0
#include "mpi_group.hpp"

#include <cstdlib>

#include <mpi.h>

namespace qad {

mpi_group::mpi_group() {
  // Shards are computed by threads of their own, and one thread alone talks to other processes.
  int given = 0, rank = 0, size = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  rank_ = static_cast<std::size_t>(rank);
  size_ = static_cast<std::size_t>(size);
}

mpi_group::~mpi_group() { MPI_Finalize(); }

void mpi_group::abort(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::abort();  // MPI_Abort does not return
}

void mpi_group::exchange(std::size_t partner, std::span<const std::byte> mine,
                         std::span<std::byte> theirs) {
  const int other = static_cast<int>(partner);
  MPI_Sendrecv(mine.data(), static_cast<int>(mine.size()), MPI_BYTE, other, 0, theirs.data(),
               static_cast<int>(theirs.size()), MPI_BYTE, other, 0, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
}

}  // namespace qad
