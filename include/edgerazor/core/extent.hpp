// SPDX-License-Identifier: Apache-2.0
/// Extents as hosts have them, of any integral type, signed ones too; and the sizes that are made
/// of them, which don't wrap.
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
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

/// first * rest * ..., or nothing where that is no std::size_t. A factor of zero makes it zero,
/// whatever the others are.
template <std::same_as<std::size_t>... Rest>
[[nodiscard]] constexpr std::optional<std::size_t> checked_product(std::size_t first,
                                                                   Rest... rest) noexcept {
  if (first == 0 || ((rest == 0) || ...)) return 0;
  std::size_t product = first;
  const bool fits =
      ((product <= std::numeric_limits<std::size_t>::max() / rest && (product *= rest, true)) &&
       ...);
  return fits ? std::optional{product} : std::nullopt;
}

/// The same; fails where it is none: "packed activations: 100 x 18446744073709551615 is too large".
/// Every count of bytes or elements that a host's or a file's extents are multiplied to is one.
template <std::same_as<std::size_t>... Rest>
[[nodiscard]] constexpr std::size_t size_product(const char* what, std::size_t first,
                                                 Rest... rest) {
  const std::optional<std::size_t> product = checked_product(first, rest...);
  if (!product) {
    std::string factors = size_text(first);
    ((factors += " x " + size_text(rest)), ...);
    fail(std::string{what} + ": " + factors + " is too large");
  }
  return *product;
}

}  // namespace detail::core
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
