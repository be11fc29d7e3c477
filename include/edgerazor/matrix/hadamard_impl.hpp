// SPDX-License-Identifier: Apache-2.0
/// What hadamard.hpp declares.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/kernel/vector/choice.hpp>
#include <edgerazor/kernel/vector/vectors.hpp>
#include <edgerazor/matrix/hadamard.hpp>

EDGERAZOR_BEGIN_INTRINSICS

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::matrix {

/// Orders of cores, in the order in which they are tried.
inline constexpr std::size_t core_orders[] = {172, 156, 140, 108, 60, 52, 36, 28, 40, 20, 12};
inline constexpr std::size_t largest_core = 172;

/// Order of the core of a transform, 0 where there is none.
[[nodiscard]] constexpr std::size_t core_of(std::size_t n) noexcept {
  if (std::has_single_bit(n)) return 1;
  for (const std::size_t m : core_orders) {
    if (n % m == 0 && std::has_single_bit(n / m)) return m;
  }
  return 0;
}

/// The first half, the middle included, of the first rows of Williamson's circulants A, B, C, D:
/// bit i is 1 where element i is 1. Their squares add up to m I.
struct williamson_rows {
  std::size_t order;
  std::uint32_t rows[4];
};
inline constexpr williamson_rows williamson[] = {{52, {0x65, 0x71, 0x4b, 0x21}},
                                                 {156, {0x320a7, 0x50c8f, 0x25167, 0xb82b1}},
                                                 {172, {0x1baf31, 0x2ca1fb, 0xbd4d7, 0x325e3}}};
[[nodiscard]] constexpr const williamson_rows* williamson_of(std::size_t m) noexcept {
  for (const williamson_rows& w : williamson)
    if (w.order == m) return &w;
  return nullptr;
}

/// The rows of a core, or of its transpose: made of circulants, whose row i is a cyclic sequence
/// from place -i on.
class hadamard_core {
 public:
  hadamard_core(std::size_t m, bool transposed) noexcept
      : m_(m), transposed_(transposed), williamson_(williamson_of(m)) {
    if (williamson_) {
      period_ = m / 4;
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t k = 0; k < 2 * period_; ++k) {
          const std::size_t d = k % period_;
          sequence(i)[k] =
              (williamson_->rows[i] >> std::min(d, period_ - d) & 1) != 0 ? 1.0f : -1.0f;
        }
      }
      return;
    }
    // chi(-k), the quadratic character of column less row; k = 0 is the diagonal's.
    period_ = is_second() ? m / 2 - 1 : m == 40 ? 19 : m - 1;
    std::fill_n(sequence(0), 2 * period_, transposed && !is_second() ? 1.0f : -1.0f);
    for (std::size_t i = 1; i < period_; ++i) {
      const std::size_t k = period_ - i * i % period_;
      sequence(0)[k] = sequence(0)[k + period_] = transposed && !is_second() ? -1.0f : 1.0f;
    }
    sequence(0)[0] = sequence(0)[period_] = 1;
  }

  /// Row i: m numbers 1 or -1.
  void row(std::size_t i, float* signs) const noexcept {
    if (williamson_) return row_of_williamson(i, signs);
    if (is_second()) return row_of_second(i, signs);
    row_of_first(m_ == 40 ? i % 20 : i, signs);
    for (std::size_t j = 0; j < 20 && m_ == 40; ++j) signs[20 + j] = i < 20 ? signs[j] : -signs[j];
  }

 private:
  [[nodiscard]] bool is_second() const noexcept { return m_ == 28 || m_ == 36; }
  [[nodiscard]] float* sequence(std::size_t i) noexcept { return elements_ + 2 * period_ * i; }
  [[nodiscard]] const float* circulant(std::size_t which, std::size_t i) const noexcept {
    return elements_ + 2 * period_ * which + (period_ - i);
  }

  /// Paley I: [1 -1 ...; 1 I + Q], Q skew, of chi(i - j).
  void row_of_first(std::size_t i, float* signs) const noexcept {
    const float border = transposed_ ? -1.0f : 1.0f;
    signs[0] = i == 0 ? 1.0f : border;
    if (i == 0) return static_cast<void>(std::fill_n(signs + 1, period_, -border));
    std::copy_n(circulant(0, i - 1), period_, signs + 1);
  }
  /// Paley II: [S + I, S - I; S - I, -S - I], S = [0 1; 1 Q], Q symmetric. So is the core.
  void row_of_second(std::size_t i, float* signs) const noexcept {
    const std::size_t half = m_ / 2, a = i % half;
    float* const right = signs + half;
    signs[0] = 1;
    if (a == 0) std::fill_n(signs + 1, period_, 1.0f);
    if (a != 0) std::copy_n(circulant(0, a - 1), period_, signs + 1);
    for (std::size_t j = 0; j < half; ++j) right[j] = i < half ? signs[j] : -signs[j];
    signs[a] = i < half ? 1.0f : -1.0f;
    right[a] = -1;
  }
  /// [A B C D; -B A -D C; -C D A -B; -D -C B A], all four symmetric.
  void row_of_williamson(std::size_t i, float* signs) const noexcept {
    constexpr int block[4][4] = {{1, 2, 3, 4}, {-2, 1, -4, 3}, {-3, 4, 1, -2}, {-4, -3, 2, 1}};
    for (std::size_t j = 0; j < 4; ++j, signs += period_) {
      const int which = transposed_ ? block[j][i / period_] : block[i / period_][j];
      const float* const from =
          circulant(static_cast<std::size_t>(which < 0 ? -which : which) - 1, i % period_);
      for (std::size_t k = 0; k < period_; ++k) signs[k] = which < 0 ? -from[k] : from[k];
    }
  }

  std::size_t m_, period_ = 0;
  bool transposed_;
  const williamson_rows* williamson_;
  float elements_[2 * largest_core];
};

