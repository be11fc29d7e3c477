// expect: an Eigen expression, or a matrix that is a temporary, has no elements that last
// SPDX-License-Identifier: Apache-2.0
// The memory is gone before the view is used.
#include <edgerazor/interop/eigen.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

auto wrong(const matrix& a) { return er::pack<er::int4<>>(er::view_of(matrix(a))); }
