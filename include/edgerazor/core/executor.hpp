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
template <class Executor>
concept row_executor = std::invocable<Executor&, std::size_t, grain_work>;

namespace detail::core {
/// Hands a job out. The one place that says what an executor is to those whose callable is none.
template <class Executor, class Work>
void execute(Executor& executor, std::size_t count, const Work& work) {
  static_assert(row_executor<Executor>,
                "an executor is called as executor(std::size_t count, edgerazor::grain_work work): "
                "it calls work(i) once "
                "for every i below count and returns when all calls have returned");
  if constexpr (row_executor<Executor>) executor(count, grain_work(work));
}
}  // namespace detail::core

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
