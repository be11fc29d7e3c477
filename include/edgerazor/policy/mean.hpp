// SPDX-License-Identifier: Apache-2.0
/// The mean magnitude of a group, added in one fixed order: the same bits on every machine and for
/// every width of vectors.
///
/// A float sum depends on its order, and a scale's last bit decides codes at a rounding boundary.
/// The order is that of EdgeRazor (Python) on PyTorch 1.13 (float32, CPU with 8-lane vectors), so
/// that its scales are reproduced to the bit:
///
///     lanes L = 8 (L = 1 for groups of fewer than 8); vectors v_0, v_1, ... of L consecutive
///         elements
///     four interleaved rows: row k takes v_k, v_{k+4}, v_{k+8}, ...; the vectors past the last
///         whole four go to row 0
///     a row is a cascade of four levels: 2^p vectors sum into level 0, 2^p such sums into level 1,
///         and so on, with p = max(4, ceil(log2(vectors per row)) / 4); at the end the levels are
///         added, lowest first
///     rows are added in order: ((row 0 + row 1) + row 2) + row 3
///     elements past the last whole vector are summed first, in order; then the L lanes are added
///         to that sum, in order
///
/// For the sizes of groups (up to 512 elements: at most 16 vectors a row) the cascade is a plain
/// sum of each row.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <span>

#include <edgerazor/core/config.hpp>
#include <edgerazor/core/exact.hpp>

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
EDGERAZOR_INLINE void add_cascades(const float* next, std::size_t count, float* sums) noexcept {
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
[[nodiscard]] EDGERAZOR_INLINE float sum_of_magnitudes(std::span<const float> values) noexcept {
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

/// mean|values| in the order above. Precondition: !values.empty(). Becomes part of the function
/// that calls it, so that what it calls in turn may be of that function's instruction set.
template <class Sums>
[[nodiscard]] EDGERAZOR_INLINE float mean_of_magnitudes(std::span<const float> values) noexcept {
  const float sum =
      values.size() < 8 ? sum_of_magnitudes<Sums, 1>(values) : sum_of_magnitudes<Sums, 8>(values);
  return core::quotient(sum, static_cast<float>(values.size()));
}
}  // namespace detail::policy

/// mean|w| in the order above; NaN where a weight is NaN. Precondition: !group.empty().
///
/// Plain loops, the reference implementation. Functions of whole matrices give a policy a group
/// that brings a vector form of the same name and bits with it (vector_group.hpp).
[[nodiscard]] inline float mean_magnitude(std::span<const float> group) noexcept {
  return detail::policy::mean_of_magnitudes<detail::policy::plain_sums>(group);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
