// SPDX-License-Identifier: Apache-2.0
/// What kernels.hpp declares.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/kernel/dispatch.hpp>
#include <edgerazor/product/kernels.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::product {
EDGERAZOR_FUNCTION std::span<const detail::kernel::functions* const> known_kernels() noexcept {
  return detail::kernel::kernel_list;
}
}  // namespace detail::product

EDGERAZOR_FUNCTION std::span<const kernel> available_kernels() noexcept {
  struct selection {
    std::array<edgerazor::kernel, detail::kernel::kernel_list.size()> kernels{};
    std::size_t count = 0;
    selection() noexcept {
      for (const detail::kernel::functions* candidate : detail::kernel::kernel_list) {
        if (candidate->supported()) kernels[count++] = {candidate->name, candidate};
      }
    }
  };
  static const selection available;
  return {available.kernels.data(), available.count};
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
