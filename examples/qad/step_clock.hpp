// SPDX-License-Identifier: Apache-2.0
/// Where the time of a training step goes.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <string_view>
#include <utility>

#include <edgerazor/core/config.hpp>

namespace qad {

/// Time that the calling thread has had of a processor, which other programs do not change; where
/// the system does not tell, time on the clock. In seconds; some 0.3 us.
inline double thread_seconds() noexcept {
#if EDGERAZOR_POSIX
  ::timespec now{};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0)
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#endif
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

enum class step_part {
  linear,     ///< products with the weights of blocks, forward and backward
  attention,  ///< of one token with others, its softmax included
  head,       ///< products with the head, and the losses over its logits
  norms,      ///< norms, biases and rotary embeddings
  gates,      ///< silu(gate) * up
  states,     ///< fake quantization of inputs, keys and values
  features,   ///< losses between hidden states
  weights,    ///< fake quantization of weights, and a teacher's decoded from its file
  update,     ///< sum of gradients and optimizer
  count
};
inline constexpr std::size_t step_parts = static_cast<std::size_t>(step_part::count);

inline constexpr std::array<std::string_view, step_parts> step_part_names{
    "products with blocks", "attention", "head and its losses", "norms and turns", "gates",
    "rounding of states",   "features",  "rounding of weights", "update"};

/// One thread's time on a processor, by what it was spent on.
class step_clock {
 public:
  /// What is done from now on.
  void enter(step_part part) noexcept {
    leave();
    part_ = part;
    since_ = thread_seconds();
  }
  /// Nothing of the list is.
  void leave() noexcept {
    if (part_ == step_part::count) return;
    seconds_[static_cast<std::size_t>(std::exchange(part_, step_part::count))] +=
        thread_seconds() - since_;
  }
  [[nodiscard]] double seconds(std::size_t part) const noexcept { return seconds_[part]; }

 private:
  std::array<double, step_parts> seconds_{};
  step_part part_ = step_part::count;
  double since_ = 0;
};

}  // namespace qad
