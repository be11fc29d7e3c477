// SPDX-License-Identifier: Apache-2.0
/// The loops of features.hpp.
#pragma once

#include <cmath>
#include <cstddef>

#include <edgerazor/distill/row/exp_impl.hpp>
#include <edgerazor/distill/row/features.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// sum of f(i) over the vectors of a row of `size` columns, in two accumulators.
/// `begin_block(first, count)` stands before a block's calls f(column - first).
template <class Begin, class F>
[[nodiscard]] double sum_blocks(std::size_t size, Begin&& begin_block, F&& f) {
  doubles even{0.0}, odd{0.0};
  for_each_block(size, [&](std::size_t first, std::size_t count) {
    begin_block(first, count);
    std::size_t i = 0;
    for (; i + 2 * doubles::size <= count; i += 2 * doubles::size) {
      even += f(i);
      odd += f(i + doubles::size);
    }
    for (; i < count; i += doubles::size) even += f(i);
  });
  return xsimd::reduce_add(even + odd);
}

/// sum of f(vector of a, vector of b) over two rows of the same size, continued by `beyond`.
template <class F>
[[nodiscard]] double sum_over(const input_row& a, const input_row& b, F&& f, double beyond = 0) {
  double buffers[2][block_cols];
  const double *x = nullptr, *y = nullptr;
  return sum_blocks(
      a.size,
      [&](std::size_t first, std::size_t count) {
        x = a.block(first, count, doubles::size, buffers[0], beyond);
        y = b.block(first, count, doubles::size, buffers[1], beyond);
      },
      [&](std::size_t i) {
        return f(doubles::load_unaligned(x + i), doubles::load_unaligned(y + i));
      });
}

/// out = f(vector of a, vector of b).
template <class F>
void transform_rows(const input_row& a, const input_row& b, const output_row& out, F&& f) {
  for_each_block(a.size, [&](std::size_t first, std::size_t count) {
    double buffers[3][block_cols];
    const double* x = a.block(first, count, doubles::size, buffers[0], 0.0);
    const double* y = b.block(first, count, doubles::size, buffers[1], 0.0);
    for (std::size_t i = 0; i < count; i += doubles::size) {
      f(doubles::load_unaligned(x + i), doubles::load_unaligned(y + i))
          .store_unaligned(buffers[2] + i);
    }
    out.store_wide(first, count, buffers[2]);
  });
}

EDGERAZOR_FUNCTION double dot(const input_row& a, const input_row& b) noexcept {
  return sum_over(a, b, [](const doubles& x, const doubles& y) noexcept { return x * y; });
}

EDGERAZOR_FUNCTION double squared_distance(const input_row& student, const input_row& teacher,
                                           double share, double upstream,
                                           const output_row& out) noexcept {
  const double sum = sum_over(student, teacher, [](const doubles& s, const doubles& t) noexcept {
    const doubles difference = s - t;
    return difference * difference;
  });
  if (out) {
    const doubles slope{2 * upstream * share};
    transform_rows(student, teacher, out, [&](const doubles& s, const doubles& t) noexcept {
      const doubles difference = s - t;
      return slope * difference;
    });
  }
  return share * sum;
}

/// d / ds = (cos s / |s| - t / |t|) / |s|
EDGERAZOR_FUNCTION double cosine_distance(const input_row& student, const input_row& teacher,
                                          double upstream, const output_row& out) noexcept {
  // Squares of floats neither overflow nor vanish in double: no epsilon is needed.
  const double student_norm = std::sqrt(dot(student, student));
  const double teacher_norm = std::sqrt(dot(teacher, teacher));
  const bool directed = student_norm != 0 && teacher_norm != 0;
  const doubles unit_s{directed ? 1 / student_norm : 0.0},
      unit_t{directed ? 1 / teacher_norm : 0.0};
  const double cosine = sum_over(
      student, teacher,
      [&](const doubles& s, const doubles& t) noexcept { return (s * unit_s) * (t * unit_t); });
  double value = 1 - cosine;
  // Near 1 the difference would cancel; half the squared distance of the unit vectors is the same
  // and doesn't.
  if (cosine > 0.5) {
    value = 0.5 * sum_over(student, teacher, [&](const doubles& s, const doubles& t) noexcept {
              const doubles difference = s * unit_s - t * unit_t;
              return difference * difference;
            });
  }
  if (out) {
    const doubles along{cosine}, slope{directed ? upstream / student_norm : 0.0};
    transform_rows(student, teacher, out, [&](const doubles& s, const doubles& t) noexcept {
      const doubles turn = along * (s * unit_s) - t * unit_t;
      return slope * turn;
    });
  }
  return value;
}

