// SPDX-License-Identifier: Apache-2.0
/// The library's version and, separate from it, the version of the packed layout that files
/// declare.
#pragma once

#define EDGERAZOR_VERSION_MAJOR 0
#define EDGERAZOR_VERSION_MINOR 1
#define EDGERAZOR_VERSION_PATCH 0
#define EDGERAZOR_VERSION "0.1.0"

#include <edgerazor/core/config.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// Rises when a packed byte changes its meaning; a file that declares another one is refused.
inline constexpr unsigned packed_layout_version = 1;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
