// SPDX-License-Identifier: Apache-2.0
/// Scratch memory and lists of the library's own.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::core {

/// The global allocation, of which a refusal is reported as contract.hpp says. std::allocator's
/// would end a build without exceptions past its handler.
template <class T>
struct reporting_allocator {
  using value_type = T;
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

  reporting_allocator() = default;
  template <class U>
  reporting_allocator(const reporting_allocator<U>&) noexcept {}

  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(
        core::allocate(count * sizeof(T)));  // a vector asks for no more than fit
  }
  void deallocate(T* memory, std::size_t) noexcept { ::operator delete(memory); }

  template <class U>
  bool operator==(const reporting_allocator<U>&) const noexcept {
    return true;
  }
};

/// The vector of everything that the library allocates for itself outside io.
template <class T>
using buffer = std::vector<T, reporting_allocator<T>>;

/// Fails as they do where so many bytes can't be had: before a std::vector that is given away.
inline void expect_memory(std::size_t bytes) { ::operator delete(core::allocate(bytes)); }

}  // namespace detail::core
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
