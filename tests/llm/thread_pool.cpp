// SPDX-License-Identifier: Apache-2.0
#include "llm/thread_pool.hpp"

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_POSIX
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

TEST_CASE("every grain runs once, and all have run when run() returns") {
  for (const std::size_t threads : {0u, 1u, 2u, 3u, 8u}) {
    CAPTURE(threads);
    llm::thread_pool pool(threads);
    CHECK(pool.threads() == (threads == 0 ? 1 : threads));
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

TEST_CASE("parts of a work run once each, and what one throws is thrown when all have ended") {
  for (const std::size_t threads : {0u, 1u, 2u, 5u}) {
    for (const std::size_t count : {0u, 1u, 2u, 17u}) {
      std::vector<int> runs(count);
      support::run_parts(count, threads, [&](std::size_t i) { ++runs[i]; });
      CHECK(runs == std::vector<int>(count, 1));
    }
    CHECK_THROWS_WITH_AS(support::run_parts(8, threads,
                                            [](std::size_t i) {
                                              if (i == 3) throw std::runtime_error("three");
                                            }),
                         "three", std::runtime_error);
  }
}

#if EDGERAZOR_POSIX
TEST_CASE("a pool that is refused a thread goes on with those it has") {
  // In a process of its own, whose user may have no further one: the limit does not hold for root.
  for (const ::rlim_t allowed : {::rlim_t{1}, ::rlim_t{3}}) {
    CAPTURE(allowed);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::dup2(ends[1], 2);
      const ::rlimit limit{allowed, allowed};
      const bool limited =
          ::setrlimit(RLIMIT_NPROC, &limit) == 0 && (::getuid() != 0 || ::setuid(54321) == 0);
      llm::thread_pool pool(8);
      std::vector<int> runs(100);
      pool.run(100, [&](std::size_t grain) { ++runs[grain]; });
      support::run_parts(100, 8, [&](std::size_t i) { ++runs[i]; });
      const bool done = runs == std::vector<int>(100, 2);
      ::_exit(!done ? 1 : limited && pool.threads() < 8 ? 0 : 2);
    }
    ::close(ends[1]);
    std::string told;
    char buffer[512];
    for (::ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
      told.append(buffer, static_cast<std::size_t>(got));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) != 1);
    if (WEXITSTATUS(status) == 2) {
      MESSAGE("the system gave every thread: nothing was refused");
      continue;
    }
    CHECK(told.find("of 8 threads") != std::string::npos);
    CHECK(told.find("going on with those") != std::string::npos);
    CHECK(told.find('\n') == told.size() - 1);  // one sentence, once
  }
}
#endif
