// SPDX-License-Identifier: Apache-2.0
/// Four levels a group that follow its weights: Lloyd's iteration (S. P. Lloyd, "Least squares
/// quantization in PCM", 1957; J. Max, 1960), one-dimensional k-means.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <edgerazor/core/config.hpp>
#include <edgerazor/policy/level_table.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// Four classes of weights: their levels, ascending, and the sum of importance (the number, where
/// there is none) of the weights of each.
struct four_classes {
  std::array<double, 4> levels{}, counts{};
  int rounds = 0;  ///< that it took
};

/// The nearest level, the lower of two as near.
[[nodiscard]] inline std::uint8_t nearest_of(const std::array<double, 4>& levels,
                                             double weight) noexcept {
  std::uint8_t best = 0;
  for (std::uint8_t k = 1; k < 4; ++k)
    if (std::fabs(weight - levels[k]) < std::fabs(weight - levels[best])) best = k;
  return best;
}

/// (Weighted) means of four classes of a group of at least one finite weight, in double:
///
///     1  levels at the quantiles 1/8, 3/8, 5/8, 7/8, interpolated
///     2  each weight gets the nearest level, the lower of two as near
///     3  each level becomes the mean of its weights, by importance; one without weights stays
///     4  from 2 on, until no code changes, or most_rounds times
///
/// importance: empty, or one a weight, at least 0; all 0 counts as none. `codes` are written, one a
/// weight. `sorted` is room.
inline four_classes lloyd_classes(std::span<const float> weights, std::span<const float> importance,
                                  int most_rounds, std::span<std::uint8_t> codes,
                                  std::vector<float>& sorted) {
  four_classes result;
  std::array<double, 4>& levels = result.levels;
  sorted.assign(weights.begin(), weights.end());
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t k = 0; k < 4; ++k) {
    const double place =
        (0.125 + 0.25 * static_cast<double>(k)) * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    const auto low = static_cast<double>(sorted[below]), high = static_cast<double>(sorted[above]);
    levels[k] = low + (high - low) * (place - static_cast<double>(below));
  }
  double counted = 0;
  for (const float a : importance) counted += static_cast<double>(a);
  for (bool moved = true; moved && result.rounds < most_rounds; ++result.rounds) {
    std::array<double, 4> sums{}, counts{};
    moved = false;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const auto w = static_cast<double>(weights[i]);
      const std::uint8_t code = nearest_of(levels, w);
      moved = moved || result.rounds == 0 || code != codes[i];
      codes[i] = code;
      const double a = counted > 0 ? static_cast<double>(importance[i]) : 1;
      sums[code] += a * w;
      counts[code] += a;
    }
    if (!moved) break;
    result.counts = counts;
    for (std::size_t k = 0; k < 4; ++k)
      if (counts[k] > 0) levels[k] = sums[k] / counts[k];
  }
  return result;
}

/// Levels as integers -largest .. largest times a scale. Of the scales
///
///     s_t = max(max_k |l_k| / t, epsilon),  t = largest, largest - 1, ..., (largest + 1) / 2
///
/// the first with least sum_k count_k (l_k - s_t q_k)^2, where q_k = clamp(round_half_even(l_k /
/// s_t), -largest, largest).
[[nodiscard]] inline table_fit round_classes(const four_classes& classes, int largest,
                                             float epsilon) noexcept {
  double top = 0;
  for (const double level : classes.levels) top = std::max(top, std::fabs(level));
  table_fit best;
  double least = -1;
  for (int t = largest; 2 * t > largest; --t) {
    table_fit one{std::max(static_cast<float>(top / t), epsilon), {}};
    const auto scale = static_cast<double>(one.scale);
    double error = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      // |l / s| <= t (1 + 2^-24): rounding needs no clamp.
      const int level = scale > 0 ? round_between(static_cast<float>(classes.levels[k] / scale),
                                                  -largest, largest)
                                  : 0;
      one.levels[k] = static_cast<std::int8_t>(level);
      const double left = classes.levels[k] - scale * level;
      error += classes.counts[k] * left * left;
    }
    if (least >= 0 && error >= least) continue;
    best = one, least = error;
  }
  return best;
}
}  // namespace detail::policy

/// Four levels a group, integers -15 .. 15 times a scale, of nearly least squared error: the means
/// of four classes (`lloyd_classes`: quantiles to start from, until no weight changes its class, at
/// most `rounds` times), rounded as `round_classes` says. On a Gaussian in groups of 128 the
/// rounding adds 0.3 % to the squared error.
///
///     pack<lloyd_max<per_group<128>>>(weights)        2 bits a weight and 48 a group: table2_g128
///
/// Weights alone count. With the importance of columns, and for fits of one's own, see
/// calibrate/four_levels.hpp, and pack_levels. Ends the program where there is no memory for a copy
/// of a group.
template <granularity_policy Granularity = per_group<128>, real_element Scale = float16>
struct lloyd_max {
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int largest_level = 15;

  int rounds = 100;       ///< at most; at least 1
  float epsilon = 1e-5f;  ///< smallest scale; > 0

  /// Precondition: !group.empty(), all finite.
  template <class Group = std::span<const float>>
  [[nodiscard]] table_fit fit(const Group& group) const noexcept {
    const std::span<const float> weights(group.data(), group.size());
    std::vector<float> sorted;
    std::vector<std::uint8_t> codes(weights.size());
    return detail::policy::round_classes(
        detail::policy::lloyd_classes(weights, {}, rounds, codes, sorted), largest_level, epsilon);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
