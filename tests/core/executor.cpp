// SPDX-License-Identifier: Apache-2.0
/// What an executor is, and that it is given each grain once.
#include <cstddef>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <edgerazor/core/executor.hpp>

namespace er = edgerazor;

namespace {

struct in_order {
  void operator()(std::size_t count, er::grain_work work) const {
    for (std::size_t i = 0; i < count; ++i) work(i);
  }
};
/// Notes which grains each of its threads would do, which take them in turn.
struct in_turn {
  std::size_t team;
  std::vector<std::vector<std::size_t>>* done;
  [[nodiscard]] std::size_t threads() const { return team; }
  void operator()(std::size_t count, er::grain_work work) const {
    for (std::size_t i = 0; i < count; ++i) {
      done->resize(team + 1);
      done->back() = (*done)[i % team];
      work(i);
      (*done)[i % team] = done->back();
    }
  }
};
struct int_count {
  void operator()(long count, er::grain_work work) const {
    for (long i = count; i-- > 0;) work(static_cast<std::size_t>(i));
  }
};
struct without_work {
  void operator()(std::size_t) const {}
};

}  // namespace

static_assert(er::row_executor<in_order> && er::row_executor<const in_order> &&
              er::row_executor<int_count> && !er::row_executor<without_work> &&
              !er::row_executor<int>);

static_assert(std::is_trivially_copyable_v<er::executor_ref> &&
              sizeof(er::executor_ref) == 2 * sizeof(void*));

TEST_SUITE_BEGIN("core/executor");

TEST_CASE("executor: each grain once, none of zero, through one reference to the work") {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{17}}) {
    std::vector<int> times(count);
    const auto work = [&times](std::size_t i) noexcept { ++times[i]; };
    const in_order forwards;
    int_count backwards;
    const er::executor_ref by_host = forwards, by_other = backwards, nobody;
    CHECK(by_host);
    CHECK_FALSE(nobody);
    by_host(count, work);
    CHECK(times == std::vector<int>(count, 1));
    by_other(count, work);
    CHECK(times == std::vector<int>(count, 2));
    nobody(count, work);  // on this thread
    CHECK(times == std::vector<int>(count, 3));
  }
}

TEST_CASE("executor: of threads that are known each gets one run of grains, of equal lengths") {
  for (const std::size_t threads : {1, 2, 3, 8}) {
    for (const std::size_t count : {0, 1, 2, 7, 8, 64, 67}) {
      CAPTURE(threads);
      CAPTURE(count);
      std::vector<std::vector<std::size_t>> done;
      const in_turn host{threads, &done};
      const er::executor_ref executor = host;
      executor(count, [&done](std::size_t grain) noexcept { done.back().push_back(grain); });
      if (count > 0) done.pop_back();
      std::size_t next = 0;
      for (const std::vector<std::size_t>& run : done) {
        CHECK((run.size() == count / threads || run.size() == count / threads + 1));
        for (const std::size_t grain : run) CHECK(grain == next++);
      }
      CHECK(next == count);
    }
  }
}

TEST_SUITE_END();
