/// The kernel a user names.
#pragma once

#include <string>
#include <string_view>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/kernel/dispatch.hpp>

namespace llm {

/// The available kernel of that name; the fastest for an empty one. Throws std::invalid_argument, naming those there
/// are.
inline const edgerazor::kernel& kernel_of_name(std::string_view name) {
  if (name.empty()) return edgerazor::best_kernel();
  if (const edgerazor::kernel* found = edgerazor::find_kernel(name)) return *found;
  std::string known;
  for (const edgerazor::kernel& k : edgerazor::available_kernels()) known.append(" ").append(k.name);
  edgerazor::fail("this machine has no kernel '" + std::string{name} + "'; it has" + known);
}

}  // namespace llm
