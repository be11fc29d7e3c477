// expect: an Eigen expression, or a matrix that is a temporary, has no elements that last
// SPDX-License-Identifier: Apache-2.0
// A sum is computed when it is asked for.
#include <edgerazor/interop/eigen.hpp>
#include <edgerazor/matrix/pack.hpp>
#include <edgerazor/policy/symmetric.hpp>

namespace er = edgerazor;

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

auto wrong(const matrix& a, const matrix& b) { return er::pack<er::int4<>>(er::view_of(a + b)); }
