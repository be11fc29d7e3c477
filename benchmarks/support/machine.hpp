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

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_LINUX
#include <unistd.h>
#endif

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

/// Processor time that everything on the machine has used, in seconds, a hypervisor's other guests
/// included (Linux: the first line of /proc/stat); below 0 where the system doesn't say.
[[nodiscard]] inline double processor_seconds_of_all() {
#if EDGERAZOR_LINUX
  std::ifstream file("/proc/stat");
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0,
         stolen = 0;
  if (file >> word >> user >> nice >> system >> idle >> waiting >> interrupts >> soft >> stolen)
    return (user + nice + system + interrupts + soft + stolen) /
           static_cast<double>(::sysconf(_SC_CLK_TCK));
#endif
  return -1;
}

/// Who used the processors since its construction.
class busy {
 public:
  /// `threads`: how many of ours never sleep.
  explicit busy(std::size_t threads = 1) : threads_(threads) {}
  /// The share of the time on the clock in which those threads were running.
  [[nodiscard]] double percent() const {
    return 100 * ours() / (seconds() * static_cast<double>(threads_));
  }
  /// The share of all processors' time that others used; 0 where the system doesn't say. The system
  /// counts in hundredths of a second.
  [[nodiscard]] double others_percent() const {
    if (all_ < 0) return 0;
    const double others = processor_seconds_of_all() - all_ - ours();
    const double room = seconds() * static_cast<double>(processor_count());
    return std::clamp(100 * others / room, 0.0, 100.0);
  }

 private:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_).count();
  }
  [[nodiscard]] double ours() const {
    return static_cast<double>(std::clock() - processor_) / CLOCKS_PER_SEC;
  }

  std::size_t threads_;
  std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
  std::clock_t processor_ = std::clock();
  double all_ = processor_seconds_of_all();
};

/// What the processor calls itself; "unknown processor" where the system doesn't say.
[[nodiscard]] inline std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

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
