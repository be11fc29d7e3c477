// SPDX-License-Identifier: Apache-2.0
/// The loops of features.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <edgerazor/distill/row/features.hpp>
#include <edgerazor/distill/row/loops.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// sum of f(x, y, count) over the blocks of two rows of the same size, continued by `beyond`.
template <class F>
[[nodiscard]] double sum_blocks(const input_row& a, const input_row& b, const loops& by, F&& f,
                                double beyond = 0) {
  double total = 0;
  for_each_block(a.size, [&](std::size_t first, std::size_t count) {
    double buffers[2][block_cols];
    const double* x = a.block(first, count, by.lanes, buffers[0], beyond);
    const double* y = b.block(first, count, by.lanes, buffers[1], beyond);
    total += f(x, y, whole_vectors(count, by));
  });
  return total;
}

/// out = factor * (scale_a * a - scale_b * b).
inline void write_difference(const input_row& a, const input_row& b, double scale_a, double scale_b,
                             double factor, const loops& by, const output_row& out) {
  for_each_block(a.size, [&](std::size_t first, std::size_t count) {
    double buffers[3][block_cols];
    const double* x = a.block(first, count, by.lanes, buffers[0], 0.0);
    const double* y = b.block(first, count, by.lanes, buffers[1], 0.0);
    by.scaled_difference(x, y, whole_vectors(count, by), scale_a, scale_b, factor, buffers[2]);
    out.store_wide(first, count, buffers[2]);
  });
}

EDGERAZOR_FUNCTION double dot(const input_row& a, const input_row& b) noexcept {
  const loops& by = best_loops();
  return sum_blocks(a, b, by, by.dot);
}

EDGERAZOR_FUNCTION double squared_distance(const input_row& student, const input_row& teacher,
                                           double share, double upstream,
                                           const output_row& out) noexcept {
  const loops& by = best_loops();
  const double sum =
      sum_blocks(student, teacher, by, [&](const double* s, const double* t, std::size_t count) {
        return by.squared_distance(s, t, count, 1);
      });
  if (out) write_difference(student, teacher, 1, 1, 2 * upstream * share, by, out);
  return share * sum;
}

/// d / ds = (cos s / |s| - t / |t|) / |s|
EDGERAZOR_FUNCTION double cosine_distance(const input_row& student, const input_row& teacher,
                                          double upstream, const output_row& out) noexcept {
  const loops& by = best_loops();
  // Squares of floats neither overflow nor vanish in double: no epsilon is needed.
  const double student_norm = std::sqrt(dot(student, student));
  const double teacher_norm = std::sqrt(dot(teacher, teacher));
  const bool directed = student_norm != 0 && teacher_norm != 0;
  const double unit_s = directed ? 1 / student_norm : 0, unit_t = directed ? 1 / teacher_norm : 0;
  const double cosine = unit_s * unit_t * dot(student, teacher);
  double value = 1 - cosine;
  // Near 1 the difference would cancel; half the squared distance of the unit vectors is the same
  // and doesn't.
  if (cosine > 0.5) {
    value = 0.5 * unit_s * unit_s *
            sum_blocks(student, teacher, by, [&](const double* s, const double* t, std::size_t n) {
              return by.squared_distance(s, t, n, unit_t / unit_s);
            });
  }
  if (out) {
    write_difference(student, teacher, cosine * unit_s, unit_t,
                     directed ? upstream / student_norm : 0, by, out);
  }
  return value;
}

EDGERAZOR_FUNCTION void add_multiple(double factor, const input_row& row, double* to) noexcept {
  const loops& by = best_loops();
  for_each_block(row.size, [&](std::size_t first, std::size_t count) {
    double buffers[2][block_cols];
    const double* x = row.block(first, count, by.lanes, buffers[0], 0.0);
    const std::size_t padded = whole_vectors(count, by);
    if (padded == count) return by.add_multiple(factor, x, count, to + first);
    std::copy(to + first, to + first + count, buffers[1]);
    std::fill(buffers[1] + count, buffers[1] + padded, 0.0);
    by.add_multiple(factor, x, padded, buffers[1]);
    std::copy(buffers[1], buffers[1] + count, to + first);
  });
}

EDGERAZOR_FUNCTION void add_multiples(std::span<const double> factors,
                                      std::span<const input_row> rows,
                                      const output_row& out) noexcept {
  const loops& by = best_loops();
  for_each_block(out.size, [&](std::size_t first, std::size_t count) {
    double buffer[block_cols], sums[block_cols] = {};
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const double* x = rows[k].block(first, count, by.lanes, buffer, 0.0);
      by.add_multiple(factors[k], x, whole_vectors(count, by), sums);
    }
    out.store_wide(first, count, sums);
  });
}

EDGERAZOR_FUNCTION double summed_variance(const input_row& first, std::size_t rows,
                                          std::size_t stride,
                                          std::span<const std::uint8_t> mask) noexcept {
  const loops& by = best_loops();
  const auto* const bytes = static_cast<const std::byte*>(first.data);
  double total = 0;
  std::size_t counted = 0;
  for_each_block(first.size, [&](std::size_t column, std::size_t count) {
    // f(block of features) of every row that counts.
    const auto for_each_row = [&](auto&& f) noexcept {
      counted = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        if (!mask.empty() && mask[i] == 0) continue;
        ++counted;
        double buffer[block_cols];
        const input_row row{bytes + i * stride * size_of(first.type), first.size, first.type};
        f(row.block(column, count, by.lanes, buffer, 0.0));
      }
    };
    double mean[block_cols] = {};
    for_each_row(
        [&](const double* x) noexcept { by.add_multiple(1, x, whole_vectors(count, by), mean); });
    if (counted < 2) return;
    for (std::size_t i = 0; i < count; ++i) mean[i] /= static_cast<double>(counted);
    double squares = 0;
    for_each_row([&](const double* x) noexcept {
      squares += by.squared_distance(x, mean, whole_vectors(count, by), 1);
    });
    total += squares / static_cast<double>(counted - 1);
  });
  return total;
}

EDGERAZOR_FUNCTION float float_dot(const float* a, const float* b, std::size_t size) noexcept {
  return best_loops().float_dot(a, b, size);
}

EDGERAZOR_FUNCTION void float_add_multiple(float factor, const float* from, std::size_t size,
                                           float* to) noexcept {
  best_loops().float_add_multiple(factor, from, size, to);
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
