// SPDX-License-Identifier: Apache-2.0
/// Threads of the host: the library owns none, so a program that wants several brings them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "support/threads.hpp"
#include <edgerazor/core/executor.hpp>

namespace llm {

/// Runs the grains of one job at a time on a fixed number of threads, of which the caller is one.
/// Grains are handed out one by one, so that a slower core takes fewer of them.
///
/// The caller waits only for threads that have begun: one that wakes late finds the job closed. A
/// busy machine thus costs a thread's share, not the time until it is scheduled.
class thread_pool {
 public:
  /// `threads` in total, or as many as the system gives; 0 counts as 1.
  explicit thread_pool(std::size_t threads) {
    support::add_threads(workers_, threads > 1 ? threads - 1 : 0, [this] { serve(); });
  }
  thread_pool(const thread_pool&) = delete;
  ~thread_pool() {
    stop_.store(true);
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  [[nodiscard]] std::size_t threads() const noexcept { return workers_.size() + 1; }

  /// Calls `work(grain)` once for each grain in [0, grains), in any order and on any thread, and
  /// returns when all have returned. An exception of one of them is thrown here, after grains not
  /// yet begun have been dropped.
  template <class Work>
  void run(std::size_t grains, const Work& work) {
    if (workers_.empty() || grains < 2) {
      for (std::size_t grain = 0; grain < grains; ++grain) work(grain);
      return;
    }
    call_ = [](const void* context, std::size_t grain) {
      (*static_cast<const Work*>(context))(grain);
    };
    context_ = &work;
    grains_ = grains;
    next_.store(0, std::memory_order_relaxed);
    const std::int64_t start = counts_ ? now() : 0;
    if (counts_) worked_.store(0, std::memory_order_relaxed);
    state_.store(open, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    drain();
    state_.fetch_and(~open, std::memory_order_acq_rel);
    for (std::uint32_t active; (active = state_.load(std::memory_order_acquire)) != 0;)
      wait_while(state_, active);
    if (counts_) {
      const std::int64_t took = now() - start;
      job_time_ += took;
      waited_ +=
          took * static_cast<std::int64_t>(threads()) - worked_.load(std::memory_order_relaxed);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  /// Times of all jobs of several grains since counting began.
  struct job_times {
    double seconds = 0;  ///< on the clock
    double waited = 0;   ///< threads' time that was not spent in grains, added up
  };
  /// Whether jobs are timed; two looks at the clock a thread and job. Not while one runs.
  void count_waiting(bool on) {
    counts_ = on;
    job_time_ = waited_ = 0;
  }
  [[nodiscard]] job_times jobs() const noexcept {
    return {static_cast<double>(job_time_) * 1e-9, static_cast<double>(waited_) * 1e-9};
  }

  /// The same as the library asks for it: a pool is an edgerazor::row_executor.
  void operator()(std::size_t grains, edgerazor::grain_work work) { run(grains, work); }

 private:
  static constexpr std::uint32_t open =
      1u << 31;  ///< of state_; below it the number of threads inside the job

  /// Decoding hands out jobs of tens of microseconds, a few microseconds apart; sleeping and waking
  /// would take as long, and a core that was given away to another program comes back milliseconds
  /// later. So a thread looks for some 50 us, then gives its core away a few times, then sleeps.
  static void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    constexpr int rounds = 64, looks = 512;  // a look is some 2 ns
    for (int round = 0; round < rounds + 8; ++round) {
      for (int look = 0; look < looks; ++look) {
        if (value.load(std::memory_order_acquire) != old) return;
      }
      if (round >= rounds) std::this_thread::yield();
    }
    value.wait(old, std::memory_order_acquire);
  }

  /// Nanoseconds of the steady clock.
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  void drain() {
    if (!counts_) return work_on();
    const std::int64_t start = now();
    work_on();
    worked_.fetch_add(now() - start, std::memory_order_relaxed);
  }

  void work_on() {
    for (std::size_t grain; (grain = next_.fetch_add(1, std::memory_order_relaxed)) < grains_;) {
      try {
        call_(context_, grain);
      } catch (...) {
        next_.store(grains_, std::memory_order_relaxed);
        const std::lock_guard lock{error_mutex_};
        if (!error_) error_ = std::current_exception();
      }
    }
  }

  void serve() {
    for (std::uint32_t seen = 0;;) {
      wait_while(generation_, seen);
      seen = generation_.load(std::memory_order_acquire);
      if (stop_.load()) return;
      std::uint32_t state = state_.load(std::memory_order_relaxed);
      bool entered = false;
      while (!entered && (state & open)) {
        entered = state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                               std::memory_order_relaxed);
      }
      if (!entered) continue;
      drain();
      if (state_.fetch_sub(1, std::memory_order_acq_rel) == 1) state_.notify_one();
    }
  }

  void (*call_)(const void*, std::size_t) = nullptr;
  const void* context_ = nullptr;
  std::size_t grains_ = 0;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint32_t> state_{0}, generation_{0};
  std::atomic<bool> stop_{false};
  bool counts_ = false;  ///< published with state_, as the job is
  std::int64_t job_time_ = 0, waited_ = 0;
  std::atomic<std::int64_t> worked_{0};
  std::mutex error_mutex_;
  std::exception_ptr error_;
  std::vector<std::thread> workers_;  ///< last: they use the rest
};

}  // namespace llm
