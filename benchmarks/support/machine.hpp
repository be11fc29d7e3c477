// SPDX-License-Identifier: Apache-2.0
/// What a benchmark must know of the machine: how many threads, how large the caches, how fast the
/// clock just now.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>

namespace bench {

[[nodiscard]] inline std::size_t processor_count() {
  return std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

/// Bytes of the data caches as one core sees them; a level that several cores share is counted
/// whole.
struct cache_sizes {
  std::size_t l2 = std::size_t{512} << 10,
              l3 = std::size_t{8} << 20;  ///< where the system doesn't say
};

/// As Linux reports them for processor 0 (/sys/devices/system/cpu/cpu0/cache); a level that is not
/// there keeps its default.
[[nodiscard]] inline cache_sizes read_cache_sizes() {
  cache_sizes result;
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + '/';
    std::ifstream level_file(folder + "level"), type_file(folder + "type"),
        size_file(folder + "size");
    int level = 0;
    std::string type;
    std::size_t kibibytes = 0;
    char unit = 0;
    if (!(level_file >> level) || !(type_file >> type) || !(size_file >> kibibytes >> unit))
      continue;
    if (type == "Instruction" || unit != 'K') continue;
    if (level == 2) result.l2 = kibibytes << 10;
    if (level == 3) result.l3 = kibibytes << 10;
  }
  return result;
}

/// Seconds that `work` takes. One thread: its processor time (resolution 1 us), so that others on
/// the same core disturb little. Several: the time on the clock, since the system brings a running
/// thread's processor time up to date only every few milliseconds; `busy` says whether it was
/// undisturbed.
template <class Work>
double seconds_of(const Work& work, std::size_t threads = 1) {
  using wall = std::chrono::steady_clock;
  const std::clock_t processor_start = std::clock();
  const wall::time_point start = wall::now();
  work();
  if (threads > 1) return std::chrono::duration<double>(wall::now() - start).count();
  return static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
}

/// Since its construction, the share of the time on the clock in which the threads, which never
/// sleep, were running.
class busy {
 public:
  explicit busy(std::size_t threads) : threads_(threads) {}
  [[nodiscard]] double percent() const {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_).count();
    const double running = static_cast<double>(std::clock() - processor_) / CLOCKS_PER_SEC;
    return 100 * running / (seconds * static_cast<double>(threads_));
  }

 private:
  std::size_t threads_;
  std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
  std::clock_t processor_ = std::clock();
};

/// Cycles a second of this thread's core, from a chain of additions and exclusive ors that each
/// wait for the one before: one cycle each on every core of the last decade. Takes about 0.2 ms;
/// `threads`: those that run meanwhile.
[[nodiscard]] inline double clock_rate(std::size_t threads = 1) {
  constexpr std::uint64_t steps = 150'000;
  static volatile std::uint64_t source =
      0x9e3779b97f4a7c15u;  // the compiler may not know, so it can't fold the chain
  const std::uint64_t a = source, b = source + 1;
  std::uint64_t chain = 0;
  const auto run = [&] {
    for (std::uint64_t i = 0; i < steps; ++i) {
      chain = (chain + a) ^ b;
      chain = (chain + a) ^ b;
    }
  };
  const double seconds = seconds_of(run, threads);
  source = source + (chain == 0);
  return 4 * static_cast<double>(steps) / seconds;
}

}  // namespace bench
