/// The largest magnitude and the largest value of a group: exact, so any order of comparison gives the same bits.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace edgerazor::inline v0 {

/// max|w|; 0 for no weights. Eight running maxima, so that the loop is one vector operation long.
[[nodiscard]] inline float max_magnitude(std::span<const float> group) noexcept {
  float lanes[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= group.size(); i += 8)
    for (std::size_t lane = 0; lane < 8; ++lane) {
      const float magnitude = std::fabs(group[i + lane]);
      lanes[lane] = magnitude > lanes[lane] ? magnitude : lanes[lane];
    }
  float largest = 0;
  for (; i < group.size(); ++i) largest = std::fabs(group[i]) > largest ? std::fabs(group[i]) : largest;
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

/// max(w). Precondition: !group.empty().
[[nodiscard]] inline float max_value(std::span<const float> group) noexcept {
  float lanes[8];
  for (float& lane : lanes) lane = group[0];
  std::size_t i = 0;
  for (; i + 8 <= group.size(); i += 8)
    for (std::size_t lane = 0; lane < 8; ++lane)
      lanes[lane] = group[i + lane] > lanes[lane] ? group[i + lane] : lanes[lane];
  float largest = group[0];
  for (; i < group.size(); ++i) largest = group[i] > largest ? group[i] : largest;
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

}  // namespace edgerazor::inline v0
