// SPDX-License-Identifier: Apache-2.0
/// Rounding one matrix to a format by one of the published methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "decoder.hpp"
#include "model.hpp"
#include "thread_pool.hpp"
#include <edgerazor/calibrate/inverse_factor.hpp>
#include <edgerazor/calibrate/statistics.hpp>
#include <edgerazor/matrix/any_matrix.hpp>
#include <edgerazor/matrix/format.hpp>
#include <edgerazor/matrix/hadamard.hpp>
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

/// What a method rounds: some rows of a matrix, all columns.
struct rounding_job {
  er::matrix_view<const float> weights;
  const er::format& fmt;
  const shared_input& input;
  thread_pool& threads;
  er::matrix_view<const std::uint8_t> kept = {};  ///< of the weights' shape: not 0, stays; or none
};

/// What a method stores of a matrix beside its codes.
enum class stored_beside {
  nothing,
  outliers,      ///< weights of its own choice in a sparse matrix; formats have two levels
  task_weights,  ///< those of the host's choice, by what a loss says of them; of layers' matrices
  low_rank       ///< two thin matrices of 4 bits; of layers' matrices, whose format is int4_row
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
///     tacq    gptq, the weights that matter most for a task kept in a sparse matrix (arXiv
///             2504.07389); needs gradients
///     slim    two of every four weights of the layers removed, one scale a matrix, and two thin
///             matrices that take back what matters most of both errors (arXiv 2410.09615);
///             embedding and head as by refined
///     quarot  gptq, after columns and activations were rotated by a Hadamard matrix (arXiv
///             2404.00456)
struct rounding_method {
  std::string_view name;
  std::function<rounded(const rounding_job& job)> round;
  bool scales_columns = false;  ///< the host first calls `scale_columns`
  bool rotates = false;         ///< what is known of activations is of rotated ones
  stored_beside beside = stored_beside::nothing;

  /// Whether columns may be rotated first: where nobody says anything of single columns or weights
  /// as they were.
  [[nodiscard]] bool can_rotate() const noexcept {
    return !scales_columns &&
           (beside == stored_beside::nothing || beside == stored_beside::outliers);
  }
  /// Whether it is given layers' matrices whole, not some rows of them, and what it returns stands
  /// as it is. Embedding and head are then rounded by refined.
  [[nodiscard]] bool whole_layers() const noexcept { return beside == stored_beside::low_rank; }
};

/// Activations, or rows of weights, as a method that rotates has them: H x / sqrt(n) in blocks of
/// the largest order n there is that divides the columns.
er::hadamard rotation_of(std::size_t cols);

/// Steps of the sparse matrix of a method that keeps weights, each of one entry for each of 16
/// rows: 1.5 % of the columns for each 16 rows.
std::size_t sparse_room(std::size_t rows, std::size_t cols);
/// At most the bytes of that matrix: 64 for each step, which is 0.48 bits a weight. Rows of a tile
/// are as long as its longest, so that a percent of the weights is kept or less.
std::size_t sparse_bytes(std::size_t rows, std::size_t cols);
/// The rank of slim's thin matrices, and their bytes: a tenth of the shorter side.
std::size_t low_rank_of(std::size_t rows, std::size_t cols);
std::size_t low_rank_bytes(std::size_t rows, std::size_t cols);
/// The format of layers' matrices under slim.
er::format low_rank_format();

/// Throws std::invalid_argument, naming all, where there is none of that name.
const rounding_method& method_by_name(std::string_view name);

/// The format of a matrix, or two: of some rows the one, of the others the other.
struct row_formats {
  er::format most, fewer = most;
  std::vector<std::uint8_t> rows = {};  ///< not 0: of `most`; empty: all are
};

/// For some rows of a matrix, given their weights, a mask of their shape: not 0, stays.
using mask_source = std::function<std::vector<std::uint8_t>(er::row_range rows,
                                                            er::matrix_view<const float> weights)>;

/// A matrix of any type, rounded a block of rows at a time, so that of an embedding only some
/// thousand rows are floats; a mixed one where two formats are asked for, the rows of each by
/// themselves: no method lets a row depend on others. `kept`: what a method that keeps weights of a
/// task is told; may be empty, and is for matrices of one format.
rounded round_matrix(const er::any_matrix& weights, const row_formats& formats,
                     const rounding_method& method, const shared_input& input, thread_pool& threads,
                     const mask_source& kept = {});

/// Columns of a layer's matrices that share an input (attention, ffn or down) times s, and what
/// they are multiplied with divided by it: the norm before them; of down the rows of up and its
/// bias. The layer computes what it did, in real numbers. The attention's output keeps its columns:
/// with fewer heads of values than of queries no rows stand for them alone.
void fold_column_scales(layer& one, layer_input which, std::span<const float> s,
                        thread_pool& threads);
/// That with AWQ's scales, of all three. `inputs`: by layer_input.
void scale_columns(layer& one, const er::format& fmt, std::span<const shared_input> inputs,
                   thread_pool& threads);

/// sum over some of the rows of importance * (w - q)^2 where the matrix is rounded to nearest with
/// scales by least squares: what formats of one matrix are compared by, at little cost.
double sampled_error(const er::any_matrix& weights, const er::format& fmt,
                     std::span<const float> importance);

/// That of each row, scales by the extremes: what rows of one matrix are compared by.
std::vector<double> row_errors(const er::any_matrix& weights, const er::format& fmt,
                               std::span<const float> importance);

}  // namespace llm
