// SPDX-License-Identifier: Apache-2.0
/// The kernels: which of them this processor can run, and how a host chooses one by name.
#pragma once

#include <span>
#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::kernel {
struct functions;
}

/// One instruction set's functions, by name. Where a function takes one, it runs on it; results do
/// not depend on it.
struct kernel {
  std::string_view name;
  const detail::kernel::functions* functions = nullptr;
};

/// The kernels that this processor can run, fastest first; never empty, because "scalar", the
/// reference implementation, is always last. The processor is asked once.
[[nodiscard]] EDGERAZOR_FUNCTION std::span<const kernel> available_kernels() noexcept;

/// The fastest kernel that this processor can run: the default of every product.
[[nodiscard]] inline const kernel& best_kernel() noexcept { return available_kernels().front(); }

/// The available kernel of that name; null where there is none, which as an option means the
/// fastest.
[[nodiscard]] inline const kernel* find_kernel(std::string_view name) noexcept {
  for (const kernel& candidate : available_kernels()) {
    if (candidate.name == name) return &candidate;
  }
  return nullptr;
}

namespace detail::product {
/// Every kernel that this build holds, whether this processor can run it or not.
[[nodiscard]] EDGERAZOR_FUNCTION std::span<const detail::kernel::functions* const>
known_kernels() noexcept;

/// The functions of a kernel that a caller named, or of the fastest.
[[nodiscard]] inline const detail::kernel::functions& functions_of(
    const edgerazor::kernel* chosen) noexcept {
  return *(chosen ? *chosen : best_kernel()).functions;
}
}  // namespace detail::product

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

#if EDGERAZOR_HEADER_ONLY
#include <edgerazor/product/kernels_impl.hpp>
#endif
