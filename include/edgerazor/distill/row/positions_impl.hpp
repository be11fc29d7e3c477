// SPDX-License-Identifier: Apache-2.0
/// The loops of positions.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/features_impl.hpp>
#include <edgerazor/distill/row/kl_parity.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/positions.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

/// Columns [first, first + count) of the group's mean, continued by 0 to whole vectors.
inline void mean_block(const row_group& group, std::size_t first, std::size_t count,
                       const loops& by, bool clamps, double (&out)[block_cols]) noexcept {
  std::fill(out, out + block_cols, 0.0);
  for (std::size_t g = 0; g < group.count; ++g) {
    double buffer[block_cols];
    const double* x = group[g].block(first, count, by.lanes, buffer, 0.0);
    // An entry below 0 must not hide in a mean.
    for (std::size_t i = 0; i < count; ++i)
      out[i] += !clamps && x[i] < 0 ? std::numeric_limits<double>::quiet_NaN() : x[i];
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
  const loops& by = best_loops();
  double sum = 0;
  for_each_block(width, [&](std::size_t first, std::size_t count) {
    double p[block_cols];
    mean_block(teacher, first, count, by, false, p);
    sum += by.entropy(p, whole_vectors(count, by));
  });
  return sum;
}

EDGERAZOR_FUNCTION kl_divergences attention_row(const input_row& student, const row_group& teacher,
                                                const kl_blend& blend, bool parity,
                                                const output_row& out) noexcept {
  const loops& by = best_loops();
  kl_divergences both;
  for_each_block(student.size, [&](std::size_t first, std::size_t count) {
    double buffer[block_cols], of_teacher[block_cols], slopes[block_cols];
    const double* of_student = student.block(first, count, by.lanes, buffer, 0.0);
    mean_block(teacher, first, count, by, parity, of_teacher);
    const kl_divergences part =
        by.compare_probabilities(of_student, of_teacher, whole_vectors(count, by), blend,
                                 parity ? parity_epsilon : 0.0, out ? slopes : nullptr);
    both.forward += part.forward;
    both.reverse += part.reverse;
    if (out) out.store_wide(first, count, slopes);
  });
  return both;
}

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
  const double ln_sum = std::log(best_loops().of_doubles.sum_exponentials(out, cols, largest));
  for (std::size_t j = 0; j < tokens; ++j) out[j] = (out[j] - largest) - ln_sum;
}

EDGERAZOR_FUNCTION double relation_entropy(const double* ln_p, std::size_t tokens,
                                           bool parity) noexcept {
  if (parity)
    return parity_entropy(tokens, [&](std::size_t j) { return std::exp(std::exp(ln_p[j])); });
  return best_loops().logarithm_entropy(ln_p, relation_cols(tokens));
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
  const loops& by = best_loops();
  const kl_divergences both = by.compare_logarithms(ln_q, ln_p, cols);
  if (slopes != nullptr) by.logarithm_slopes(ln_q, ln_p, cols, blend, both.reverse, slopes);
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
