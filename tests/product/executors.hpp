// SPDX-License-Identifier: Apache-2.0
/// Executors to test with: what a host's could do, the awkward ones included. Tests only.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include <edgerazor/core/executor.hpp>

namespace executors {

/// The last grain first.
inline constexpr auto backwards = [](std::size_t count, const auto& work) {
  while (count-- > 0) work(count);
};

/// Threads of its own for every job, which take grains one by one.
struct threads {
  std::size_t count = 2;

  void operator()(std::size_t grains, edgerazor::grain_work work) const {
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> running;
    for (std::size_t i = 0; i < count; ++i) {
      running.emplace_back([&] {
        for (std::size_t grain; (grain = next++) < grains;) work(grain);
      });
    }
    for (std::thread& one : running) one.join();
  }
};

/// Counts jobs and grains; takes work as many pools do.
struct counting {
  std::size_t jobs = 0, grains = 0;

  void operator()(std::size_t count, const std::function<void(std::size_t)>& work) {
    ++jobs;
    grains += count;
    for (std::size_t i = 0; i < count; ++i) work(i);
  }
};

}  // namespace executors
