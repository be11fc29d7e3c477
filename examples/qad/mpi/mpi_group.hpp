// SPDX-License-Identifier: Apache-2.0
/// The processes that mpirun has started.
#pragma once

#include <cstddef>
#include <span>

#include "qad/process_group.hpp"

namespace qad {

/// All of MPI_COMM_WORLD; one object, which lives as long as MPI is used. An error of MPI ends all
/// processes, with MPI's own words.
class mpi_group final : public process_group {
 public:
  mpi_group();
  mpi_group(const mpi_group&) = delete;
  ~mpi_group() override;

  [[nodiscard]] std::size_t rank() const noexcept override { return rank_; }
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

  /// Ends all processes, this one with `code`.
  [[noreturn]] static void abort(int code);

 private:
  void exchange(std::size_t partner, std::span<const std::byte> mine,
                std::span<std::byte> theirs) override;

  std::size_t rank_ = 0, size_ = 1;
};

}  // namespace qad
