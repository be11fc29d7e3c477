// SPDX-License-Identifier: Apache-2.0
/// Threads, as many as the system gives: a container may have fewer than a program asks for.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace support {

/// Says on standard error that the system gave `there` of `wanted` threads; once a process.
inline void tell_refused(std::size_t there, std::size_t wanted, const std::system_error& why) {
  static std::atomic<bool> told = false;
  if (told.exchange(true)) return;
  std::fprintf(stderr, "the system gave %zu of %zu threads (%s); going on with those\n", there,
               wanted, why.code().message().c_str());
}

/// Starts threads that do `work()` until `team` has `wanted`. Where the system refuses one, `team`
/// keeps those it has, and standard error is told, once a process.
template <class Work>
void add_threads(std::vector<std::thread>& team, std::size_t wanted, const Work& work) {
  team.reserve(wanted);
  try {
    while (team.size() < wanted) team.emplace_back(work);
  } catch (const std::system_error& error) {
    tell_refused(team.size() + 1, wanted + 1, error);
  }
}

/// work(i) for every i below `count`, by the calling thread and at most threads - 1 others. The
/// first exception is thrown here, when all that had begun is done.
template <class Work>
void run_parts(std::size_t count, std::size_t threads, const Work& work) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr error;
  const auto serve = [&] {
    for (std::size_t i; (i = next++) < count;) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> others;
  if (count > 1 && threads > 1) add_threads(others, std::min(count, threads) - 1, serve);
  serve();
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace support
