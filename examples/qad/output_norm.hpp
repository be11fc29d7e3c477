// SPDX-License-Identifier: Apache-2.0
/// The layer norm behind a matrix's product (OneBit, arXiv 2402.11295), forward and backward: no
/// factors or offsets of its own.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "matrix_parts.hpp"

namespace qad {

/// Outputs of the matrices whose product is one; 0: none.
using output_widths = std::array<std::size_t, 3>;

/// What the norms made, tokens x outputs, and by which factors, tokens x matrices.
template <class Scalar>
struct normed_outputs {
  basic_matrix<Scalar> values, factors;
};

/// `out` in place, of each token and matrix: y = (x - mean(x)) f with f = 1 / sqrt(variance(x) +
/// 1e-5). The factors are kept in `n`, the values are the caller's to keep.
template <class Scalar>
void output_norm(const output_widths& parts, basic_matrix<Scalar>& out, normed_outputs<Scalar>& n) {
  for (Eigen::Index t = 0; t < out.rows(); ++t) {
    for (std::size_t part = 0, at = 0; part < parts.size(); at += parts[part++]) {
      if (parts[part] == 0) continue;
      row_array<Scalar> x(&out(t, index(at)), index(parts[part]));
      const Scalar count = static_cast<Scalar>(parts[part]);
      x -= x.sum() / count;
      const Scalar factor = 1 / std::sqrt(x.square().sum() / count + static_cast<Scalar>(1e-5));
      x *= factor;
      n.factors(t, index(part)) = factor;
    }
  }
}

/// `gradient` in place, of y to that of x: f (g - mean(g) - y mean(g * y)).
template <class Scalar>
void output_norm_backward(const normed_outputs<Scalar>& n, const output_widths& parts,
                          basic_matrix<Scalar>& gradient) {
  for (Eigen::Index t = 0; t < gradient.rows(); ++t) {
    for (std::size_t part = 0, at = 0; part < parts.size(); at += parts[part++]) {
      if (parts[part] == 0) continue;
      row_array<Scalar> g(&gradient(t, index(at)), index(parts[part]));
      const const_row<Scalar> y(&n.values(t, index(at)), index(parts[part]));
      const Scalar count = static_cast<Scalar>(parts[part]);
      const Scalar mean = g.sum() / count, along = (g * y).sum() / count;
      g = (g - mean - y * along) * n.factors(t, index(part));
    }
  }
}

}  // namespace qad