EDGERAZOR_FUNCTION void add_multiple(double factor, const input_row& row, double* to) noexcept {
  const output_row out{to, row.size, true};
  const doubles slope{factor};
  transform_rows(row, row, out,
                 [&](const doubles& x, const doubles&) noexcept { return slope * x; });
}

EDGERAZOR_FUNCTION void add_multiples(std::span<const double> factors,
                                      std::span<const input_row> rows,
                                      const output_row& out) noexcept {
  for_each_block(out.size, [&](std::size_t first, std::size_t count) {
    double buffer[block_cols];
    alignas(doubles) double sums[block_cols] = {};
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const double* x = rows[k].block(first, count, doubles::size, buffer, 0.0);
      const doubles factor{factors[k]};
      for (std::size_t i = 0; i < count; i += doubles::size) {
        doubles sum = doubles::load_aligned(sums + i);
        sum += factor * doubles::load_unaligned(x + i);
        sum.store_aligned(sums + i);
      }
    }
    out.store_wide(first, count, sums);
  });
}

EDGERAZOR_FUNCTION double summed_variance(const input_row& first, std::size_t rows,
                                          std::size_t stride,
                                          std::span<const std::uint8_t> mask) noexcept {
  const auto* const bytes = static_cast<const std::byte*>(first.data);
  double total = 0;
  for (std::size_t column = 0; column < first.size; column += doubles::size) {
    std::size_t counted = 0;
    // f(vector of features) of every row that counts.
    const auto for_each_row = [&](auto&& f) noexcept {
      counted = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        if (!mask.empty() && mask[i] == 0) continue;
        ++counted;
        double buffer[doubles::size];
        const input_row row{bytes + i * stride * size_of(first.type), first.size, first.type};
        f(doubles::load_unaligned(row.block(column, std::min(doubles::size, first.size - column),
                                            doubles::size, buffer, 0.0)));
      }
    };
    doubles sum{0.0}, squares{0.0};
    for_each_row([&](const doubles& x) noexcept { sum += x; });
    if (counted < 2) return 0;
    const doubles mean = sum / doubles{static_cast<double>(counted)};
    for_each_row([&](const doubles& x) noexcept {
      const doubles difference = x - mean;
      squares += difference * difference;
    });
    total += xsimd::reduce_add(squares) / static_cast<double>(counted - 1);
  }
  return total;
}

EDGERAZOR_FUNCTION float float_dot(const float* a, const float* b, std::size_t size) noexcept {
  floats sums[4] = {floats{0.0f}, floats{0.0f}, floats{0.0f}, floats{0.0f}};
  std::size_t i = 0;
  for (; i + 4 * floats::size <= size; i += 4 * floats::size) {
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = i + k * floats::size;
      sums[k] = xsimd::fma(floats::load_unaligned(a + at), floats::load_unaligned(b + at), sums[k]);
    }
  }
  float sum = xsimd::reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

EDGERAZOR_FUNCTION void float_add_multiple(float factor, const float* from, std::size_t size,
                                           float* to) noexcept {
  const floats factors{factor};
  const std::size_t whole = size - size % floats::size;
  for (std::size_t i = 0; i < whole; i += floats::size) {
    xsimd::fma(factors, floats::load_unaligned(from + i), floats::load_unaligned(to + i))
        .store_unaligned(to + i);
  }
  for (std::size_t i = whole; i < size; ++i) to[i] += factor * from[i];
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
