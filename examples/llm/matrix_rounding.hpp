// SPDX-License-Identifier: Apache-2.0
/// Rounding one matrix to a format by one of the published methods.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "model.hpp"
#include "thread_pool.hpp"
#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/matrix/sparse_matrix.hpp>

namespace llm {

/// What is known of the activations that several matrices share.
struct shared_input {
  er::second_moments moments;
  er::column_statistics columns;
  er::inverse_factor factor;      ///< columns in their order
  std::vector<float> importance;  ///< mean squares of the columns

  /// From X^T X of all tokens seen, and mean magnitudes.
  shared_input(er::second_moments sums, er::column_statistics statistics);
};

/// A matrix rounded, and what that costs.
struct rounded {
  er::any_matrix matrix;
  std::vector<er::sparse_entry> kept = {};  ///< what weights are more than their codes say
  double error = 0;                         ///< of some of the rows, in all tokens: |(W - Q) x|^2
  double energy = 0;                        ///< of the same rows: |W x|^2
};

/// A way of choosing levels, scales and zeros, by name:
///
///     rtn     round to nearest, scales by the extremes
///     mse     round to nearest, scales and zeros by least squares, columns weighted by activations
///     gptq    that, with error feedback (arXiv 2210.17323)
///     refined gptq, then levels, scales and zeros once more, each as the others now are
///     awq     mse, after columns were scaled by their activations (arXiv 2306.00978)
///     hqq     round to nearest, zeros by half-quadratic splitting; needs no text
///     spqr    gptq in groups of 16 columns whose scales and zeros are codes of 3 bits, the weights
///             that hurt most kept in a sparse matrix (arXiv 2306.03078)
struct rounding_method {
  std::string_view name;
  std::function<rounded(er::matrix_view<const float> weights, const er::format& fmt,
                        const shared_input& input, thread_pool& threads)>
      round;
  bool scales_columns = false;  ///< the host first multiplies columns by `column_scales`
  bool keeps = false;           ///< formats have two levels, and a sparse matrix stands beside
};

/// At most the bytes of the sparse matrix of a method that keeps weights: 64 for each 16 rows and
/// 1.5 % of the columns, which is 0.48 bits a weight. Rows of a tile are as long as its longest, so
/// that a percent of the weights is kept or less.
std::size_t sparse_bytes(std::size_t rows, std::size_t cols);

/// Throws std::invalid_argument, naming all, where there is none of that name.
const rounding_method& method_by_name(std::string_view name);

/// A matrix of any type, rounded a block of rows at a time, so that of an embedding only some
/// thousand rows are floats.
rounded round_matrix(const er::any_matrix& weights, const er::format& fmt,
                     const rounding_method& method, const shared_input& input,
                     thread_pool& threads);

/// AWQ's scales of the columns of matrices that share an input.
std::vector<float> column_scales(std::span<const er::any_matrix* const> matrices,
                                 const er::format& fmt, const shared_input& input,
                                 thread_pool& threads);
/// The matrix as floats, rows and columns times these factors; empty: 1.
er::any_matrix scaled(const er::any_matrix& weights, std::span<const float> rows,
                      std::span<const float> cols, thread_pool& threads);

/// sum over some of the rows of importance * (w - q)^2 where the matrix is rounded to nearest with
/// scales by least squares: what formats of one matrix are compared by, at little cost.
double sampled_error(const er::any_matrix& weights, const er::format& fmt,
                     std::span<const float> importance);

}  // namespace llm
