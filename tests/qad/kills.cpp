// SPDX-License-Identifier: Apache-2.0
/// A run that is killed at any moment, and taken up again, ends as one that was not.
#include <edgerazor/core/config.hpp>

#if EDGERAZOR_POSIX

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <random>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/temporary_folder.hpp"
#include "small_run.hpp"

TEST_CASE("a run that is killed at ten random moments ends as if nothing had happened") {
  const std::uint64_t seed = std::random_device{}();
  MESSAGE("seed " << seed);
  std::mt19937_64 random(seed);
  const temporary_folder folder;
  qad::run_options options = small_options();
  options.training.steps = 120;
  options.evaluate_every = 7;
  options.validation_tokens = 100;
  const qad::corpus text = small_corpus(options);
  using clock = std::chrono::steady_clock;
  const clock::time_point begin = clock::now();
  const auto whole = qad::perform_run(options, text, nullptr, folder / "whole", true);
  const auto lasted = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - begin);

  const std::filesystem::path killed = folder / "killed";
  const auto check = [&] {
    const auto resumed = qad::perform_run(options, text, nullptr, killed, true);
    CHECK(resumed.measured.perplexity == whole.measured.perplexity);
    for (const char* file : {"checkpoint", "best", "log.csv", "quality.csv", "options.json"}) {
      CAPTURE(std::string{file});
      CHECK(read_bytes(killed / file) == read_bytes(folder / "whole" / file));
    }
    // Nothing else is left of the kills.
    const auto files = [](const std::filesystem::path& path) {
      return std::distance(std::filesystem::directory_iterator(path), {});
    };
    CHECK(files(killed) == files(folder / "whole"));
  };
  std::size_t kills = 0, finished = 0, on_the_way = 0;
  while (kills < 10) {
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        qad::perform_run(options, text, nullptr, killed, true);
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    std::this_thread::sleep_for(lasted * static_cast<int>(random() % 1000) / 1000);
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
      ++kills;
      on_the_way += std::filesystem::exists(killed / "checkpoint") ? 1 : 0;
      continue;
    }
    CHECK(WEXITSTATUS(status) == 0);
    check();
    std::filesystem::remove_all(killed);
    ++finished;
  }
  MESSAGE(on_the_way << " kills left a checkpoint, " << finished << " runs were faster");
  check();
}

#endif
