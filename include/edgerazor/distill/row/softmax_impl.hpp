// SPDX-License-Identifier: Apache-2.0
/// The loops of softmax.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <edgerazor/distill/row/features_impl.hpp>
#include <edgerazor/distill/row/kl_row.hpp>
#include <edgerazor/distill/row/kl_sums_impl.hpp>
#include <edgerazor/distill/row/softmax.hpp>

EDGERAZOR_BEGIN_INTRINSICS
namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::row {

template <class Real>
void softmax_gradient_in(const input_row& row, const softmax_sum& whole, double factor,
                         double offset, const output_row& out) noexcept {
  using reals = vector<Real>;
  const exponents<Real> of_row{whole.reference, 1};
  const reals scale{static_cast<Real>(factor / whole.sum)}, shift{static_cast<Real>(offset)};
  for_each_block(row.size, [&](std::size_t first, std::size_t count) {
    Real buffers[2][block_cols];
    const Real* values = row.block(first, count, reals::size, buffers[0]);
    for (std::size_t i = 0; i < count; i += reals::size) {
      const reals q = exp_of_units(of_row(values + i));
      xsimd::fms(q, scale, shift).store_unaligned(buffers[1] + i);
    }
    out.store(first, count, buffers[1]);
  });
}

EDGERAZOR_FUNCTION void softmax_gradient(const input_row& row, const softmax_sum& whole,
                                         double factor, double offset,
                                         const output_row& out) noexcept {
  softmax_gradient_in<double>(row, whole, factor, offset, out);
}

/// Sum of e^(x - x_at) over the columns but `at`.
[[nodiscard]] inline double sum_of_others(const input_row& logits, std::size_t at) noexcept {
  const doubles reference{logits[at]};
  double sum = 0;
  for_each_block(logits.size, [&](std::size_t first, std::size_t count) {
    double buffer[block_cols];
    static_cast<void>(logits.block(first, count, doubles::size, buffer));  // rows are not of double
    if (at - first < count) buffer[at - first] = -std::numeric_limits<double>::infinity();
    doubles sums{0.0};
    for (std::size_t i = 0; i < count; i += doubles::size)
      sums += row::exp(doubles::load_unaligned(buffer + i) - reference);
    sum += xsimd::reduce_add(sums);
  });
  return sum;
}

EDGERAZOR_FUNCTION double cross_entropy_row(const input_row& logits, std::size_t label,
                                            double smoothing, double upstream,
                                            const output_row& out) noexcept {
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
      softmax_gradient_in<float>(logits, whole, upstream, upstream * each, out);
    } else {
      softmax_gradient_in<double>(logits, whole, upstream, upstream * each, out);
    }
    // q - 1 without cancellation in float.
    const double slope = upstream * (std::expm1(-loss) + smoothing - each);
    out.set(label, static_cast<float>(before) + static_cast<float>(slope));
  };
  if (logits.size >= float_cols) {
    const logit_statistics seen = teacher_statistics(logits, logits.size, 1);
    const softmax_sum whole{seen.teacher_reference, seen.teacher_sum};
    // Rounding of the sum is 1e-8 of what is near the loss itself.
    if (const double loss = std::log(whole.sum) - (at_label - whole.reference);
        loss > 2e-2 || !(loss == loss)) {
      const double value = smoothed(loss, whole);  // before `out` overwrites the row
      differentiate(loss, whole, true);
      return value;
    }
  }
  const logit_statistics seen = teacher_statistics(logits, 0, 1);  // in double
  const softmax_sum whole{seen.teacher_reference, seen.teacher_sum};
  double loss = std::log(whole.sum) - (at_label - whole.reference);
  // The digits of a small loss are those of what the sum holds beside the label.
  if (loss < 1e-3) loss = std::log1p(sum_of_others(logits, label));
  const double value = smoothed(loss, whole);
  differentiate(loss, whole, false);
  return value;
}

EDGERAZOR_FUNCTION double router_z_row(const input_row& logits, double upstream,
                                       const output_row& out) noexcept {
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
    const doubles shift{largest};
    const auto exponential = [&](const doubles& z, const doubles&) { return row::exp(z - shift); };
    sum = sum_over(logits, logits, exponential, impossible);
  }
  const double log_sum = largest + std::log(sum);
  if (!out) return log_sum * log_sum;
  const doubles slope{2 * upstream * log_sum / sum}, shift{largest};
  for_each_block(logits.size, [&](std::size_t first, std::size_t count) {
    double values[2][block_cols];
    const double* z = logits.block(first, count, doubles::size, values[0], impossible);
    if (std::isinf(log_sum)) {
      for (std::size_t i = 0; i < count; ++i) {
        const bool is_infinite_term = upstream != 0 && z[i] == log_sum;
        values[1][i] = is_infinite_term ? upstream * log_sum : 0.0;
      }
    } else {
      for (std::size_t i = 0; i < count; i += doubles::size) {
        (slope * row::exp(doubles::load_unaligned(z + i) - shift)).store_unaligned(values[1] + i);
      }
    }
    out.store_wide(first, count, values[1]);
  });
  return log_sum * log_sum;
}

}  // namespace detail::row
}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
EDGERAZOR_END_INTRINSICS
