// SPDX-License-Identifier: Apache-2.0
/// The loops behind fits by squared error: a group rounded at a trial scale and zero, and the sums
/// that say how good they are and which would be better.
#pragma once

#include <cstddef>
#include <cstdint>

#include <xsimd/xsimd.hpp>

#include <edgerazor/calibrate/level_grid.hpp>
#include <edgerazor/core/config.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::calibrate {

/// Sums over a group with levels q, weights w and importances a.
struct level_sums {
  float a = 0, q = 0, qq = 0, w = 0, qw = 0, ww = 0;

  /// The scale and zero that minimize sum a (w - scale (q - zero))^2 while the levels stay:
  ///
  ///     no zero         scale = Sqw / Sqq
  ///     integer zero    the same with q - zero for q, zero as it is
  ///     real zero       the line w = scale q - t of least squares, zero = t / scale
  ///
  /// A scale that is not positive means that there is none.
  [[nodiscard]] group_fit best(group_zero kind, float zero) const noexcept {
    if (kind == group_zero::real) {
      const float determinant = a * qq - q * q;
      if (!(determinant > 0)) return {};
      const float scale = (a * qw - q * w) / determinant;
      return {scale, (scale * q - w) / (a * scale)};
    }
    const float z = kind == group_zero::none ? 0.0f : zero;
    const float squares = qq - 2 * z * q + z * z * a, products = qw - z * w;
    return {squares > 0 ? products / squares : 0.0f, z};
  }
  /// sum a (w - scale (q - zero))^2, but for rounding.
  [[nodiscard]] float error(group_fit fit) const noexcept {
    const float s = fit.scale, t = fit.scale * fit.zero;
    return ww - 2 * s * qw + 2 * t * w + s * s * qq - 2 * s * t * q + t * t * a;
  }
};

/// A group as loops take it.
struct weighted_group {
  const float* weights;
  const float* importance;  ///< or null: all 1
  std::size_t count;
};

/// How a trial rounds: level = min_level + level_step * clamp(round(w * factor + offset), 0, last).
struct trial_levels {
  using reals = xsimd::batch<float>;
  float factor, offset, last, low, step;

  trial_levels(const level_grid& grid, group_fit fit) noexcept
      : low(static_cast<float>(grid.min_level)), step(static_cast<float>(grid.level_step)) {
    factor = fit.scale != 0 ? 1.0f / (fit.scale * step) : 0.0f;
    offset = (fit.zero - low) / step;
    last = (static_cast<float>(grid.max_level) - low) / step;
  }
  [[nodiscard]] EDGERAZOR_INLINE reals operator()(const reals& w) const noexcept {
    const reals shift{12582912.0f};  // as in `round_to_level`
    const reals x = w * reals{factor} + reals{offset};
    const reals clamped = xsimd::min(xsimd::max(x, reals{0.0f}), reals{last});
    const auto nearest = xsimd::bitwise_cast<std::int32_t>(clamped + shift) -
                         xsimd::bitwise_cast<std::int32_t>(shift);
    return reals{low} + reals{step} * xsimd::to_float(nearest);
  }
};

/// add(w, a) for vectors of weights and importances; past the end both are 0.
template <class Add>
EDGERAZOR_INLINE void for_vectors(weighted_group group, const Add& add) noexcept {
  using reals = xsimd::batch<float>;
  const std::size_t whole = group.count - group.count % reals::size;
  if (group.importance != nullptr) {
    for (std::size_t i = 0; i < whole; i += reals::size)
      add(reals::load_unaligned(group.weights + i), reals::load_unaligned(group.importance + i));
  } else {
    for (std::size_t i = 0; i < whole; i += reals::size)
      add(reals::load_unaligned(group.weights + i), reals{1.0f});
  }
  if (whole == group.count) return;
  float w[reals::size] = {}, a[reals::size] = {};
  for (std::size_t i = whole; i < group.count; ++i) {
    w[i - whole] = group.weights[i];
    a[i - whole] = group.importance != nullptr ? group.importance[i] : 1.0f;
  }
  add(reals::load_unaligned(w), reals::load_unaligned(a));
}

[[nodiscard]] inline level_sums sums_of(weighted_group group, const level_grid& grid,
                                        group_fit fit) noexcept {
  using reals = xsimd::batch<float>;
  const trial_levels levels(grid, fit);
  reals sa{0.0f}, sq{0.0f}, sqq{0.0f}, sw{0.0f}, sqw{0.0f}, sww{0.0f};
  for_vectors(group, [&](const reals& w, const reals& a) {
    const reals q = levels(w), aq = a * q, aw = a * w;
    sa = sa + a;
    sq = sq + aq;
    sqq = sqq + aq * q;
    sw = sw + aw;
    sqw = sqw + aq * w;
    sww = sww + aw * w;
  });
  return {xsimd::reduce_add(sa), xsimd::reduce_add(sq),  xsimd::reduce_add(sqq),
          xsimd::reduce_add(sw), xsimd::reduce_add(sqw), xsimd::reduce_add(sww)};
}

/// sum a (w - value(level(w)))^2, term by term.
[[nodiscard]] inline float squared_error(weighted_group group, const level_grid& grid,
                                         group_fit fit) noexcept {
  using reals = xsimd::batch<float>;
  const trial_levels levels(grid, fit);
  const reals scale{fit.scale}, zero{fit.zero};
  reals sum{0.0f};
  for_vectors(group, [&](const reals& w, const reals& a) {
    const reals error = w - scale * (levels(w) - zero);
    sum = sum + a * error * error;
  });
  return xsimd::reduce_add(sum);
}

}  // namespace detail::calibrate
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
