/// How fast this process can read memory: the limit that a product of a large matrix and one token is held against.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <edgerazor/core/storage.hpp>

/// Bytes a second of a plain read loop over `size` bytes, one thread: the best of `passes`, since noise only slows.
inline double read_bandwidth(const edgerazor::byte_storage& memory, int passes = 5) {
  using clock = std::chrono::steady_clock;
  constexpr std::size_t lanes = 8, step = lanes * sizeof(std::uint64_t);
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const auto start = clock::now();
    std::uint64_t sums[lanes] = {};
    for (std::size_t at = 0; at + step <= memory.size(); at += step) {
      std::uint64_t words[lanes];
      std::memcpy(words, memory.data() + at, step);
      for (std::size_t i = 0; i < lanes; ++i) sums[i] += words[i];
    }
    const double seconds = std::chrono::duration<double>(clock::now() - start).count();
    std::uint64_t total = 0;
    for (const std::uint64_t sum : sums) total += sum;
    // The sum decides something, so the loop can't be dropped.
    if (total != 1) best = std::max(best, static_cast<double>(memory.size()) / seconds);
  }
  return best;
}
