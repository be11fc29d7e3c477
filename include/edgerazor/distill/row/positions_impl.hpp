// SPDX-License-Identifier: Apache-2.0
/// The loops of positions.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/features_impl.hpp>
#include <edgerazor/distill/row/kl_parity.hpp>
#include <edgerazor/distill/row/kl_sums_impl.hpp>
#include <edgerazor/distill/row/positions.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Columns [first, first + count) of the group's mean, continued by 0 to whole vectors.
inline void mean_block(const row_group& group, std::size_t first, std::size_t count,
                       double (&out)[block_cols]) noexcept {
  std::fill(out, out + block_cols, 0.0);
  for (std::size_t g = 0; g < group.count; ++g) {
    double buffer[block_cols];
    const double* x = group[g].block(first, count, doubles::size, buffer, 0.0);
    for (std::size_t i = 0; i < count; ++i) out[i] += x[i];
  }
  const auto rows = static_cast<double>(group.count);
  for (std::size_t i = 0; group.count != 1 && i < count; ++i) out[i] /= rows;
}

EDGERAZOR_FUNCTION double attention_entropy(const row_group& teacher, bool parity) noexcept {
  const std::size_t width = teacher.first.size;
  if (parity) {
    return parity_entropy(width, [&](std::size_t i) {
      double sum = 0;
      for (std::size_t g = 0; g < teacher.count; ++g) sum += teacher[g][i];
      return std::exp(sum / static_cast<double>(teacher.count));
    });
  }
  double p[block_cols];
  return -sum_blocks(
      width, [&](std::size_t first, std::size_t count) { mean_block(teacher, first, count, p); },
      [&](std::size_t i) {
        const doubles pi = doubles::load_unaligned(p + i);
        return xsimd::select(pi == doubles{0.0}, doubles{0.0}, pi * xsimd::log(pi));
      });
}

EDGERAZOR_FUNCTION kl_divergences attention_row(const input_row& student, const row_group& teacher,
                                                const kl_blend& blend, bool parity,
                                                const output_row& out) noexcept {
  const doubles zero{0.0}, one{1.0}, least{parity ? parity_epsilon : 0.0};
  // Not max(a, b), which may give b where a is NaN. Below 0 there is no probability.
  const doubles floor{parity ? parity_epsilon : std::numeric_limits<double>::quiet_NaN()};
  const auto clamped = [&](const doubles& x) noexcept {
    return xsimd::select(x < least, floor, x);
  };
  doubles forward{0.0}, reverse{0.0};
  for_each_block(student.size, [&](std::size_t first, std::size_t count) {
    double buffer[block_cols], of_teacher[block_cols], slopes[block_cols];
    const double* of_student = student.block(first, count, doubles::size, buffer, 0.0);
    mean_block(teacher, first, count, of_teacher);
    for (std::size_t i = 0; i < count; i += doubles::size) {
      const doubles seen = doubles::load_unaligned(of_student + i), q = clamped(seen),
                    p = clamped(doubles::load_unaligned(of_teacher + i));
      const auto no_p = p == zero, no_q = q == zero;
      // ln(q / p), with what rounding takes from a quotient near 1: the difference is exact.
      const doubles quotient = q / p, apart = (q - p) / p;
      const doubles lost = xsimd::select(xsimd::abs(apart) < doubles{0.5},
                                         (apart - (quotient - one)) / quotient, zero);
      const doubles ratio = xsimd::log(quotient) + lost;
      forward -= xsimd::select(no_p, q * zero, p * ratio);
      reverse += xsimd::select(no_q, p * zero, q * ratio);
      if (!out) continue;
      doubles slope = zero;
      if (blend.forward != 0)
        slope -= xsimd::select(no_p, q * zero, doubles{blend.forward} * (p / q));
      if (blend.reverse != 0) {
        slope += xsimd::select(no_p && no_q, zero, doubles{blend.reverse} * (ratio + one));
      }
      (parity ? xsimd::select(seen < least, zero, slope) : slope).store_unaligned(slopes + i);
    }
    if (out) out.store_wide(first, count, slopes);
  });
  return {xsimd::reduce_add(forward), xsimd::reduce_add(reverse)};
}

static_assert(relation_padding % doubles::size == 0);

