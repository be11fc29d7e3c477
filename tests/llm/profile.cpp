// SPDX-License-Identifier: Apache-2.0
#include "llm/profile.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace {

void work_for(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

/// Two tokens of 10 ms: 6 of query, key and value, 1 of sampling, 3 of the head.
llm::profile made() {
  llm::profile result;
  result.tokens = 2, result.threads = 2;
  result.steps[static_cast<std::size_t>(llm::step::qkv)] = {12e-3, 6e-3, 24'000'000};
  result.steps[static_cast<std::size_t>(llm::step::head)] = {6e-3, 0, 6'000'000};
  result.steps[static_cast<std::size_t>(llm::step::sampling)] = {2e-3, 2e-3, 0};
  return result;
}

}  // namespace

TEST_SUITE_BEGIN("llm/profile");

TEST_CASE("profile: shares, waiting and products of a made profile") {
  const llm::profile p = made();
  CHECK(p.seconds() == doctest::Approx(20e-3));
  CHECK(p.product_seconds() == doctest::Approx(18e-3));
  CHECK(p.waited() == doctest::Approx(0.2));  // 8 of 2 * 20 ms

  const auto rows = llm::profile_table(p);
  REQUIRE(rows.size() == 5);
  CHECK(rows[1] == std::vector<std::string>{"query, key, value", "6.000", "60.0", "25.0", "2.0"});
  CHECK(rows[2] == std::vector<std::string>{"head", "3.000", "30.0", "0.0", "1.0"});
  CHECK(rows[3] == std::vector<std::string>{"sampling", "1.000", "10.0", "50.0", ""});
  CHECK(rows[4] == std::vector<std::string>{"all", "10.000", "100.0", "20.0", "1.5"});

  const std::string bar = llm::profile_bar(p, 10);
  CHECK(bar.starts_with("[QQQQQQHHHp]\n"));
  CHECK(bar.find("Q query, key, value, H head, p sampling") != std::string::npos);
  CHECK(llm::profile_bar(llm::profile{}, 10).starts_with("[]"));
}

TEST_CASE("profiler: time counts to the step that was entered, until it pauses") {
  llm::thread_pool pool(1);
  llm::profiler clock(pool);
  llm::profile p;
  clock.enter(llm::step::norm);  // nobody looks
  clock.watch(&p);
  work_for(std::chrono::milliseconds{3});  // before the first step
  clock.enter(llm::step::norm);
  work_for(std::chrono::milliseconds{5});
  clock.enter(llm::step::head, 100);
  work_for(std::chrono::milliseconds{2});
  clock.pause();
  work_for(std::chrono::milliseconds{4});
  clock.watch(nullptr);
  clock.enter(llm::step::norm);
  const double norm = p.steps[static_cast<std::size_t>(llm::step::norm)].seconds,
               head = p.steps[static_cast<std::size_t>(llm::step::head)].seconds;
  // Others may take the processor meanwhile: only what is too little is certain to be wrong.
  CHECK(norm >= 5e-3);
  CHECK(head >= 2e-3);
  CHECK(p.seconds() == norm + head);
  CHECK(p.steps[static_cast<std::size_t>(llm::step::head)].bytes == 100);
  CHECK(p.waited() == 0);
}

TEST_CASE("profiler: threads wait for the one that works alone, and for the last of a job") {
  llm::thread_pool pool(2);
  llm::profiler clock(pool);
  llm::profile p;
  clock.watch(&p);
  clock.enter(llm::step::norm);
  work_for(std::chrono::milliseconds{4});
  clock.enter(llm::step::head);
  pool.run(2, [](std::size_t grain) { work_for(std::chrono::milliseconds{grain == 0 ? 10 : 1}); });
  clock.pause();
  clock.watch(nullptr);
  const llm::step_times alone = p.steps[static_cast<std::size_t>(llm::step::norm)],
                        together = p.steps[static_cast<std::size_t>(llm::step::head)];
  CHECK(alone.waited == doctest::Approx(alone.seconds).epsilon(1e-9));
  // 11 of twice the time was work, whichever thread did it.
  CHECK(together.waited <= 2 * together.seconds - 11e-3 + 1e-6);
  CHECK(together.waited >= 0);
  CHECK(together.seconds >= 10e-3);
}

TEST_SUITE_END();
