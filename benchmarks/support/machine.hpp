/// What a benchmark must know of the machine: how many threads, how large the caches, how fast the clock just now.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

namespace bench {

[[nodiscard]] inline std::size_t processor_count() {
  return std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

/// Bytes of the data caches as one core sees them; a level that several cores share is counted whole.
struct cache_sizes {
  std::size_t l2 = std::size_t{512} << 10, l3 = std::size_t{8} << 20;  ///< where the system doesn't say
};

/// As Linux reports them for processor 0 (/sys/devices/system/cpu/cpu0/cache); a level that is not there keeps its
/// default.
[[nodiscard]] inline cache_sizes read_cache_sizes() {
  cache_sizes result;
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + '/';
    std::ifstream level_file(folder + "level"), type_file(folder + "type"), size_file(folder + "size");
    int level = 0;
    std::string type;
    std::size_t kibibytes = 0;
    char unit = 0;
    if (!(level_file >> level) || !(type_file >> type) || !(size_file >> kibibytes >> unit)) continue;
    if (type == "Instruction" || unit != 'K') continue;
    if (level == 2) result.l2 = kibibytes << 10;
    if (level == 3) result.l3 = kibibytes << 10;
  }
  return result;
}

/// Seconds that `work` takes.
template <class Work>
double seconds_of(const Work& work) {
  using clock = std::chrono::steady_clock;
  const clock::time_point start = clock::now();
  work();
  return std::chrono::duration<double>(clock::now() - start).count();
}

/// Cycles a second of this thread's core, from a chain of additions and exclusive ors that each wait for the one
/// before: one cycle each on every core of the last decade. Takes about a tenth of a millisecond.
[[nodiscard]] inline double clock_rate() {
  constexpr std::uint64_t steps = 100'000;
  static volatile std::uint64_t source = 0x9e3779b97f4a7c15u;  // the compiler may not know, so it can't fold the chain
  const std::uint64_t a = source, b = source + 1;
  std::uint64_t chain = 0;
  const double seconds = seconds_of([&] {
    for (std::uint64_t i = 0; i < steps; ++i) {
      chain = (chain + a) ^ b;
      chain = (chain + a) ^ b;
    }
  });
  source = source + (chain == 0);
  return 4 * static_cast<double>(steps) / seconds;
}

}  // namespace bench
