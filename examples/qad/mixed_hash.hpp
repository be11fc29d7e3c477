// SPDX-License-Identifier: Apache-2.0
/// Draws that depend on what they are for, not on those before them.
#pragma once

#include <cstdint>

namespace qad {

/// A bijection of 64-bit numbers that no two neighbours survive: the finalizer of SplitMix64
/// (Steele et al., 2014).
constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

}  // namespace qad
