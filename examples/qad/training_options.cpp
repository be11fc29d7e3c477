// SPDX-License-Identifier: Apache-2.0
#include "training_options.hpp"

#include <bit>
#include <stdexcept>

namespace qad {

void require_shares(const training_options& o) {
  const std::string shards = std::to_string(o.shards);
  if (o.shards == 0 || o.sequences == 0 || o.sequences % o.shards != 0) {
    throw std::invalid_argument("a batch of " + std::to_string(o.sequences) + " sequences in " +
                                shards + " shards, expected a multiple of their number");
  }
  const std::size_t processes = o.processes();
  if (std::has_single_bit(processes) && o.shards % processes == 0) return;
  throw std::invalid_argument(
      std::to_string(processes) + " processes share " + shards +
      " shards of a batch, expected 1, 2, 4, 8, ... processes, of which each gets as many");
}

}  // namespace qad