// NOLINTNEXTLINE(bugprone-macro-parentheses)
#define EDGERAZOR_LOOPS <edgerazor/matrix/loops/hadamard.inl>
#include <edgerazor/kernel/vector/each.inl>
#undef EDGERAZOR_LOOPS

EDGERAZOR_FUNCTION std::span<const hadamard_loops* const> available_hadamard_loops() noexcept {
  static const kernel::vector::available_tables<hadamard_loops> available{tables};
  return available.all();
}

/// values = the transform of its blocks, by those loops.
EDGERAZOR_FUNCTION void transform_blocks(const hadamard_loops& loops, std::size_t order,
                                         std::size_t core_order, float factor, bool back,
                                         std::span<float> values) noexcept {
  const std::size_t power = order / core_order;
  // Sylvester's matrix is symmetric: back or not is the same.
  loops.butterflies(values.data(), values.size(), power);
  if (core_order == 1) {
    for (float& value : values) value *= factor;
    return;
  }
  // So many columns of the core's input at once, side by side.
  constexpr std::size_t width = hadamard_loops::width, rows = hadamard_loops::rows;
  alignas(64) float in[largest_core * width], out[rows * width];
  float signs[rows * largest_core];
  const hadamard_core core(core_order, back);
  for (std::size_t block = 0; block < values.size(); block += order) {
    for (std::size_t first = 0; first < power; first += width) {
      float* const at = values.data() + block + first;
      const std::size_t count = std::min(width, power - first);
      for (std::size_t i = 0; i < core_order; ++i) {
        std::copy_n(at + i * power, count, in + i * width);
        std::fill_n(in + i * width + count, width - count, 0.0f);
      }
      for (std::size_t i = 0; i < core_order; i += rows) {
        for (std::size_t r = 0; r < rows; ++r) core.row(i + r, signs + r * core_order);
        loops.core_rows(in, core_order, count, signs, factor, out);
        for (std::size_t r = 0; r < rows; ++r)
          std::copy_n(out + r * width, count, at + (i + r) * power);
      }
    }
  }
}

}  // namespace detail::matrix

EDGERAZOR_FUNCTION bool hadamard::has_order(std::size_t n) noexcept {
  return detail::matrix::core_of(n) != 0;
}

EDGERAZOR_FUNCTION hadamard::hadamard(std::size_t n)
    : order_(n),
      core_(detail::matrix::core_of(n)),
      factor_(static_cast<float>(1 / std::sqrt(static_cast<double>(n)))) {
  if (core_ != 0) return;
  detail::core::fail(
      "hadamard: there is no transform of order " + std::to_string(n) +
      ", expected a power of two, or one times 12, 20, 28, 36, 40, 52, 60, 108, 140, 156 or 172");
}

EDGERAZOR_FUNCTION int hadamard::sign(std::size_t row, std::size_t col) const noexcept {
  const std::size_t power = order_ / core_;
  float signs[detail::matrix::largest_core] = {1};
  if (core_ != 1) detail::matrix::hadamard_core(core_, false).row(row / power, signs);
  const int of_core = signs[col / power] > 0 ? 1 : -1;
  return std::popcount((row % power) & (col % power)) % 2 == 0 ? of_core : -of_core;
}

EDGERAZOR_FUNCTION void hadamard::transform(std::span<float> values) const noexcept {
  detail::matrix::transform_blocks(*detail::matrix::available_hadamard_loops().front(), order_,
                                   core_, factor_, false, values);
}
EDGERAZOR_FUNCTION void hadamard::transform_back(std::span<float> values) const noexcept {
  detail::matrix::transform_blocks(*detail::matrix::available_hadamard_loops().front(), order_,
                                   core_, factor_, true, values);
}

EDGERAZOR_FUNCTION void rotate_rows(matrix_view<float> weights, const hadamard& h) {
  if (weights.cols % h.order() != 0) {
    detail::core::fail("rotate_rows: weights of " + std::to_string(weights.cols) +
                       " columns are no multiple of the transform's order " +
                       std::to_string(h.order()));
  }
  for (std::size_t r = 0; r < weights.rows; ++r) h.transform(weights.row(r));
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor

EDGERAZOR_END_INTRINSICS
