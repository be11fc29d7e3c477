// SPDX-License-Identifier: Apache-2.0
/// Threads that wait for work by looking at a counter, never by sleeping: a product of ten
/// microseconds would be lost in the waking.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/executor.hpp>

#if EDGERAZOR_LINUX
#include <sched.h>
#endif

namespace bench {

/// The processors that this thread may run on, and how to keep it on one of them: a thread that has
/// just been started can share its starter's core for some milliseconds, longer than a measurement.
/// Nothing but on Linux.
class processors {
 public:
  processors() noexcept {
#if EDGERAZOR_LINUX
    known_ = ::sched_getaffinity(0, sizeof allowed_, &allowed_) == 0;
#endif
  }
  /// The number that the system has for the index-th of them, round and round; 0 where that isn't
  /// known.
  [[nodiscard]] std::size_t number([[maybe_unused]] std::size_t index) const noexcept {
#if EDGERAZOR_LINUX
    if (!known_) return 0;
    std::size_t place = index % static_cast<std::size_t>(CPU_COUNT(&allowed_)), processor = 0;
    while (!CPU_ISSET(processor, &allowed_) || place-- > 0) ++processor;
    return processor;
#else
    return 0;
#endif
  }
  /// From now on the calling thread runs on the index-th.
  void keep_on([[maybe_unused]] std::size_t index) const noexcept {
#if EDGERAZOR_LINUX
    if (!known_) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(number(index), &one);
    (void)::sched_setaffinity(0, sizeof one, &one);
#endif
  }
  /// The calling thread may run on all of them again.
  void release() const noexcept {
#if EDGERAZOR_LINUX
    if (known_) (void)::sched_setaffinity(0, sizeof allowed_, &allowed_);
#endif
  }

 private:
#if EDGERAZOR_LINUX
  cpu_set_t allowed_;
  bool known_ = false;
#endif
};

/// Runs the grains of one job at a time on a fixed number of threads, of which the caller is one.
/// Grains are handed out one by one, so that unequal cores finish together. The threads are started
/// by the constructor, outside of any timing, and occupy their cores, one each, until the
/// destructor.
class spinning_threads {
 public:
  explicit spinning_threads(std::size_t count) {
    if (count < 2) return;
    processors_.keep_on(0);
    for (std::size_t i = 1; i < count; ++i) {
      workers_.emplace_back([this, i] {
        processors_.keep_on(i);
        serve();
      });
    }
  }
  spinning_threads(const spinning_threads&) = delete;
  ~spinning_threads() {
    stop_.store(true, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    for (std::thread& worker : workers_) worker.join();
    if (!workers_.empty()) processors_.release();
  }

  [[nodiscard]] std::size_t threads() const noexcept { return workers_.size() + 1; }

  /// What makes them an executor.
  void operator()(std::size_t grains, edgerazor::grain_work work) noexcept { run(grains, work); }
  /// Calls `work(grain)` once for each grain in [0, grains), on any thread, and returns when all
  /// have returned. `work` may not throw.
  template <class Work>
  void run(std::size_t grains, const Work& work) noexcept {
    if (workers_.empty()) {
      for (std::size_t grain = 0; grain < grains; ++grain) work(grain);
      return;
    }
    call_ = [](const void* context, std::size_t grain) {
      (*static_cast<const Work*>(context))(grain);
    };
    context_ = &work;
    grains_ = grains;
    next_.store(0, std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    drain();
    wait([this] { return finished_.load(std::memory_order_acquire) == workers_.size(); });
  }

 private:
  static constexpr std::size_t cache_line = 64;

  /// Gives the core away now and then: where there are more threads than cores, the one that is
  /// waited for must run.
  template <class Condition>
  static void wait(const Condition& condition) noexcept {
    for (unsigned look = 1; !condition(); ++look) {
      if (look % 4096 == 0) std::this_thread::yield();
    }
  }

  void drain() noexcept {
    for (std::size_t grain; (grain = next_.fetch_add(1, std::memory_order_relaxed)) < grains_;)
      call_(context_, grain);
  }

  void serve() noexcept {
    for (std::uint32_t seen = 0;; ++seen) {
      wait([&] { return generation_.load(std::memory_order_acquire) != seen; });
      if (stop_.load(std::memory_order_relaxed)) return;
      drain();
      finished_.fetch_add(1, std::memory_order_release);
    }
  }

  const processors processors_;
  void (*call_)(const void*, std::size_t) = nullptr;
  const void* context_ = nullptr;
  std::size_t grains_ = 0;
  std::atomic<bool> stop_{false};
  alignas(cache_line) std::atomic<std::uint32_t> generation_{0};
  alignas(cache_line) std::atomic<std::size_t> next_{0};
  alignas(cache_line) std::atomic<std::size_t> finished_{0};
  alignas(cache_line) std::vector<std::thread> workers_;  ///< last: they use the rest
};

}  // namespace bench
