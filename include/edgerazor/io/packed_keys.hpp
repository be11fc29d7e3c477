// SPDX-License-Identifier: Apache-2.0
/// The metadata keys that describe packed matrices in a GGUF file; packed_model.hpp says what they
/// hold.
#pragma once

#include <string_view>

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::io::packed_keys {

inline constexpr std::string_view layout_version = "edgerazor.layout_version";
inline constexpr std::string_view names = "edgerazor.tensor.names";
inline constexpr std::string_view formats = "edgerazor.tensor.formats";
inline constexpr std::string_view rows = "edgerazor.tensor.rows";
inline constexpr std::string_view cols = "edgerazor.tensor.cols";

/// Whether a key is one of them, or of the names that a later layout version may add.
[[nodiscard]] constexpr bool contains(std::string_view key) noexcept {
  return key == layout_version || key.starts_with("edgerazor.tensor.");
}

}  // namespace detail::io::packed_keys

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
