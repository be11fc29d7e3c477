// SPDX-License-Identifier: Apache-2.0
/// Where the time of decoding goes: seconds by what they are spent on, and by how much the threads
/// waited meanwhile.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "thread_pool.hpp"

namespace llm {

/// What a token's time is spent on, one after the other. `qkv`, `output`, `gate_up`, `down` and
/// `head` are products with weights.
enum class step {
  embedding,
  norm,
  to_int8,
  qkv,
  rope_and_cache,
  attention,
  output,
  gate_up,
  silu,
  down,
  residual,
  head,
  sampling
};
inline constexpr std::size_t step_count = 13;
[[nodiscard]] const char* name_of(step which) noexcept;
[[nodiscard]] bool is_product(step which) noexcept;

struct step_times {
  double seconds = 0;  ///< on the clock
  double waited = 0;   ///< of the threads, added up: in jobs that others still work on or that they
                       ///< are late for, and while one of them works alone
  std::size_t bytes = 0;  ///< of weights read
};

/// Of a number of tokens, added up.
struct profile {
  std::array<step_times, step_count> steps{};
  std::size_t tokens = 0, threads = 1;

  [[nodiscard]] double seconds() const noexcept;
  /// Of the products with weights alone.
  [[nodiscard]] double product_seconds() const noexcept;
  /// The part of all threads' time in which they waited, from 0 to 1.
  [[nodiscard]] double waited() const noexcept;
};

/// Turns a profile's clock from step to step. Where there is no profile, a question is all it
/// costs.
class profiler {
 public:
  explicit profiler(thread_pool& threads) : threads_(threads) {}

  /// Null: nobody looks. What passes until the first `enter` counts to nothing.
  void watch(profile* into) {
    into_ = into;
    running_ = false;
    threads_.count_waiting(into != nullptr);
    if (into != nullptr) into->threads = threads_.threads();
  }
  /// From now on time is spent on `which`; `bytes` of weights are read for it.
  void enter(step which, std::size_t bytes = 0) {
    if (into_ != nullptr) turn(which, bytes, true);
  }
  /// Until the next `enter` time counts to nothing.
  void pause() {
    if (into_ != nullptr) turn(current_, 0, false);
  }
  [[nodiscard]] step current() const noexcept { return current_; }

 private:
  void turn(step which, std::size_t bytes, bool running);

  thread_pool& threads_;
  profile* into_ = nullptr;
  step current_ = step::embedding;
  bool running_ = false;
  std::chrono::steady_clock::time_point last_;
  thread_pool::job_times last_jobs_;
};

/// The rows of the table that `bench --profile` prints, the first of them its head.
[[nodiscard]] std::vector<std::vector<std::string>> profile_table(const profile& of);

/// One line of `width` characters, a letter of each step for its share of the time, and a line
/// that says which letter is which.
[[nodiscard]] std::string profile_bar(const profile& of, std::size_t width);

}  // namespace llm
