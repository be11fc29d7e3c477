// SPDX-License-Identifier: Apache-2.0
/// The loops of softmax.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/loops.hpp>
#include <edgerazor/distill/row/pass_sums.hpp>
#include <edgerazor/distill/row/softmax.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

template <class Real>
void softmax_gradient_in(const input_row& row, const softmax_sum& whole, double factor,
                         double offset, const output_row& out, const loops& by) noexcept {
  for_each_block(row.size, [&](std::size_t first, std::size_t count) {
    Real buffers[2][block_cols];
    const Real* values = row.block(first, count, by.lanes, buffers[0]);
    by.of<Real>().softmax(values, whole_vectors(count, by), whole.reference, factor / whole.sum,
                          offset, buffers[1]);
    out.store(first, count, buffers[1]);
  });
}

EDGERAZOR_FUNCTION void softmax_gradient(const input_row& row, const softmax_sum& whole,
                                         double factor, double offset,
                                         const output_row& out) noexcept {
  softmax_gradient_in<double>(row, whole, factor, offset, out, best_loops());
}

/// Sum of e^(x - x_at) over the columns but `at`.
template <class Real>
[[nodiscard]] double sum_of_others(const input_row& logits, std::size_t at,
                                   const loops& by) noexcept {
  double sum = 0;
  for_each_block(logits.size, [&](std::size_t first, std::size_t count) {
    Real buffer[block_cols];
    const Real* values = logits.block(first, count, by.lanes, buffer);
    if (at - first < count) {
      if (values != buffer) std::copy(values, values + count, buffer);
      buffer[at - first] = -std::numeric_limits<Real>::infinity();
      values = buffer;
    }
    sum += by.of<Real>().sum_exponentials(values, whole_vectors(count, by), logits[at]);
  });
  return sum;
}

EDGERAZOR_FUNCTION double cross_entropy_row(const input_row& logits, std::size_t label,
                                            double smoothing, double upstream,
                                            const output_row& out, const loops* chosen) noexcept {
  const loops& by = loops_of(chosen);
  const double at_label = logits[label], each = smoothing / static_cast<double>(logits.size);
  // `loss` is -ln q of the label.
  const auto smoothed = [&](double loss, const softmax_sum& whole) noexcept {
    if (smoothing == 0) return loss;
    double sum = 0;
    for (std::size_t i = 0; i < logits.size; ++i) sum += logits[i] - whole.reference;
    return (1 - smoothing) * loss +
           smoothing * (std::log(whole.sum) - sum / static_cast<double>(logits.size));
  };
  const auto differentiate = [&](double loss, const softmax_sum& whole, bool in_float) noexcept {
    if (!out) return;
    const double before = out.accumulate ? out.as_input()[label] : 0;
    if (in_float) {
      softmax_gradient_in<float>(logits, whole, upstream, upstream * each, out, by);
    } else {
      softmax_gradient_in<double>(logits, whole, upstream, upstream * each, out, by);
    }
    // q - 1 without cancellation in float.
    const double slope = upstream * (std::expm1(-loss) + smoothing - each);
    out.set(label, static_cast<float>(before) + static_cast<float>(slope));
  };
  const bool is_long = logits.size >= float_cols;
  const logit_statistics seen =
      teacher_statistics(logits, is_long ? logits.size : 0, 1, chosen);  // or in double
  softmax_sum whole{seen.teacher_reference, seen.teacher_sum};
  double loss = std::log(whole.sum) - (at_label - whole.reference);
  // The digits of a small loss are those of what the sum holds beside the label.
  if (loss < (is_long ? 2e-2 : 1e-3)) {
    const double others = is_long ? sum_of_others<float>(logits, label, by)
                                  : sum_of_others<double>(logits, label, by);
    loss = std::log1p(others);
    whole = {at_label, 1 + others};
  }
  const double value = smoothed(loss, whole);  // before `out` overwrites the row
  differentiate(loss, whole, is_long);
  return value;
}

EDGERAZOR_FUNCTION double router_z_row(const input_row& logits, double upstream,
                                       const output_row& out) noexcept {
  const loops& by = best_loops();
  /// Stands behind the last expert: its exponential is 0, whatever is subtracted.
  constexpr double impossible = -std::numeric_limits<double>::max() / 2;
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < logits.size; ++i) {
    // A NaN is larger than what came before, and nothing that follows is larger than it.
    if (const double z = logits[i]; !(z <= largest)) largest = z;
    if (std::isnan(largest)) break;
  }
  double sum = 1;
  if (!std::isinf(largest)) {
    sum = 0;
    for_each_block(logits.size, [&](std::size_t first, std::size_t count) {
      double buffer[block_cols];
      const double* z = logits.block(first, count, by.lanes, buffer, impossible);
      sum += by.of_doubles.sum_exponentials(z, whole_vectors(count, by), largest);
    });
  }
  const double log_sum = largest + std::log(sum);
  if (!out) return log_sum * log_sum;
  const double slope = 2 * upstream * log_sum / sum;
  for_each_block(logits.size, [&](std::size_t first, std::size_t count) {
    double values[2][block_cols];
    const double* z = logits.block(first, count, by.lanes, values[0], impossible);
    if (std::isinf(log_sum)) {
      for (std::size_t i = 0; i < count; ++i) {
        const bool is_infinite_term = upstream != 0 && z[i] == log_sum;
        values[1][i] = is_infinite_term ? upstream * log_sum : 0.0;
      }
    } else {
      by.of_doubles.softmax(z, whole_vectors(count, by), largest, slope, 0, values[1]);
    }
    out.store_wide(first, count, values[1]);
  });
  return log_sum * log_sum;
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
