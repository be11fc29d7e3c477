// SPDX-License-Identifier: Apache-2.0
/// The instruction sets that losses over logits can run on, and how a host chooses one by name.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/distill/row/loops.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One instruction set's loops over rows, by name. Results of different ones differ in their last
/// digits, within the relative 1e-6 that every loss promises; those of one depend on nothing else.
struct loss_engine {
  std::string_view name;
  const detail::row::loops* loops = nullptr;
};

/// The engines that this processor can run, fastest first; never empty: "portable", of the vectors
/// that the build's own flags allow, is always last. The processor is asked once.
[[nodiscard]] inline std::span<const loss_engine> available_loss_engines() noexcept {
  struct engines {
    std::array<loss_engine, 8> all{};
    std::size_t count = 0;
    engines() noexcept {
      for (const detail::row::loops* loops : detail::row::available_loops())
        all[count++] = {loops->name, loops};
    }
  };
  static const engines available;
  return {available.all.data(), available.count};
}

/// The available engine of that name; null where there is none, which as an option means the
/// fastest.
[[nodiscard]] inline const loss_engine* find_loss_engine(std::string_view name) noexcept {
  for (const loss_engine& candidate : available_loss_engines()) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

namespace detail::distill {
/// The loops that a caller named; null: the fastest.
[[nodiscard]] inline const row::loops* loops_of(const loss_engine* engine) noexcept {
  return engine ? engine->loops : nullptr;
}
}  // namespace detail::distill

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
