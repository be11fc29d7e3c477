// SPDX-License-Identifier: Apache-2.0
/// How a host lends its threads to a product. The library owns none.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// A job in numbered grains: work(i) does grain i. Grains are independent of each other: any order,
/// any threads, but each one once. Two pointers; valid until the executor that received it returns.
/// Never throws.
class grain_work {
 public:
  template <class Work>
    requires std::is_nothrow_invocable_v<const Work&, std::size_t>
  explicit grain_work(const Work& work) noexcept
      : work_(&work), call_([](const void* self, std::size_t grain) noexcept {
          (*static_cast<const Work*>(self))(grain);
        }) {}

  void operator()(std::size_t grain) const noexcept { call_(work_, grain); }

 private:
  const void* work_;
  void (*call_)(const void*, std::size_t) noexcept;
};

/// Any callable with which executor(count, work) calls work(i) once for every i in [0, count), on
/// whatever threads, and returns when all those calls have returned: a thread pool, a parallel
/// loop, or a plain one. `count` may be zero.
///
/// Where it has a member function threads(), on how many threads it works at most, and calls
/// begin about in order of i, each thread gets grains that lie one behind the other: what a core
/// asks of memory ahead of its use is then for itself.
template <class Executor>
concept row_executor = std::invocable<Executor&, std::size_t, grain_work>;

namespace detail::core {

/// The grain that call number i of `count` does for one of `threads`, which share the calls out in
/// turn: those of one thread, i = t + k * threads for k = 0, 1, ..., are one run of grains. Each
/// grain is done once, whoever does it.
[[nodiscard]] constexpr std::size_t grain_in_runs(std::size_t i, std::size_t count,
                                                  std::size_t threads) noexcept {
  const std::size_t thread = i % threads, longer = count % threads;
  return thread * (count / threads) + (thread < longer ? thread : longer) + i / threads;
}

}  // namespace detail::core

/// An executor by reference: what functions take that share their work among a host's threads. Two
/// pointers; the executor must live until the call returns. Empty by default: all work is then done
/// on the calling thread.
///
///     er::gemm(w, x, y, {.executor = pool});
class executor_ref {
 public:
  executor_ref() = default;
  template <class Executor>
    requires(!std::same_as<std::remove_cvref_t<Executor>, executor_ref> &&
             std::is_object_v<std::remove_reference_t<Executor>>)
  executor_ref(Executor&& executor) noexcept
      : executor_(const_cast<void*>(static_cast<const void*>(&executor))) {
    using object = std::remove_reference_t<Executor>;
    static_assert(row_executor<object>,
                  "an executor is called as executor(std::size_t count, edgerazor::grain_work "
                  "work): it calls work(i) once for every i below count and returns when all calls "
                  "have returned");
    if constexpr (row_executor<object>) {
      call_ = [](void* self, std::size_t count, grain_work work) {
        object& host = *static_cast<object*>(self);
        if constexpr (requires { static_cast<std::size_t>(host.threads()); }) {
          const auto threads = static_cast<std::size_t>(host.threads());
          if (threads > 1) {
            const auto in_runs = [&](std::size_t i) noexcept {
              work(detail::core::grain_in_runs(i, count, threads));
            };
            return static_cast<void>(host(count, grain_work(in_runs)));
          }
        }
        host(count, work);
      };
    }
  }

  [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
  /// Hands out `count` grains of a job, or does them here where there is no executor.
  template <class Work>
  void operator()(std::size_t count, const Work& work) const {
    if (call_) return call_(executor_, count, grain_work(work));
    for (std::size_t grain = 0; grain < count; ++grain) work(grain);
  }

 private:
  void* executor_ = nullptr;
  void (*call_)(void*, std::size_t, grain_work) = nullptr;
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
