// SPDX-License-Identifier: Apache-2.0
/// The kernels: which of them this processor can run, and how a host chooses one by name.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/dispatch.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// One instruction set's functions, by name. Where a function takes one, it runs on it; the results
/// do not depend on it.
using kernel = detail::kernel::functions;

/// The kernels that this processor can run, fastest first; never empty, because `scalar` is always
/// last. The processor is asked once.
[[nodiscard]] inline std::span<const kernel> available_kernels() noexcept {
  struct selection {
    std::array<kernel, detail::kernel::kernel_list.size()> kernels{};
    std::size_t count = 0;
    selection() noexcept {
      for (const kernel* candidate : detail::kernel::kernel_list) {
        if (candidate->supported()) kernels[count++] = *candidate;
      }
    }
  };
  static const selection available;
  return {available.kernels.data(), available.count};
}

/// The fastest kernel that this processor can run: the default of every product.
[[nodiscard]] inline const kernel& best_kernel() noexcept {
  return available_kernels().front();
}

/// The available kernel of that name; null where there is none.
[[nodiscard]] inline const kernel* find_kernel(std::string_view name) noexcept {
  for (const kernel& candidate : available_kernels()) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
