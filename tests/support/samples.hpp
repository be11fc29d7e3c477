// SPDX-License-Identifier: Apache-2.0
/// Numbers to test with: distributions as weights and activations have them, and the extremes that
/// break things. Tests only.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace samples {

enum class kind {
  normal,       ///< as weights are
  uniform,      ///< of the size of 1
  outliers,     ///< normal, one in 50 a hundred times as large
  boundaries,   ///< halves of a level, for a scale of 1/8: ties, and single ulps from them
  equal,        ///< all the same magnitude
  one_nonzero,  ///< a single number
  zeros,        ///< of both signs
  denormals,    ///< smaller than any scale
  negative      ///< all below zero
};
inline constexpr std::array all_kinds{kind::normal,     kind::uniform,   kind::outliers,
                                      kind::boundaries, kind::equal,     kind::one_nonzero,
                                      kind::zeros,      kind::denormals, kind::negative};

inline std::vector<float> draw(kind which, std::size_t size, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(size);
  const std::size_t chosen = size == 0 ? 0 : random() % size;
  for (std::size_t i = 0; i < size; ++i) {
    float& x = values[i];
    switch (which) {
      case kind::normal:
        x = normal(random);
        break;
      case kind::uniform:
        x = uniform(random);
        break;
      case kind::outliers:
        x = normal(random) * (random() % 50 == 0 ? 100.0f : 1.0f);
        break;
      case kind::boundaries:
        x = (static_cast<float>(random() % 29) - 14.0f) / 16.0f;
        if (random() % 3 == 0) x = std::nextafter(x, random() % 2 == 0 ? 1.0f : -1.0f);
        break;
      case kind::equal:
        x = random() % 2 == 0 ? 0.37f : -0.37f;
        break;
      case kind::one_nonzero:
        x = i == chosen ? -1.7f : 0.0f;
        break;
      case kind::zeros:
        x = random() % 2 == 0 ? 0.0f : -0.0f;
        break;
      case kind::denormals:
        x = std::bit_cast<float>(static_cast<std::uint32_t>(random() & 0x807fffffu));
        break;
      case kind::negative:
        x = -std::fabs(normal(random)) - 1e-3f;
        break;
    }
  }
  return values;
}

/// A kind for the i-th of many cases.
inline kind nth_kind(std::size_t i) { return all_kinds[i % all_kinds.size()]; }

/// The same bits; all NaNs are one, because neither sign nor payload of a computed NaN is defined.
inline bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}
inline std::size_t count_differences(std::span<const float> a, std::span<const float> b) {
  std::size_t count = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) count += !same(a[i], b[i]);
  return count;
}

}  // namespace samples
