// SPDX-License-Identifier: Apache-2.0
/// Extents as hosts have them: of any integral type, signed ones too.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/contract.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::core {

[[noreturn]] inline void refuse_extent(const char* name, long long value) {
  fail(std::string{name} + " is " + std::to_string(value) + ", expected at least 0");
}

/// The number as std::size_t. Fails where it is negative, naming it: "matrix_view: rows is -3".
template <std::integral Integer>
[[nodiscard]] constexpr std::size_t extent(Integer value, const char* name) noexcept(
    !std::signed_integral<Integer>) {
  if constexpr (std::signed_integral<Integer>) {
    if (value < 0) refuse_extent(name, value);
  }
  return static_cast<std::size_t>(value);
}

}  // namespace detail::core
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
