// SPDX-License-Identifier: Apache-2.0
/// One line on the terminal that shows how far a long work has come.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_POSIX
#include <unistd.h>
#endif

namespace llm {

/// Redraws `label [=====>    ] 43%` on standard error, at most ten times a second. Draws nothing
/// where standard error is not a terminal, so that logs stay clean. The line is erased at the end.
class progress_bar {
 public:
  progress_bar(std::string label, std::size_t total) : label_(std::move(label)), total_(total) {}
  progress_bar(const progress_bar&) = delete;
  ~progress_bar() {
    if (drawn_) std::fputs("\r\033[K", stderr);
  }

  void advance(std::size_t amount) {
    done_ += amount;
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || total_ == 0 || now - last_ < std::chrono::milliseconds{100}) return;
    last_ = now;
    drawn_ = true;
    constexpr std::size_t width = 40;
    const std::size_t filled = done_ * width / total_;
    const std::string bar = std::string(filled, '=') + (filled < width ? ">" : "");
    std::fprintf(stderr, "\r%s [%-*s] %3zu%%\033[K", label_.c_str(), static_cast<int>(width),
                 bar.c_str(), done_ * 100 / total_);
    std::fflush(stderr);
  }

 private:
  static bool standard_error_is_terminal() {
#if EDGERAZOR_POSIX
    return ::isatty(2) != 0;
#else
    return false;
#endif
  }

  std::string label_;
  std::size_t total_, done_ = 0;
  bool terminal_ = standard_error_is_terminal(), drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace llm
