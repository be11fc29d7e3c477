// SPDX-License-Identifier: Apache-2.0
#include "process_group.hpp"

#include <algorithm>
#include <vector>

namespace qad {

namespace {

/// Bytes that go from one process to another at a time.
constexpr std::size_t piece_bytes = std::size_t{1} << 20;

}  // namespace

void process_group::add_up(std::span<float> values) {
  if (size() == 1) return;
  std::vector<float> theirs(std::min(values.size(), piece_bytes / sizeof(float)));
  for (std::size_t at = 0; at < values.size(); at += theirs.size()) {
    const std::span<float> own = values.subspan(at, std::min(theirs.size(), values.size() - at));
    const std::span<float> other = std::span{theirs}.first(own.size());
    for (std::size_t step = 1; step < size(); step *= 2) {
      exchange(rank() ^ step, std::as_bytes(own), std::as_writable_bytes(other));
      // a + b and b + a have the same bits: both of a pair go on with one number.
      for (std::size_t i = 0; i < own.size(); ++i) own[i] += other[i];
    }
  }
}

void process_group::gather(std::span<const double> mine, std::span<double> all) {
  const std::size_t count = mine.size();
  std::ranges::copy(mine, all.subspan(rank() * count, count).begin());
  for (std::size_t step = 1; step < size(); step *= 2) {
    const std::size_t partner = rank() ^ step, begin = rank() / step * step,
                      other = partner / step * step;
    exchange(partner, std::as_bytes(all.subspan(begin * count, step * count)),
             std::as_writable_bytes(all.subspan(other * count, step * count)));
  }
}

void process_group::broadcast(std::span<std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += piece_bytes) {
    const std::span<std::byte> piece = bytes.subspan(at, std::min(piece_bytes, bytes.size() - at));
    for (std::size_t known = 1; known < size(); known *= 2) {
      if (rank() >= 2 * known) continue;
      const bool gives = rank() < known;
      exchange(rank() ^ known, gives ? piece : piece.first(0), gives ? piece.first(0) : piece);
    }
  }
}

}  // namespace qad
