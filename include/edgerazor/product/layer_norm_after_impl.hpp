// SPDX-License-Identifier: Apache-2.0
/// What layer_norm_after.hpp declares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include <edgerazor/core/contract.hpp>
#include <edgerazor/core/exact.hpp>
#include <edgerazor/policy/magnitude.hpp>
#include <edgerazor/product/gemm_impl.hpp>
#include <edgerazor/product/layer_norm_after.hpp>

namespace edgerazor {
inline namespace EDGERAZOR_ABI {
namespace detail::product {

/// term(row[0]) + term(row[1]) + ..., by sixteen sums.
template <class Term>
[[nodiscard]] double sum_of_terms(std::span<const float> row, const Term& term) noexcept {
  constexpr std::size_t width = 16;
  double sums[width] = {}, sum = 0;
  for (std::size_t i = 0; i < row.size(); ++i)
    sums[i % width] = core::ordered(sums[i % width] + term(double{row[i]}));
  for (const double part : sums) sum = core::ordered(sum + part);
  return sum;
}

inline void normalize_row(std::span<float> row, std::span<const float> bias,
                          double epsilon) noexcept {
  const auto count = static_cast<double>(row.size());
  const double mean = core::quotient(sum_of_terms(row, [](double y) { return y; }), count);
  const double variance = core::quotient(sum_of_terms(row,
                                                      [mean](double y) {
                                                        const double d = core::exact(y - mean);
                                                        return core::exact(d * d);
                                                      }),
                                         count);
  const double deviation = std::sqrt(core::exact(variance + epsilon));
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double normal = core::quotient(core::exact(double{row[i]} - mean), deviation);
    row[i] = static_cast<float>(bias.empty() ? normal : core::exact(normal + double{bias[i]}));
  }
}

inline void require_norm(std::size_t cols, std::span<const float> bias, float epsilon) {
  if (!bias.empty() && bias.size() != cols) {
    core::fail("normalize_rows: a bias of " + std::to_string(bias.size()) +
               " numbers for rows of " + std::to_string(cols));
  }
  if (!policy::is_finite(epsilon) || epsilon <= 0) {
    core::fail("normalize_rows: the epsilon is " + std::to_string(epsilon) +
               ", expected a finite number above 0");
  }
}

}  // namespace detail::product

EDGERAZOR_FUNCTION void normalize_rows(matrix_view<float> y, std::span<const float> bias,
                                       float epsilon, executor_ref executor) {
  constexpr std::size_t min_elements = 16 * 1024;  // of a grain: some microseconds
  detail::product::require_norm(y.cols, bias, epsilon);
  const auto normalize = [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t)
      detail::product::normalize_row(y.row(t), bias, double{epsilon});
  };
  const std::size_t rows =
                        std::max<std::size_t>(1, min_elements / std::max<std::size_t>(1, y.cols)),
                    grains = (y.rows + rows - 1) / rows;
  if (!executor || grains < 2) return normalize(0, y.rows);
  executor(grains, [&](std::size_t grain) noexcept {
    normalize(grain * rows, std::min(y.rows, (grain + 1) * rows));
  });
}

EDGERAZOR_FUNCTION void gemm(const layer_norm_after& layer, const product_input& x,
                             matrix_view<float> y, const product_options& options) {
  detail::product::require_norm(layer.rows(), layer.bias, layer.epsilon);
  if (options.rows)
    detail::core::fail("layer_norm_after: a norm is of all rows, not of a range of them");
  gemm(weight_ref{layer.w}, x, y, options);
  normalize_rows(y, layer.bias, layer.epsilon, options.executor);
}

}  // namespace EDGERAZOR_ABI
}  // namespace edgerazor
