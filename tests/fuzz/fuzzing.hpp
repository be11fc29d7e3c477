// SPDX-License-Identifier: Apache-2.0
/// What the fuzzers of file readers share.
#pragma once

#include <cstdlib>

#include <edgerazor/core/contract.hpp>

/// A finding, where the condition does not hold.
inline void require(bool condition) {
  if (!condition) std::abort();
}

/// io_error is what a broken file may cause; anything else is a finding.
template <class Read>
void try_to(const Read& read) {
  try {
    read();
  } catch (const edgerazor::io_error&) {
  }
}
