// SPDX-License-Identifier: Apache-2.0
/// The norm of a decoder, forward and backward.
#pragma once

#include <cmath>

#include <Eigen/Core>

#include "matrix_parts.hpp"

namespace qad {

/// out = x factor * weight with factor = 1 / sqrt(mean(x^2) + epsilon), for each token.
template <class Scalar>
void rms_norm(const basic_matrix<Scalar>& x, const Scalar* weight, Scalar epsilon,
              basic_matrix<Scalar>& out, Eigen::Array<Scalar, Eigen::Dynamic, 1>& factors) {
  const const_row<Scalar> w(weight, x.cols());
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    factors[t] = 1 / std::sqrt(x.row(t).squaredNorm() / static_cast<Scalar>(x.cols()) + epsilon);
    out.row(t).array() = x.row(t).array() * factors[t] * w;
  }
}

/// With y = x factor: dx += factor (g - y mean(g * y)), g = dout * weight; dweight += sum of dout *
/// y over the tokens.
template <class Scalar>
void rms_norm_backward(const basic_matrix<Scalar>& x,
                       const Eigen::Array<Scalar, Eigen::Dynamic, 1>& factors, const Scalar* weight,
                       const basic_matrix<Scalar>& out_gradient, basic_matrix<Scalar>& x_gradient,
                       Scalar* weight_gradient) {
  const const_row<Scalar> w(weight, x.cols());
  row_array<Scalar> dw(weight_gradient, x.cols());
  for (Eigen::Index t = 0; t < x.rows(); ++t) {
    const auto y = x.row(t).array() * factors[t];
    const auto out = out_gradient.row(t).array();
    const Scalar mean = (out * w * y).sum() / static_cast<Scalar>(x.cols());
    dw += out * y;
    x_gradient.row(t).array() += factors[t] * (out * w - y * mean);
  }
}

}  // namespace qad
