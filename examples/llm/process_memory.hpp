// SPDX-License-Identifier: Apache-2.0
/// The largest amount of physical memory that this process has held.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>

#include <edgerazor/core/config.hpp>

#if EDGERAZOR_POSIX
#include <sys/resource.h>
#endif

namespace llm {

/// Bytes, pages of mapped files that have been read included; 0 where the system does not tell.
inline std::size_t peak_memory() {
#if EDGERAZOR_LINUX
  // VmHWM belongs to this process; getrusage's maximum would be inherited from before an exec.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    std::size_t kibibytes = 0;
    status >> kibibytes;
    return kibibytes * 1024;
  }
#endif
#if EDGERAZOR_POSIX
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    return static_cast<std::size_t>(usage.ru_maxrss) *
           (EDGERAZOR_LINUX ? 1024 : 1);  // macOS counts bytes
  }
#endif
  return 0;
}

}  // namespace llm
