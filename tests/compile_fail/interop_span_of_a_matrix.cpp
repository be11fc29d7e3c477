// expect: span_of: expected an Eigen object of one row or one column
// SPDX-License-Identifier: Apache-2.0
// A matrix is no vector, though its elements may lie in one run.
#include <edgerazor/interop/eigen.hpp>

namespace er = edgerazor;

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

float wrong(matrix& a) { return er::span_of(a)[0]; }
