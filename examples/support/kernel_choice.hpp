// SPDX-License-Identifier: Apache-2.0
/// The kernel that a user of our own programs names. The library never reads the environment: a
/// host decides.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/printable.hpp>
#include <edgerazor/product/kernels.hpp>

namespace support {

/// The available kernel of that name; for an empty one that of the environment variable
/// EDGERAZOR_KERNEL, else the fastest. Throws std::invalid_argument, naming those that this machine
/// has.
inline const edgerazor::kernel& chosen_kernel(std::string_view name = {}) {
  const char* const from_environment = std::getenv("EDGERAZOR_KERNEL");
  const bool from_name = !name.empty();
  if (!from_name && from_environment) name = from_environment;
  if (name.empty()) return edgerazor::best_kernel();
  if (const edgerazor::kernel* found = edgerazor::find_kernel(name)) return *found;
  std::string known;
  for (const edgerazor::kernel& k : edgerazor::available_kernels())
    known.append(" ").append(k.name);
  throw std::invalid_argument("this machine has no kernel " + edgerazor::quoted(name) +
                              (from_name ? "" : ", which EDGERAZOR_KERNEL names") + "; it has" +
                              known);
}

}  // namespace support
