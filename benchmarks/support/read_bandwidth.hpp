/// How fast this process can read memory: the limit that a product of a large matrix and one token is held against.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/storage.hpp>

/// Bytes a second of a plain read loop over all of `memory`, one thread: the best of `passes`, since noise only slows.
inline double read_bandwidth(const edgerazor::byte_storage& memory, int passes = 10) {
  using clock = std::chrono::steady_clock;
  using words = xsimd::batch<std::uint32_t, xsimd::default_arch>;
  constexpr std::size_t step = 4 * words::size;
  const auto* const begin = reinterpret_cast<const std::uint32_t*>(memory.data());
  const std::size_t count = memory.size() / sizeof(std::uint32_t) / step * step;
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const auto start = clock::now();
    words a{std::uint32_t{0}}, b = a, c = a, d = a;  // four, so that no addition waits for the one before
    for (std::size_t i = 0; i < count; i += step) {
      a += words::load_unaligned(begin + i);
      b += words::load_unaligned(begin + i + words::size);
      c += words::load_unaligned(begin + i + 2 * words::size);
      d += words::load_unaligned(begin + i + 3 * words::size);
    }
    const double seconds = std::chrono::duration<double>(clock::now() - start).count();
    // The sum decides something, so the loop can't be dropped.
    if (xsimd::reduce_add((a + b) + (c + d)) != 1) best = std::max(best, static_cast<double>(memory.size()) / seconds);
  }
  return best;
}
