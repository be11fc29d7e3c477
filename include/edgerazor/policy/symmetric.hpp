// SPDX-License-Identifier: Apache-2.0
/// Symmetric integers by the maximum: weights of 2 to 8 bits, or of any odd number of levels, and
/// the activations and cached keys and values.
#pragma once

#include <algorithm>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/policy/quantizer.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

/// `Levels` integers around 0, [-m, m] * s with m = (Levels - 1) / 2; an odd number of them.
///
///     s = max(max|w|, epsilon) / m        level = clamp(round_half_even(w / s), -m, m)
///
/// The grid is symmetric, and max|w| itself is a level. Training that lowers the number of levels
/// step by step (level_schedule.hpp) takes 17, 15, 13 ... of them.
template <int Levels, granularity_policy Granularity = per_group<256>, real_element Scale = float16>
struct symmetric_levels {
  static_assert(Levels >= 3 && Levels <= 255 && Levels % 2 == 1,
                "symmetric: expected 2 to 8 bits, or an odd number of levels from 3 to 255: levels "
                "are stored as int8");
  using granularity = Granularity;
  using scale_type = Scale;
  static constexpr int max_level = (Levels - 1) / 2;
  static constexpr int min_level = -max_level;
  static constexpr level_rule levels{min_level, max_level};

  float epsilon = 1e-5f;  ///< smallest max|w| that counts; > 0

  /// Precondition: !group.empty().
  template <class Group = std::span<const float>>
  [[nodiscard]] float scale(const Group& group) const noexcept {
    return detail::core::quotient(std::max(max_magnitude(group), epsilon),
                                  static_cast<float>(max_level));
  }
  [[nodiscard]] static constexpr int level(float weight, float scale) noexcept {
    return levels(weight, scale);
  }
};

/// The 2^Bits - 1 levels [-m, m], m = 2^(Bits - 1) - 1 (EdgeRazor (Python)
/// ..._symmetric_absmax_..._int{2,4,5,8}, weights and states). -2^(Bits - 1) stays unused.
template <int Bits, granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using symmetric = symmetric_levels<(1 << Bits) - 1, Granularity, Scale>;

/// Levels {-1, 0, 1}.
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using int2 = symmetric<2, Granularity, Scale>;

/// Levels [-3, 3].
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using int3 = symmetric<3, Granularity, Scale>;

/// Levels [-7, 7].
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using int4 = symmetric<4, Granularity, Scale>;

/// Levels [-15, 15].
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using int5 = symmetric<5, Granularity, Scale>;

/// Levels [-31, 31].
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using int6 = symmetric<6, Granularity, Scale>;

/// Levels [-127, 127].
template <granularity_policy Granularity = per_group<256>, real_element Scale = float16>
using int8 = symmetric<8, Granularity, Scale>;

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
