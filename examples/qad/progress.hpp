// SPDX-License-Identifier: Apache-2.0
/// How far training has come.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "training_step.hpp"
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

/// Redraws `name [====>   ] step 120 of 300, loss 4.512 (task 4.9, logits 2.01), 7100 tokens/s,
/// 720k tokens to go, 0:51 left` on standard error, where that is a terminal, at most four times a
/// second; elsewhere, and where several runs share it, a plain line every half a minute. Losses are
/// moving averages over some 20 steps. One thread.
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
  void report(std::size_t done, const step_result& step) {
    const auto average = [&](double& mean, double value) {
      mean = done == first_ + 1 ? value : mean + (value - mean) / 20;
    };
    average(loss_, step.loss);
    parts_.resize(step.parts.size());
    for (std::size_t i = 0; i < parts_.size(); ++i) average(parts_[i], step.parts[i].value);
    const clock::time_point now = clock::now();
    if (now - last_ < (bar_ ? std::chrono::milliseconds{250} : std::chrono::milliseconds{30'000}))
      return;
    last_ = now;
    const double rate = static_cast<double>(done - first_) / seconds();
    std::string losses;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      char text[64];
      std::snprintf(text, sizeof text, "%s%.*s %.4g", i == 0 ? " (" : ", ",
                    static_cast<int>(step.parts[i].name.size()), step.parts[i].name.data(),
                    parts_[i]);
      losses += text;
    }
    if (!losses.empty()) losses += ")";
    char facts[256];
    std::snprintf(facts, sizeof facts,
                  "step %zu of %zu, loss %.3f%s, %.0f tokens/s, %.0fk tokens to go, %s left", done,
                  steps_, loss_, losses.c_str(), rate * static_cast<double>(tokens_),
                  1e-3 * static_cast<double>((steps_ - done) * tokens_),
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

  /// A line of its own.
  void note(const std::string& text) {
    if (drawn_) std::fputs("\r\033[K", stderr);
    std::fprintf(stderr, "%s: %s\n", name_.c_str(), text.c_str());
  }

  /// Time that counts as none of the training's, as long as the object lives.
  class pause {
   public:
    explicit pause(training_progress& of) : of_(of) {}
    pause(const pause&) = delete;
    ~pause() { of_.start_ += clock::now() - begin_; }

   private:
    training_progress& of_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  };
  [[nodiscard]] pause paused() { return pause(*this); }

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
  std::vector<double> parts_;
  clock::time_point start_ = clock::now(), last_ = start_;
};

}  // namespace qad