EDGERAZOR_FUNCTION void relate(const double* states, std::size_t tokens, std::size_t width,
                               std::size_t i, double* out) noexcept {
  constexpr double no_relation = -1e30;
  const double inverse_root = 1 / std::sqrt(static_cast<double>(width));
  double largest = -std::numeric_limits<double>::infinity();  // a NaN is found in the sum
  for (std::size_t j = 0; j < tokens; ++j) {
    out[j] = inverse_root * dot({states + i * width, width}, {states + j * width, width});
    // Minus infinity would be a relation of 0, and the infinity that made it gone.
    if (std::isinf(out[j])) out[j] = std::numeric_limits<double>::quiet_NaN();
    largest = std::max(largest, out[j]);
  }
  const std::size_t cols = relation_cols(tokens);
  std::fill(out + tokens, out + cols, no_relation);
  const doubles shift{largest};
  const auto exponential = [&](const doubles& z, const doubles&) { return row::exp(z - shift); };
  const double ln_sum = std::log(sum_over({out, cols}, {out, cols}, exponential));
  for (std::size_t j = 0; j < tokens; ++j) out[j] = (out[j] - largest) - ln_sum;
}

EDGERAZOR_FUNCTION double relation_entropy(const double* ln_p, std::size_t tokens,
                                           bool parity) noexcept {
  if (parity)
    return parity_entropy(tokens, [&](std::size_t j) { return std::exp(std::exp(ln_p[j])); });
  const input_row logs{ln_p, relation_cols(tokens)};
  return -sum_over(logs, logs, [](const doubles& ln, const doubles&) { return row::exp(ln) * ln; });
}

EDGERAZOR_FUNCTION kl_divergences relation_row(const double* ln_q, const double* ln_p,
                                               std::size_t tokens, const kl_blend& blend,
                                               bool parity, double* slopes) noexcept {
  const std::size_t cols = relation_cols(tokens);
  if (parity) {
    kl_divergences both;
    double sum = 0;
    const double least = std::log(parity_epsilon);
    const auto slope = [&](std::size_t j) noexcept {
      if (ln_q[j] < least) return 0.0;
      const double p = std::max(ln_p[j], least), q = std::max(ln_q[j], least);
      return blend.reverse * std::exp(q) * (q - p + 1) - blend.forward * std::exp(p);
    };
    for (std::size_t j = 0; j < tokens; ++j) {
      const double p = std::max(ln_p[j], least), q = std::max(ln_q[j], least);
      both.forward += std::exp(p) * (p - q);
      both.reverse += std::exp(q) * (q - p);
      sum += slope(j);
    }
    for (std::size_t j = 0; slopes != nullptr && j < tokens; ++j)
      slopes[j] = slope(j) - std::exp(ln_q[j]) * sum;
    return both;
  }
  // From ln p and ln q, no term below 0: see probability_pair.
  const auto share = [](const doubles& ln_from, const doubles& ln_to) noexcept {
    const doubles x = ln_to - ln_from, from = row::exp(ln_from);
    return xsimd::select(xsimd::abs(x) <= doubles{small_difference}, from * exponential_excess(x),
                         row::exp(ln_to) - from - from * x);
  };
  const kl_divergences both{.forward = sum_over({ln_p, cols}, {ln_q, cols}, share),
                            .reverse = sum_over({ln_q, cols}, {ln_p, cols}, share)};
  for (std::size_t j = 0; slopes != nullptr && j < cols; j += doubles::size) {
    const doubles of_q = doubles::load_unaligned(ln_q + j),
                  of_p = doubles::load_unaligned(ln_p + j);
    const doubles q = row::exp(of_q), p = row::exp(of_p), x = of_q - of_p;
    const doubles rise = xsimd::select(xsimd::abs(x) <= doubles{small_difference},
                                       p * (x + exponential_excess(x)), q - p);
    (doubles{blend.forward} * rise + doubles{blend.reverse} * q * (x - doubles{both.reverse}))
        .store_unaligned(slopes + j);
  }
  return both;
}

EDGERAZOR_FUNCTION void relate_back(const double* states, std::size_t tokens, std::size_t width,
                                    std::size_t i, const double* slopes,
                                    double* gradient) noexcept {
  const double inverse_root = 1 / std::sqrt(static_cast<double>(width));
  for (std::size_t j = 0; j < tokens; ++j) {
    const double slope = slopes[j] * inverse_root;
    add_multiple(slope, {states + j * width, width}, gradient + i * width);
    add_multiple(slope, {states + i * width, width}, gradient + j * width);
  }
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
