// SPDX-License-Identifier: Apache-2.0
/// What mean.hpp declares: the sum in its order, by plain loops and by vectors.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include <xsimd/xsimd.hpp>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/division.hpp>
#include <edgerazor/policy/mean.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {

namespace detail::policy {
/// The two loops of the sum, plain: the reference implementation.
struct plain_sums {
  /// sums[j] = |next[j]| + |next[width + j]| + ... for j < width, `count` terms, in that order.
  template <std::size_t Width>
  static void add_rows(const float* next, std::size_t count, float* sums) noexcept {
    std::fill_n(sums, Width, 0.0f);
    for (std::size_t i = 0; i < count; ++i, next += Width)
      for (std::size_t j = 0; j < Width; ++j) sums[j] = core::ordered(sums[j] + std::fabs(next[j]));
  }
  /// to[j] += from[j] for j < count.
  template <std::size_t Count>
  static void add_lanes(const float* from, float* to) noexcept {
    for (std::size_t j = 0; j < Count; ++j) to[j] = core::ordered(to[j] + from[j]);
  }
};

/// Terms that a row has at least where its cascade is more than a plain sum.
inline constexpr std::size_t cascade_threshold = 16;

/// What `add_rows` sums, by the cascade.
template <class Sums, std::size_t Width>
void add_cascades(const float* next, std::size_t count, float* sums) noexcept {
  constexpr std::size_t level_count = 4;
  const std::size_t log = count <= 1 ? 0 : static_cast<std::size_t>(std::bit_width(count - 1));
  const std::size_t power = log / level_count > 4 ? log / level_count : 4,
                    step = std::size_t{1} << power;
  float levels[level_count][Width] = {};
  std::size_t done = 0;
  for (; done + step <= count; next += step * Width) {
    Sums::template add_rows<Width>(next, step, levels[0]);
    done += step;
    // A full level moves up; it is full when the digits of `done` below it, in base 2^p, are zero.
    for (std::size_t level = 1; level < level_count; ++level) {
      Sums::template add_lanes<Width>(levels[level - 1], levels[level]);
      std::fill_n(levels[level - 1], Width, 0.0f);
      if ((done >> (level * power) & (step - 1)) != 0) break;
    }
  }
  Sums::template add_rows<Width>(next, count - done, levels[0]);
  for (std::size_t j = 0; j < Width; ++j)
    sums[j] =
        core::ordered(core::ordered(levels[0][j] + levels[1][j]) + levels[2][j]) + levels[3][j];
}

/// The sum of |values| in the order above, on vectors of `Lanes` elements.
template <class Sums, std::size_t Lanes>
[[nodiscard]] inline float sum_of_magnitudes(std::span<const float> values) noexcept {
  constexpr std::size_t row_count = 4, width = row_count * Lanes;
  const std::size_t vectors = values.size() / Lanes, per_row = vectors / row_count;
  const float* next = values.data();
  float sums[width];
  if (per_row < cascade_threshold) {
    Sums::template add_rows<width>(next, per_row, sums);
  } else {
    add_cascades<Sums, width>(next, per_row, sums);
  }
  next += per_row * width;

  for (std::size_t v = per_row * row_count; v < vectors; ++v, next += Lanes)
    for (std::size_t j = 0; j < Lanes; ++j) sums[j] = core::ordered(sums[j] + std::fabs(next[j]));
  for (std::size_t row = 1; row < row_count; ++row)
    Sums::template add_lanes<Lanes>(sums + row * Lanes, sums);

  float sum = 0;
  for (std::size_t i = vectors * Lanes; i < values.size(); ++i)
    sum = core::ordered(sum + std::fabs(*next++));
  for (std::size_t j = 0; j < Lanes; ++j) sum = core::ordered(sum + sums[j]);
  return sum;
}

/// mean|values| in the order above. Precondition: !values.empty().
template <class Sums>
[[nodiscard]] float mean_of_magnitudes(std::span<const float> values) noexcept {
  const float sum =
      values.size() < 8 ? sum_of_magnitudes<Sums, 1>(values) : sum_of_magnitudes<Sums, 8>(values);
  return core::quotient(sum, static_cast<float>(values.size()));
}
/// The loops of `plain_sums` on vectors, where these divide the width.
struct vector_sums {
  using reals = xsimd::batch<float>;

  template <std::size_t Width>
  static void add_rows(const float* next, std::size_t count, float* sums) noexcept {
    if constexpr (Width % reals::size != 0) {
      plain_sums::add_rows<Width>(next, count, sums);
    } else {
      const auto add = [&]<std::size_t... J>(std::index_sequence<J...>) {
        reals sum[] = {(static_cast<void>(J), reals{0.0f})...};
        for (std::size_t i = 0; i < count; ++i, next += Width)
          ((sum[J] = ordered(sum[J] + xsimd::abs(reals::load_unaligned(next + J * reals::size)))),
           ...);
        (sum[J].store_unaligned(sums + J * reals::size), ...);
      };
      add(std::make_index_sequence<Width / reals::size>{});
    }
  }
  template <std::size_t Count>
  static void add_lanes(const float* from, float* to) noexcept {
    if constexpr (Count % reals::size != 0) {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; ++j) to[j] = core::ordered(to[j] + from[j]);
    } else {
      EDGERAZOR_UNROLL
      for (std::size_t j = 0; j < Count; j += reals::size)
        ordered(reals::load_unaligned(to + j) + reals::load_unaligned(from + j))
            .store_unaligned(to + j);
    }
  }
};
}  // namespace detail::policy

EDGERAZOR_FUNCTION float mean_magnitude(std::span<const float> group) noexcept {
  return detail::policy::mean_of_magnitudes<detail::policy::vector_sums>(group);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
