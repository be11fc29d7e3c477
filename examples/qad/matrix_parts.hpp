// SPDX-License-Identifier: Apache-2.0
/// Matrices of a pass, their parts and rows.
#pragma once

#include <cstddef>

#include <Eigen/Core>

#include "product.hpp"

namespace qad {

template <class Scalar>
using basic_matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using matrix = basic_matrix<float>;

inline Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

template <class Scalar>
factor<Scalar> all_of(const basic_matrix<Scalar>& m) {
  const auto rows = static_cast<std::size_t>(m.rows()), cols = static_cast<std::size_t>(m.cols());
  return {m.data(), rows, cols, cols, 1};
}

/// Rows [row, row + rows), columns [col, col + cols).
template <class Scalar>
factor<Scalar> part_of(const basic_matrix<Scalar>& m, std::size_t row, std::size_t rows,
                       std::size_t col, std::size_t cols) {
  const auto step = static_cast<std::size_t>(m.cols());
  return {m.data() + row * step + col, rows, cols, step, 1};
}

template <class Scalar>
using row_array = Eigen::Map<Eigen::Array<Scalar, 1, Eigen::Dynamic>>;
template <class Scalar>
using const_row = Eigen::Map<const Eigen::Array<Scalar, 1, Eigen::Dynamic>>;

}  // namespace qad
