// SPDX-License-Identifier: Apache-2.0
/// How far training has come.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_POSIX
#include <unistd.h>
#endif

namespace qad {

/// "1:02:03", "2:03": hours where there are any.
inline std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

/// Redraws `name [====>   ] step 120 of 300, loss 4.512, 7100 tokens/s, 0:51 left` on standard
/// error, where that is a terminal, at most four times a second; elsewhere, and where several runs
/// share it, a plain line every half a minute. The loss is a moving average over some 20 steps. One
/// thread.
class training_progress {
 public:
  training_progress(std::string name, std::size_t first_step, std::size_t steps,
                    std::size_t tokens_a_step, bool shared)
      : name_(std::move(name)),
        first_(first_step),
        steps_(steps),
        tokens_(tokens_a_step),
        bar_(!shared && terminal()) {}
  training_progress(const training_progress&) = delete;
  ~training_progress() {
    if (drawn_) std::fputs("\r\033[K", stderr);
  }

  /// After a step; `done` counts from the beginning of the run.
  void report(std::size_t done, double loss) {
    loss_ = done == first_ + 1 ? loss : loss_ + (loss - loss_) / 20;
    const clock::time_point now = clock::now();
    if (now - last_ < (bar_ ? std::chrono::milliseconds{250} : std::chrono::milliseconds{30'000}))
      return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double rate = static_cast<double>(done - first_) / seconds;
    char facts[160];
    std::snprintf(facts, sizeof facts, "step %zu of %zu, loss %.3f, %.0f tokens/s, %s left", done,
                  steps_, loss_, rate * static_cast<double>(tokens_),
                  clock_text(static_cast<double>(steps_ - done) / rate).c_str());
    if (!bar_) {
      std::fprintf(stderr, "%s: %s\n", name_.c_str(), facts);
      return;
    }
    drawn_ = true;
    constexpr std::size_t width = 24;
    const std::size_t filled = std::min(width, done * width / std::max<std::size_t>(1, steps_));
    const std::string bar = std::string(filled, '=') + (filled < width ? ">" : "");
    std::fprintf(stderr, "\r%s [%-*s] %s\033[K", name_.c_str(), static_cast<int>(width),
                 bar.c_str(), facts);
    std::fflush(stderr);
  }

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(clock::now() - start_).count();
  }

 private:
  using clock = std::chrono::steady_clock;

  static bool terminal() {
#if EDGERAZOR_POSIX
    return ::isatty(2) != 0;
#else
    return false;
#endif
  }

  std::string name_;
  std::size_t first_, steps_, tokens_;
  bool bar_, drawn_ = false;
  double loss_ = 0;
  clock::time_point start_ = clock::now(), last_ = start_;
};

}  // namespace qad
