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
#include <utility>
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

/// Room for `lloyd_classes`, reused from group to group.
struct lloyd_room {
  std::vector<std::pair<float, float>> sorted;         ///< weights and their importance
  std::vector<std::pair<double, double>> sums_before;  ///< of importance * weight, of importance
};

/// (Weighted) means of four classes of a group of at least one finite weight, in double:
///
///     1  levels at the quantiles 1/8, 3/8, 5/8, 7/8, interpolated
///     2  each weight gets the nearest level, the lower of two as near
///     3  each level becomes the mean of its weights, by importance; one without weights stays
///     4  from 2 on, until no weight changes its class, or most_rounds times
///
/// On sorted weights, where a class is a run, with sums from the first on. importance: empty, or
/// one a weight, at least 0; all 0 counts as none. `codes`, of which each weight gets one: may be
/// empty.
inline four_classes lloyd_classes(std::span<const float> weights, std::span<const float> importance,
                                  int most_rounds, std::span<std::uint8_t> codes,
                                  lloyd_room& room) {
  four_classes result;
  std::array<double, 4>& levels = result.levels;
  const std::size_t count = weights.size();
  double counted = 0;
  for (const float a : importance) counted += static_cast<double>(a);
  room.sorted.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    room.sorted[i] = {weights[i], counted > 0 ? importance[i] : 1.0f};
  std::sort(room.sorted.begin(), room.sorted.end());
  room.sums_before.assign(1, {});
  for (const auto& [weight, a] : room.sorted) {
    const auto [sum, all] = room.sums_before.back();
    room.sums_before.push_back(
        {sum + static_cast<double>(a) * static_cast<double>(weight), all + static_cast<double>(a)});
  }
  for (std::size_t k = 0; k < 4; ++k) {
    const double place = (0.125 + 0.25 * static_cast<double>(k)) * static_cast<double>(count - 1);
    const auto below = static_cast<std::size_t>(place);
    const auto low = static_cast<double>(room.sorted[below].first),
               high = static_cast<double>(room.sorted[std::min(below + 1, count - 1)].first);
    levels[k] = low + (high - low) * (place - static_cast<double>(below));
  }
  std::array<double, 3> middles{};
  std::array<std::size_t, 5> runs{};  // class k is sorted[runs[k]] .. sorted[runs[k + 1]]
  for (; result.rounds < most_rounds; ++result.rounds) {
    std::array<std::size_t, 5> next{0, 0, 0, 0, count};
    for (std::size_t k = 0; k < 3; ++k) {
      middles[k] = (levels[k] + levels[k + 1]) / 2;
      const auto above = [&middles, k](const std::pair<float, float>& one) {
        return !(static_cast<double>(one.first) > middles[k]);
      };
      const auto first = std::partition_point(room.sorted.begin(), room.sorted.end(), above);
      next[k + 1] = static_cast<std::size_t>(first - room.sorted.begin());
    }
    if (result.rounds > 0 && next == runs) break;
    runs = next;
    std::array<std::pair<double, double>, 4> classes{};
    for (std::size_t k = 0; k < 4; ++k) {
      const auto [sum_before, all_before] = room.sums_before[runs[k]];
      const auto [sum, all] = room.sums_before[runs[k + 1]];
      const bool counts = runs[k + 1] > runs[k] && all > all_before;
      classes[k] = {counts ? (sum - sum_before) / (all - all_before) : levels[k],
                    counts ? all - all_before : 0.0};
    }
    // A level that stayed may have been passed by.
    std::stable_sort(classes.begin(), classes.end(),
                     [](const auto& one, const auto& other) { return one.first < other.first; });
    for (std::size_t k = 0; k < 4; ++k)
      levels[k] = classes[k].first, result.counts[k] = classes[k].second;
  }
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = 0;
    for (const double middle : middles)
      codes[i] = static_cast<std::uint8_t>(codes[i] + (static_cast<double>(weights[i]) > middle));
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
    detail::policy::lloyd_room room;
    return detail::policy::round_classes(
        detail::policy::lloyd_classes(weights, {}, rounds, {}, room), largest_level, epsilon);
  }
};

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
