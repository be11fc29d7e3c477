// SPDX-License-Identifier: Apache-2.0
/// Numbers to fill matrices with: the same on every machine, in whatever order they are asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

/// A number of about normal distribution with deviation 1, from a counter (splitmix64, Steele and
/// others 2014).
[[nodiscard]] inline float random_value(std::uint64_t counter) noexcept {
  std::uint64_t x = counter * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  std::uint64_t sum = 0;  // of four 16-bit numbers: mean 2, variance 4 / 12
  for (int shift = 0; shift < 64; shift += 16) sum += x >> shift & 0xffff;
  return (static_cast<float>(sum) / 65536.0f - 2.0f) * 1.7320508f;
}

[[nodiscard]] inline std::vector<float> random_values(std::size_t count, std::uint64_t first = 0) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = random_value(first + i);
  return values;
}

}  // namespace bench
