// SPDX-License-Identifier: Apache-2.0
#include "llm/thread_pool.hpp"

#include <atomic>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

TEST_CASE("every grain runs once, and all have run when run() returns") {
  for (const std::size_t threads : {0u, 1u, 2u, 3u, 8u}) {
    CAPTURE(threads);
    llm::thread_pool pool(threads);
    CHECK(pool.size() == (threads == 0 ? 1 : threads));
    for (std::size_t round = 0; round < 500; ++round) {
      const std::size_t grains = round % 23;
      // Plain ints: a grain that ran twice, or late, is a race for the thread sanitizer.
      std::vector<int> runs(grains);
      pool.run(grains, [&](std::size_t grain) { ++runs[grain]; });
      CHECK(runs == std::vector<int>(grains, 1));
    }
  }
}

TEST_CASE("an exception reaches the caller and the pool goes on") {
  llm::thread_pool pool(3);
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS_AS(pool.run(20,
                             [](std::size_t grain) {
                               if (grain == 7) throw std::runtime_error("seven");
                             }),
                    std::runtime_error);
    std::atomic<int> runs = 0;
    pool.run(20, [&](std::size_t) { ++runs; });
    CHECK(runs == 20);
  }
}
